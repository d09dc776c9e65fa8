from types import SimpleNamespace

import pandas as pd

from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding
from benchmark.report import facts


def test_ends():
    values = pd.Series({"b": 0.3, "c": 0.1, "a": 0.1 + 0.2, "d": None})
    assert facts.ends(values) == [
        {"value": 0.1 + 0.2, "names": ["a", "b"]},
        {"value": 0.1, "names": ["c"]},
    ]
    assert facts.ends(values[["a", "b"]]) == [{"value": 0.1 + 0.2, "names": ["a", "b"]}]
    assert facts.ends(values[["d"]]) == []


def test_claims_are_counted():
    def section(*verdicts):
        return SimpleNamespace(findings=[Finding("claim", verdict, "") for verdict in verdicts])

    sections = [section(HOLDS, HOLDS, IN_PART), section(FAILS, UNDECIDED), section()]
    assert facts.claims(sections) == {HOLDS: 2, IN_PART: 1, FAILS: 1, UNDECIDED: 1}
    assert facts.claims([section()]) == {}


def test_mistakes():
    confusion = pd.DataFrame(
        {
            "role": ["best"] * 3 + ["worst"] * 2 + ["lost"],
            "activation": ["elu"] * 3 + ["relu"] * 2 + ["selu"],
            "true": [0, 4, 8, 0, 4, 1],
            "predicted": [0, 9, 1, 0, 4, 2],
            "count": [90, 6, 4, 10, 10, 0],
            "n_runs": [2, 2, 2, 1, 1, 1],
        }
    )
    best, worst = facts.mistakes(confusion)
    assert (best["activation"], best["share"], best["errors"]) == ("elu", 0.1, 10)
    assert (best["worst"]["true"], best["worst"]["predicted"], best["runs"]) == (4, 9, 2)
    # Among equally frequent mistakes the first by class.
    tie = facts.mistakes(confusion.replace({"count": {6: 4}}))[0]["worst"]
    assert (tie["true"], tie["predicted"]) == (4, 9)
    assert (worst["share"], worst["worst"]) == (0.0, None)
