import numpy as np
import pandas as pd

from benchmark.stats import cautions
from benchmark.stats.summary import summarize
from tests.stats.test_summary import made


def test_own_runs_are_no_load():
    # Of two cores: one run, two runs, and two beside as many processes of others.
    runs = pd.DataFrame({"load": [0.5, 1.0, 2.0], "own_load": [0.5, 1.0, 1.0]})
    assert cautions.under_load(runs).tolist() == [0, 0, 1]
    # Half of the cores is not more than half.
    assert cautions.under_load(runs.assign(load=runs["own_load"] + 0.5)).tolist() == [0, 0, 0]


def test_what_is_not_known_is_no_load():
    unknown = pd.DataFrame({"load": [np.nan, 3.0, None], "own_load": [1.0, np.nan, None]})
    assert cautions.under_load(unknown).isna().all()
    assert cautions.under_load(unknown[["load"]]).isna().all()


def test_loaded_runs_are_counted_and_noted():
    busy, quiet = {"load": 1.6, "own_load": 1.0}, {"load": 1.1, "own_load": 1.0}
    older = {"load": np.nan, "own_load": np.nan}
    rows = [
        *({"activation": "elu", **load} for load in (busy, quiet, older, busy)),
        *({"activation": "relu", **load} for load in (older, older)),
        *({"activation": "selu", **load} for load in (quiet, quiet)),
        {"activation": "elu", "status": "failed", **busy},
    ]
    table = summarize(made(*rows)).set_index("activation")
    np.testing.assert_array_equal(table["n_under_load"], [2, np.nan, 0])
    assert table["note"].tolist() == [
        "1 of 5 runs failed; times of 2 of 4 runs taken under load",
        "",
        "",
    ]
