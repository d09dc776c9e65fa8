"""Captions of the comparison's figures, and what they show for those who cannot see them."""

from collections.abc import Callable

import pandas as pd

from benchmark.formatting import counted, number
from benchmark.report.story import named, percentage, points, tied

CAPTIONS = {
    "accuracy": "Accuracy by epoch. Training accuracies are running means with dropout at work,"
    " which is why validation may lie above them.",
    "loss": "Loss by epoch, of the training with dropout at work and of the validation.",
    "final_accuracy": "Test accuracy after the last epoch: each complete run, and where there"
    " are several that ended alike, their mean with its 95 % interval.",
    "differences": "Mean difference in test accuracy from the baseline over runs of the same seed,"
    " and what the test says of it. Each 95 % interval is for itself, not corrected for the number"
    " of comparisons: one that leaves out 0 shows nothing by itself.",
    "ranks": "Mean rank by test accuracy within this dataset, seeds as blocks; 1 is best. Bars join"
    " activations that Nemenyi's test (an approximation) does not tell apart.",
    "accuracy_time": "Validation accuracy against the time spent until then, median over seeds;"
    " the first epoch counts at most as long as the median one.",
    "tuning": "Mean validation accuracy at each learning rate that was tried, and the one chosen.",
    "confusion": "Share of each true class that is read as another one, over all complete runs of"
    " the activations with the highest and the lowest mean test accuracy.",
    "misclassified": "Test images that the activations with the highest and the lowest mean test"
    " accuracy misclassified most often, with their true class and the class that"
    " they were taken for.",
}


def alternative(kind: str, title: str, rows: pd.DataFrame) -> str:
    """Return one sentence that stands for a figure, with numbers from its rows.

    Args:
        kind: of the figure, one of `CAPTIONS`.
        title: the network and the data, "CNN on digits".
        rows: what it is drawn from, as `drawings.Part.rows` has it.
    """
    return f"{title}: {_SENTENCES[kind](rows)}."


def _curves(rows: pd.DataFrame, metric: str, form: Callable[[float], str]) -> str:
    last = rows[rows["epoch"] == rows["epoch"].max()].set_index("activation")
    values = last[f"val_{metric}_mean"].dropna()
    text = f"{metric} by epoch of {_activations(rows)}, training and validation"
    if values.empty:
        return text
    return f"{text}; after the last epoch the validation {metric} is {_range(values, form)}"


def _range(values: pd.Series, form: Callable[[float], str]) -> str:
    """Return "from 9.72 % (sigmoid) to 98.26 % (elu)" for values by activation."""
    low, high = (tied(values, end) for end in (values.min(), values.max()))
    if low.all():
        return f"{form(values.min())} ({values.index[0] if len(values) == 1 else 'all'})"
    ends = [f"{form(values[end].iloc[0])} ({named(values.index[end])})" for end in (low, high)]
    return f"from {' to '.join(ends)}"


def _activations(rows: pd.DataFrame) -> str:
    count = rows["activation"].nunique()
    return "1 activation" if count == 1 else f"{count} activations"


def _final(rows: pd.DataFrame) -> str:
    done = rows[rows["status"] == "complete"]
    means = done.groupby("activation")["test_accuracy"].mean()
    return (
        f"test accuracy of {counted(len(done), 'run')} of {_activations(done)}; the means are"
        f" {_range(means, percentage)}"
    )


def _differences(rows: pd.DataFrame) -> str:
    found = rows.dropna(subset=["difference"]).set_index("activation")["difference"]
    baseline = rows["baseline"].iloc[0]
    text = f"difference in test accuracy of {_activations(rows)} from {baseline}"
    return f"{text}, {_range(found, points)}" if len(found) else text


def _ranks(rows: pd.DataFrame) -> str:
    ranks = rows.set_index("activation")["mean_rank"]
    return f"mean ranks by test accuracy of {_activations(rows)}, {_range(ranks, number)}"


def _time(rows: pd.DataFrame) -> str:
    done = rows[rows["status"] == "complete"]
    seconds = done.groupby("activation")["seconds_per_epoch"].median().dropna()
    drawn = rows[rows["status"].isin(("complete", "diverged"))]
    text = f"validation accuracy against time of {_activations(drawn)}"
    if seconds.empty:
        return text
    return f"{text}; an epoch takes {_range(seconds, lambda s: f'{number(s)} s')}"


def _tuning(rows: pd.DataFrame) -> str:
    best = rows[rows["chosen"].astype(str) == "True"].set_index("activation")["learning_rate"]
    text = f"validation accuracy by learning rate of {_activations(rows)}"
    return f"{text}; the chosen rates are {_range(best, number)}" if len(best) else text


def _confusion(rows: pd.DataFrame) -> str:
    texts = []
    for role, group in rows.groupby("role", sort=False):
        wrong = group.loc[group["true"] != group["predicted"], "count"].sum()
        share = percentage(wrong / group["count"].sum())
        texts.append(f"{group['activation'].iloc[0]} ({role}) misclassifies {share}")
    return f"true class against predicted class; {', '.join(texts)} of the test images"


def _misclassified(rows: pd.DataFrame) -> str:
    texts = []
    for role, group in rows.groupby("role", sort=False):
        first = group.iloc[0]
        texts.append(
            f"{counted(len(group), 'test image')} that {first['activation']} ({role})"
            f" misclassifies, the first of class {first['true']}, taken for {first['predicted']}"
        )
    return "; ".join(texts)


_SENTENCES: dict[str, Callable[[pd.DataFrame], str]] = {
    "accuracy": lambda rows: _curves(rows, "accuracy", percentage),
    "loss": lambda rows: _curves(rows, "loss", number),
    "final_accuracy": _final,
    "differences": _differences,
    "ranks": _ranks,
    "accuracy_time": _time,
    "tuning": _tuning,
    "confusion": _confusion,
    "misclassified": _misclassified,
}
