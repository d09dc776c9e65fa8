"""Figures of a comparison as the commands write them."""

from benchmark import api, compare, register_activation
from benchmark.activations import registry

SMALL = {"dataset": "digits", "limit": 200, "epochs": 2, "seeds": 1, "jobs": 1}


def test_figures_of_an_earlier_request_go(tmp_path):
    (tmp_path / "figures").mkdir()
    # Of a comparison with several learning rates, and of an experiment.
    for name in ("accuracy-0.01", "tuning", "losses"):
        (tmp_path / "figures" / f"{name}.png").write_bytes(b"")
    compare(["relu"], output=tmp_path, **SMALL)
    kinds = {"accuracy", "loss", "final_accuracy", "accuracy_time", "confusion", "misclassified"}
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == {*kinds, "losses"}


def test_report_keeps_the_color_of_a_users_activation(tmp_path, no_page):
    register_activation("one_more")(lambda x: x)
    compare(["one_more"], output=tmp_path, **SMALL)
    figure = (tmp_path / "figures" / "accuracy.svg").read_bytes()
    registry._user.clear()
    api.rebuild(tmp_path)
    assert (tmp_path / "figures" / "accuracy.svg").read_bytes() == figure
