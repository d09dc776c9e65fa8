"""Which figures a comparison has, and how its settings are told apart."""

import pandas as pd

from benchmark.plotting import catalogue
from benchmark.stats import summary


def runs(**columns):
    """Two seeds of two activations at two learning rates, the smaller one tuned for by both."""
    rows = [
        {"activation": name, "seed": seed, "learning_rate": rate, "purpose": purpose}
        for name in ("relu", "tanh")
        for purpose, rate, seeds in (
            ("tuning", 0.1, (1000,)),
            ("tuning", 0.3, (1000,)),
            ("comparison", 0.2, (0, 1)),
            ("tuned", 0.1, (0, 1)),
        )
        for seed in seeds
    ]
    settings = {
        **{"dataset": "digits", "model": "cnn", "optimizer": "adam", "loss_function": "ce"},
        **{"batch_size": 128, "epochs_asked": 2, "limit": None, "initializer": "article"},
        **{"validation": "holdout", "precision": "float32", "status": "complete"},
        **{"test_accuracy": 0.9, "test_loss": 0.3, "val_accuracy": 0.9, "val_loss": 0.3},
        **{"test_images": 100, "majority_share": 0.1},
        **columns,
    }
    frame = pd.DataFrame(rows).assign(**settings)
    return frame.assign(run=[f"r{place}" for place in range(len(frame))])


def test_one_setting_has_no_labels():
    one = runs()[lambda frame: frame["purpose"] == "comparison"]
    assert catalogue.varied(one) == []
    (part,) = catalogue.parts(summary.final_runs(one), [])
    assert (part.labels, part.title) == ((), "CNN on digits")


def test_tuned_and_shared_are_two_parts():
    names = catalogue.varied(runs())
    assert names == ["rates"]
    found = catalogue.parts(summary.final_runs(runs()), names)
    assert [part.labels for part in found] == [("shared",), ("tuned",)]
    assert found[1].title == "CNN on digits, each at its own learning rate"


def test_choices_are_one_part_whatever_rates_were_tried():
    both = pd.concat([runs(), runs()[lambda f: f["purpose"] == "comparison"]])
    # A second shared rate beside the tuned ones.
    both["learning_rate"] = both["learning_rate"].where(both.index != 2, 0.4)
    names = catalogue.varied(both)
    assert names == ["learning_rate", "rates"]
    (choices,) = catalogue.parts(summary.tuning(both), names)
    assert len(choices.rows) == 4
    labels = [part.labels for part in catalogue.parts(summary.final_runs(both), names)]
    assert ("tuned",) in labels
    assert {("0.2", "shared"), ("0.4", "shared")} <= set(labels)


def test_a_missing_limit_is_all():
    mixed = pd.concat([runs(limit=50), runs()])
    found = catalogue.parts(summary.final_runs(mixed), catalogue.varied(mixed))
    assert {part.labels[0] for part in found} == {"50", "all"}
