"""What a folder's tables say, in words: DataFrames in, Markdown out, every number from a table."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.sections import Section
from benchmark.formatting import counted, listing, number
from benchmark.stats.summary import MARGIN

# More than this many names in a sentence are counted instead.
MOST = 12
_LITTLE = f"test accuracy at most {100 * MARGIN:g} points above guessing the most frequent class"


def percentage(share: float) -> str:
    """Return "97.12 %"; "–" where there is no number."""
    return "–" if pd.isna(share) else f"{100 * share:.2f} %"


def points(difference: float) -> str:
    """Return a difference of shares as "+0.31 points"."""
    return f"{signed(difference)} points"


def signed(difference: float) -> str:
    """Return a difference of shares in points, "+0.31"."""
    return f"{100 * difference:+.2f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """Return an interval of differences in points, "−0.10 to +0.52"."""
    return f"{signed(low)} to {signed(high)}"


def named(names: Iterable[str]) -> str:
    """Return the names, or how many there are where they are many."""
    names = list(names)
    return listing(names) if len(names) <= MOST else f"{len(names)} activations"


def tied(values: pd.Series, value: float) -> pd.Series:
    """Return which of the values are this one, but for rounding errors."""
    return pd.Series(np.isclose(values.astype(float), value, rtol=1e-9, atol=0), values.index)


def _owners(names: Iterable[str]) -> str:
    """Return "a's and b's", or "that of 13 activations"."""
    names = list(names)
    if len(names) > MOST:
        return f"that of {named(names)}"
    return listing(f"{name}'s" for name in names)


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


# What came out


def headline(summary: pd.DataFrame) -> str:
    """Return who is best and worst, and who did not learn, for the rows of one setting."""
    done = _by_accuracy(summary)
    if done.empty:
        return _sentences("No run is complete yet.", _without_runs(summary))
    return _sentences(_extremes(done), not_learned(summary), _without_runs(summary))


def _without_runs(summary: pd.DataFrame) -> str:
    """Return which activations have no complete run, and what became of theirs."""
    rows = summary[summary["n_completed"] == 0].to_dict("records")
    if not rows:
        return ""
    who = [f"{row['activation']} ({_lost(row)})" for row in rows]
    return f"Without a complete run: {named(who)}."


def _lost(row: dict[str, Any]) -> str:
    counts = {word: row[f"n_{word}"] for word in ("diverged", "failed", "unfinished")}
    return listing(f"{int(count)} {word}" for word, count in counts.items() if count > 0)


def learning(summary: pd.DataFrame) -> str:
    """Return who is ahead in validation accuracy, for the rows of one setting."""
    done = summary[summary["val_accuracy_mean"].notna()]
    if done.empty:
        return "No run is complete: the curves end where the runs stand."
    after = f"After {_epochs(done['epochs_asked'].iloc[0])}"
    (most, first), (least, last) = _ends(done, "val_accuracy_mean")
    text = f"{after} {_owners(first)} validation accuracy is {percentage(most)}"
    if len(done) == 1:
        return f"{text}."
    if first == last:
        text = f"{after} all have a validation accuracy of {percentage(most)}."
    else:
        text += f", the highest; {_owners(last)}, {percentage(least)}, is the lowest."
    over = done[done["val_accuracy_auc_mean"].notna()]
    if over.empty:
        return text
    (mean, ahead), (_, behind) = _ends(over, "val_accuracy_auc_mean")
    are = "all are equal" if ahead == behind else f"{named(ahead)} {_is(ahead)} ahead"
    return (
        f"{text} Over all epochs together, which counts how fast a network learns too, {are}"
        f" ({percentage(mean)} on average)."
    )


def _ends(done: pd.DataFrame, column: str) -> list[tuple[float, list[str]]]:
    """Return the highest and the lowest value of a column, each with all names that have it."""
    ordered = done.sort_values("activation")
    values = ordered[column]
    return [
        (end, list(ordered.loc[tied(values, end), "activation"]))
        for end in (values.max(), values.min())
    ]


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def final(summary: pd.DataFrame) -> str:
    """Return who is best and worst in test accuracy, for the rows of one setting."""
    done = _by_accuracy(summary)
    if done.empty:
        return "No run is complete: there is no final accuracy yet."
    return _sentences(_extremes(done), _sampling(done), _notes(summary), _guessing(summary))


def _by_accuracy(summary: pd.DataFrame) -> pd.DataFrame:
    done = summary[summary["test_accuracy_mean"].notna()]
    return done.sort_values(
        ["test_accuracy_mean", "activation"], ascending=[False, True], kind="stable"
    )


def _extremes(done: pd.DataFrame) -> str:
    one = done["n_completed"].max() == 1
    what = "test accuracy" if one else "mean test accuracy"
    if len(done) == 1:
        return f"The {what} of {done.iloc[0]['activation']} is {_accuracy(done)}."
    ends = _ends(done, "test_accuracy_mean")
    (_, best), (_, worst) = ends
    if best == worst:
        return f"All have a {what} of {percentage(ends[0][0])}."
    scores = [_accuracy(done[done["activation"].isin(names)]) for _, names in ends]
    text = (
        f"The highest {what} is {_owners(best)}, {scores[0]}; the lowest is {_owners(worst)},"
        f" {scores[1]}."
    )
    if one:
        text += " With one run each there is no telling how much of that is the seed's."
    return text


def _accuracy(rows: pd.DataFrame) -> str:
    """Return the accuracy of rows that have the same one."""
    row = rows.iloc[0]
    text = percentage(row["test_accuracy_mean"])
    low, high = row["test_accuracy_ci_low"], row["test_accuracy_ci_high"]
    # Each of several has an interval of its own.
    if len(rows) == 1 and not pd.isna(low):
        text += f" (95 % interval {100 * low:.2f} to {100 * high:.2f})"
    return text


def _sampling(done: pd.DataFrame) -> str:
    # Without a mistake the estimate is 0, which would say too much.
    known = done[done["test_sampling_error"] > 0]
    if known.empty:
        return ""
    best = known.iloc[0]
    text = (
        f"Other test images would change {best['activation']}'s accuracy, typically by about"
        f" {100 * best['test_sampling_error']:.2f} points (the standard error of the sample)"
    )
    if done["test_accuracy_ci_low"].notna().any():
        text += "; the intervals do not hold this, for all runs are tested on the same images"
    return f"{text}."


def not_learned(summary: pd.DataFrame) -> str:
    """Return which activations' complete runs stayed at guessing; empty where none did."""
    rows = summary[summary["n_not_learned"] > 0]
    if rows.empty:
        return ""
    who = [
        f"{row.activation} in {'its only run' if row.n_completed == 1 else _of(row)}"
        for row in rows.itertuples()
    ]
    return f"Not learnt ({_LITTLE}): {named(who)}."


def _guessing(summary: pd.DataFrame) -> str:
    return f"Not to learn means: {_LITTLE}." if (summary["n_not_learned"] > 0).any() else ""


def _of(row: Any) -> str:
    return f"{int(row.n_not_learned)} of {int(row.n_completed)} runs"


def _notes(summary: pd.DataFrame) -> str:
    rows = summary[summary["note"].fillna("") != ""]
    alike = rows.groupby("note", sort=False)["activation"]
    return " ".join(f"{named(who)}: {note}." for note, who in alike)


# Tuned rates


def tuned(tuning: pd.DataFrame) -> str:
    """Return which learning rate each activation was given, for the rows of one setting."""
    if tuning.empty:
        return ""
    rates = sorted(tuning["learning_rate"].unique())
    chosen = tuning[_true(tuning["chosen"])]
    groups = [
        f"{rate:g} for {named(rows['activation'])}"
        for rate, rows in chosen.groupby("learning_rate")
    ]
    if not groups:
        return f"Of the learning rates {listing(rates)} none could be chosen yet."
    text = (
        "Chosen by mean validation accuracy (passing over rates at which a run was lost, where"
        f" there are others): of the learning rates {listing(rates)}, {'; '.join(groups)}."
    )
    edge = chosen[_true(chosen["at_edge"])]
    if len(edge):
        text += (
            f" At the grid's edge, where a rate beyond it might do better: "
            f"{named(edge['activation'])}."
        )
    missing = sorted(set(tuning["activation"]) - set(chosen["activation"]))
    if missing:
        text += f" Without a choice: {named(missing)}."
    return text


def _true(column: pd.Series) -> pd.Series:
    return column.astype(str) == "True"


# What is misclassified


def mistakes(confusion: pd.DataFrame, misclassified: pd.DataFrame) -> str:
    """Return what the best and the worst activation take for what, for one setting's rows."""
    told = [
        _mixed_up(role, rows)
        for role, rows in confusion.groupby("role", sort=False)
        if rows["count"].sum()
    ]
    return _sentences(*told, _hardest(misclassified))


def _mixed_up(role: str, rows: pd.DataFrame) -> str:
    wrong = rows[rows["true"] != rows["predicted"]]
    total, errors, runs = rows["count"].sum(), wrong["count"].sum(), int(rows["n_runs"].iloc[0])
    name, over = rows["activation"].iloc[0], counted(runs, "run")
    text = f"{name}, the {role} in mean test accuracy, misclassifies {percentage(errors / total)}"
    text += f" of the test images ({over})"
    if not errors:
        return f"{text}."
    most = wrong.sort_values(["count", "true", "predicted"], ascending=[False, True, True]).iloc[0]
    return (
        f"{text}; its most frequent mistake is to read {most['true']} as {most['predicted']}"
        f" ({int(most['count'])} of {int(errors)})."
    )


def _hardest(misclassified: pd.DataFrame) -> str:
    rows = misclassified[misclassified["role"] == "best"]
    if rows.empty:
        return ""
    # The table begins with what is misclassified most, among equals with the highest probability.
    first = rows.iloc[0]
    read = int(first["n_misclassified"])
    times = f"in {read} of {int(first['n_runs'])} runs" if first["n_runs"] > 1 else "in its run"
    return (
        f"Of the test images, {first['activation']} is most wrong about number {first['index']}"
        f" ({times}): class {first['true']}, taken for {first['predicted']}."
    )


# What it costs


def cost(summary: pd.DataFrame) -> str:
    """Return the time of an epoch and the memory, for the rows of one setting."""
    timed = summary[summary["seconds_per_epoch_mean"].notna()]
    if timed.empty:
        return ""
    text = _range_of(timed, "seconds_per_epoch_mean", "An epoch takes", "s")
    remembered = summary[summary["peak_memory_mb_mean"].notna()]
    if len(remembered):
        text += " " + _range_of(remembered, "peak_memory_mb_mean", "A run's peak memory is", "MB")
    return (
        f"{text} These are the wall time of an epoch with its validation and the memory of the"
        " whole process, TensorFlow included; runs that train side by side slow each other down."
    )


def _range_of(table: pd.DataFrame, column: str, begins: str, unit: str) -> str:
    ordered = table.sort_values([column, "activation"], kind="stable")
    low, high = ordered.iloc[0], ordered.iloc[-1]
    text = f"{begins} {_quantity(low[column])} {unit} with {low['activation']}"
    if len(ordered) > 1:
        text += f" and {_quantity(high[column])} {unit} with {high['activation']}"
        if low[column] > 0:
            text += f" ({high[column] / low[column]:.2f} times as much)"
    return f"{text}."


def _quantity(value: float) -> str:
    return number(value) if value < 1000 else f"{value:.0f}"


def time_to_accuracy(table: pd.DataFrame) -> str:
    """Return who is first to each level of validation accuracy, for the rows of one setting."""
    tried = table[table["n_runs"] > 0]
    return " ".join(_first_to(target, rows) for target, rows in tried.groupby("target"))


def _first_to(target: float, rows: pd.DataFrame) -> str:
    there = rows[rows["epochs_median"].notna()].sort_values(["epochs_median", "activation"])
    to = f"{100 * target:g} % validation accuracy"
    others = rows[rows["epochs_median"].isna()]
    never = others.loc[others["n_reached"] == 0, "activation"]
    if len(never) == len(rows):
        return f"No run reaches {to}."
    parts = []
    if len(there):
        least, most = there["epochs_median"].iloc[[0, -1]]
        first = named(there[there["epochs_median"] == least]["activation"])
        late = f", the last to get there after {_epochs(most)}" if most > least else ""
        parts.append(f"{first} after {_epochs(least)}{late}")
    some = others[others["n_reached"] > 0]
    if len(some):
        who = [f"{r.activation} ({int(r.n_reached)} of {int(r.n_runs)})" for r in some.itertuples()]
        parts.append(f"in no more than half of the runs: {named(who)}")
    if len(never):
        parts.append(f"in no run: {named(never)}")
    return f"To {to}: {'; '.join(parts)}."


def _epochs(count: float) -> str:
    return f"{count:g} {'epoch' if count == 1 else 'epochs'}"


# Why


def claims(sections: Sequence[Section]) -> str:
    """Return how many claims of the experiments hold."""
    verdicts = [finding.verdict for section in sections for finding in section.findings]
    if not verdicts:
        return ""
    return (
        f"Of {counted(len(verdicts), 'claim')} about activation functions,"
        f" {counts_of(verdicts)}. The verdicts follow from the tables by rules that the code"
        " states."
    )


def counts_of(verdicts: Sequence[str]) -> str:
    """Return how many of the claims with these verdicts hold, "2 hold and 1 does not hold"."""
    words = [word for word in (HOLDS, IN_PART, FAILS, UNDECIDED) if word in verdicts]
    counts = [verdicts.count(word) for word in words]
    return listing(f"{count} {_verb(word, count)}" for word, count in zip(words, counts))


def _verb(verdict: str, count: int) -> str:
    if count == 1:
        return "was not measured" if verdict == UNDECIDED else verdict
    plural = {HOLDS: "hold", IN_PART: "hold in part", FAILS: "do not hold"}
    return plural.get(verdict, "were not measured")
