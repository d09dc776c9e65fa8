"""What a folder's tables say, in words: DataFrames in, Markdown out, every number from a table."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from benchmark.experiments import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.inference import smallest_p
from benchmark.sections import Section
from benchmark.statistics import MARGIN
from benchmark.wording import counted, listing, number

ALPHA = 0.05
BETTER, WORSE, NOTHING_SHOWN, TOO_FEW = "better", "worse", "no difference shown", "too few seeds"
# More than this many names in a sentence are counted instead.
MOST = 12


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


def _p(value: float) -> str:
    return f"p = {number(value)}"


def _are(count: int) -> str:
    return f"{count} is" if count == 1 else f"{count} are"


def named(names: Iterable[str]) -> str:
    """Return the names, or how many there are where they are many."""
    names = list(names)
    return listing(names) if len(names) <= MOST else f"{len(names)} activations"


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


# What came out


def headline(summary: pd.DataFrame) -> str:
    """Return who is best and worst, and who did not learn, for the rows of one setting."""
    done = _by_accuracy(summary)
    if done.empty:
        return "No run is complete yet."
    return _sentences(_extremes(done), not_learned(summary))


def learning(summary: pd.DataFrame) -> str:
    """Return who is ahead in validation accuracy, for the rows of one setting."""
    done = summary[summary["val_accuracy_mean"].notna()]
    if done.empty:
        return "No run is complete: the curves end where the runs stand."
    at_end = done.sort_values(["val_accuracy_mean", "activation"], ascending=[False, True])
    first, last = at_end.iloc[0], at_end.iloc[-1]
    after = f"After {_epochs(first['epochs_asked'])}"
    text = (
        f"{after} {first['activation']}'s validation accuracy is"
        f" {percentage(first['val_accuracy_mean'])}"
    )
    if len(done) == 1:
        return f"{text}."
    text += (
        f", the highest; {last['activation']}'s, {percentage(last['val_accuracy_mean'])}, is the"
        " lowest."
    )
    over = done[done["val_accuracy_auc_mean"].notna()]
    if over.empty:
        return text
    ahead = over.sort_values(["val_accuracy_auc_mean", "activation"], ascending=[False, True])
    name, mean = ahead.iloc[0][["activation", "val_accuracy_auc_mean"]]
    return (
        f"{text} Over all epochs together, which counts how fast a network learns too, {name} is"
        f" ahead ({percentage(mean)} on average)."
    )


def final(summary: pd.DataFrame) -> str:
    """Return who is best and worst in test accuracy, for the rows of one setting."""
    done = _by_accuracy(summary)
    if done.empty:
        return "No run is complete: there is no final accuracy yet."
    return _sentences(_extremes(done), _sampling(done), not_learned(summary), _notes(summary))


def _by_accuracy(summary: pd.DataFrame) -> pd.DataFrame:
    done = summary[summary["test_accuracy_mean"].notna()]
    return done.sort_values(
        ["test_accuracy_mean", "activation"], ascending=[False, True], kind="stable"
    )


def _extremes(done: pd.DataFrame) -> str:
    best, worst = done.iloc[0], done.iloc[-1]
    one = done["n_seeds"].max() == 1
    what = "test accuracy" if one else "mean test accuracy"
    if len(done) == 1:
        return f"The {what} of {best['activation']} is {_accuracy(best)}."
    text = (
        f"The highest {what} is {best['activation']}'s, {_accuracy(best)}; the lowest is"
        f" {worst['activation']}'s, {_accuracy(worst)}."
    )
    if one:
        text += " With one run each there is no telling how much of that is the seed's."
    return text


def _accuracy(row: pd.Series) -> str:
    text = percentage(row["test_accuracy_mean"])
    low, high = row["test_accuracy_ci_low"], row["test_accuracy_ci_high"]
    if not pd.isna(low):
        text += f" (95 % interval {100 * low:.2f} to {100 * high:.2f})"
    return text


def _sampling(done: pd.DataFrame) -> str:
    errors = done["test_sampling_error"]
    if errors.notna().sum() == 0:
        return ""
    return (
        f"Other test images of the same kind and number would change an accuracy by"
        f" {100 * errors.iloc[0]:.2f} points (standard error, at {done.iloc[0]['activation']}'s);"
        " the intervals do not hold this, for all activations see the same images."
    )


def not_learned(summary: pd.DataFrame) -> str:
    """Return which activations' complete runs stayed at guessing; empty where none did."""
    rows = summary[summary["n_not_learned"] > 0]
    if rows.empty:
        return ""
    who = [
        f"{row.activation} in {'its only run' if row.n_seeds == 1 else _of(row)}"
        for row in rows.itertuples()
    ]
    return (
        f"Not learnt (test accuracy at most {100 * MARGIN:g} points above guessing the most"
        f" frequent class): {named(who)}."
    )


def _of(row: Any) -> str:
    return f"{row.n_not_learned} of {row.n_seeds} runs"


def _notes(summary: pd.DataFrame) -> str:
    rows = summary[summary["note"].fillna("") != ""]
    return " ".join(f"{row.activation}: {_sentence(row.note)}" for row in rows.itertuples())


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


# What is real


def differences(comparisons: pd.DataFrame, metric: str = "test_accuracy") -> str:
    """Return what the comparisons with the baseline show, for the rows of one setting."""
    rows = comparisons[comparisons["metric"] == metric]
    if rows.empty:
        return "There is nothing to compare: the baseline and another activation are needed."
    baseline, said = rows["baseline"].iloc[0], metric.replace("_", " ")
    if (rows["verdict"] == TOO_FEW).all():
        return _sentences(_too_few(rows), _only_pair(rows))
    if len(rows) == 1:
        return _only_comparison(rows.iloc[0], metric)
    told = [
        _shown(rows, BETTER),
        _shown(rows, WORSE),
        _not_shown(rows),
        _too_few_of(rows),
    ]
    return (
        f"By {said}, of {counted(len(rows), 'activation')} compared with {baseline}:"
        f" {'; '.join(part for part in told if part)}. (Wilcoxon's exact signed-rank test over runs"
        f" of the same seed; Holm's correction keeps the chance of any false alarm among the"
        f" {len(rows)} comparisons at {100 * ALPHA:g} %.)"
    )


def _only_comparison(row: pd.Series, metric: str) -> str:
    name, baseline = row["activation"], row["baseline"]
    text = f"By {metric.replace('_', ' ')}, "
    if row["verdict"] == NOTHING_SHOWN:
        text += f"no difference between {name} and {baseline} is shown"
    else:
        text += f"{name} is {row['verdict']} than {baseline}"
    return (
        f"{text} ({_difference(row['difference'], metric)}; Wilcoxon's exact signed-rank test over"
        f" {counted(row['n_pairs'], 'pair')} of runs of the same seed: {_p(row['p_value'])})."
    )


def _difference(value: float, metric: str) -> str:
    # A loss has no unit.
    return points(value) if metric == "test_accuracy" else f"{value:+.3g}".replace("-", "−")


def _shown(rows: pd.DataFrame, verdict: str) -> str:
    found = rows[rows["verdict"] == verdict]
    if found.empty:
        return f"none is {verdict}"
    found = found.sort_values("difference", key=abs, ascending=False, kind="stable")
    who = [
        f"{row.activation} {_difference(row.difference, row.metric)}" for row in found.itertuples()
    ]
    return f"{_are(len(found))} {verdict} ({named(who)})"


def _not_shown(rows: pd.DataFrame) -> str:
    found = rows[rows["verdict"] == NOTHING_SHOWN]
    if found.empty:
        return ""
    text = f"for {len(found)} no difference is shown ({named(found['activation'])})"
    known = found[found["ci_low"].notna()]
    if len(known) and (known["metric"] == "test_accuracy").all():
        text += (
            ", which does not mean that there is none: the intervals of these reach from"
            f" {interval(known['ci_low'].min(), known['ci_high'].max())} points"
        )
    return text


def _too_few_of(rows: pd.DataFrame) -> str:
    found = rows[rows["verdict"] == TOO_FEW]
    if found.empty:
        return ""
    return f"for {len(found)} there are too few seeds ({named(found['activation'])})"


def _too_few(rows: pd.DataFrame) -> str:
    most, count, baseline = int(rows["n_pairs"].max()), len(rows), rows["baseline"].iloc[0]
    if most == 0:
        return (
            f"Nothing can be compared with {baseline}: no seed has a complete run both of it and of"
            " another activation."
        )
    compared = "1 comparison takes" if count == 1 else f"{count} comparisons at once take"
    return (
        f"With {counted(most, 'pair')} of runs per comparison no difference from {baseline} can be"
        f" shown, however large it is: {compared} at least {seeds_needed(count)} seeds. The"
        " differences here are what these runs gave, and no more than that."
    )


def seeds_needed(comparisons: int) -> int:
    """Return with how many paired seeds that many comparisons can show a difference at all."""
    pairs = 1
    while smallest_p(pairs, comparisons) >= ALPHA:
        pairs += 1
    return pairs


def _only_pair(rows: pd.DataFrame) -> str:
    tested = rows[rows["mcnemar_p"].notna()]
    if tested.empty:
        return ""
    baseline = rows["baseline"].iloc[0]
    apart = tested[tested["mcnemar_p"] < ALPHA]
    who = [f"{row.activation} ({_p(row.mcnemar_p)})" for row in apart.itertuples()]
    return (
        "Of one pair of networks one can still ask whether they err on the same test images"
        f" (McNemar's exact test, not corrected): a difference from {baseline}'s network is shown"
        f" for {named(who)}. That is said of these networks, not of the activations."
    )


def pairs(table: pd.DataFrame) -> str:
    """Return which of all pairs of activations differ in test accuracy, for one setting's rows."""
    if len(table) < 2 or (table["verdict"] == TOO_FEW).all():
        return ""
    found = table[table["verdict"].isin((BETTER, WORSE))]
    if found.empty:
        return f"Among all {len(table)} pairs of activations no difference is shown."
    who = []
    for row in found.itertuples():
        names = (row.activation, row.baseline)
        who.append("{} over {}".format(*(names if row.verdict == BETTER else names[::-1])))
    text = f": {listing(who)}" if len(who) <= MOST else ""
    return (
        f"Among all {len(table)} pairs of activations, {_are(len(found))} told apart{text}"
        f" (Holm's correction for {len(table)}; pairs.csv has them all)."
    )


def ranking(ranks: pd.DataFrame) -> str:
    """Return what the mean ranks over seeds say, for the rows of one setting."""
    if ranks.empty:
        return ""
    ordered = ranks.sort_values(["mean_rank", "activation"], kind="stable")
    first, last = ordered.iloc[0], ordered.iloc[-1]
    count, blocks = int(first["n_activations"]), int(first["n_blocks"])
    if blocks < 1 or count < 2:
        return ""
    over = "the one seed" if blocks == 1 else f"{blocks} seeds"
    text = (
        f"Ranked by test accuracy within {over} that all {count} activations completed, the mean"
        f" rank goes from {first['mean_rank']:.2f} ({first['activation']}) to"
        f" {last['mean_rank']:.2f} ({last['activation']})."
    )
    p, apart = first["friedman_p"], first["critical_difference"]
    if pd.isna(p):
        return f"{text} That is too little for a test."
    if p >= ALPHA:
        return f"{text} Friedman's test does not show that the ranks differ ({_p(p)})."
    return (
        f"{text} They differ (Friedman's test: {_p(p)}); two activations are told apart where"
        f" their mean ranks differ by more than {apart:.2f} (Nemenyi's critical difference)."
    )


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
    text = f"Of the learning rates {listing(rates)}, the best in mean validation accuracy is"
    text += f" {'; '.join(groups)}." if groups else " unknown: none could be chosen yet."
    edge = chosen[_true(chosen["at_edge"])]
    if len(edge):
        text += (
            f" At the grid's edge, where a rate beyond it might do better: "
            f"{named(edge['activation'])}."
        )
    missing = sorted(set(tuning["activation"]) - set(chosen["activation"]))
    if groups and missing:
        text += f" Without a choice: {named(missing)}."
    return text


def _true(column: pd.Series) -> pd.Series:
    return column.astype(str) == "True"


# What is misread


def mistakes(confusion: pd.DataFrame, misread: pd.DataFrame) -> str:
    """Return what the best and the worst activation take for what, for one setting's rows."""
    told = [
        _mixed_up(role, rows)
        for role, rows in confusion.groupby("role", sort=False)
        if rows["count"].sum()
    ]
    return _sentences(*told, _hardest(misread))


def _mixed_up(role: str, rows: pd.DataFrame) -> str:
    wrong = rows[rows["true"] != rows["predicted"]]
    total, errors, runs = rows["count"].sum(), wrong["count"].sum(), int(rows["n_runs"].iloc[0])
    name, over = rows["activation"].iloc[0], counted(runs, "run")
    text = f"{name}, the {role} in mean test accuracy, misreads {percentage(errors / total)}"
    text += f" of the test images ({over})"
    if not errors:
        return f"{text}."
    most = wrong.sort_values(["count", "true", "predicted"], ascending=[False, True, True]).iloc[0]
    return (
        f"{text}; its most frequent mistake is to read {most['true']} as {most['predicted']}"
        f" ({int(most['count'])} of {int(errors)})."
    )


def _hardest(misread: pd.DataFrame) -> str:
    rows = misread[misread["role"] == "best"]
    if rows.empty:
        return ""
    first = rows.sort_values(["n_misread", "index"], ascending=[False, True]).iloc[0]
    read = int(first["n_misread"])
    times = f"in {read} of {int(first['n_runs'])} runs" if first["n_runs"] > 1 else "in its run"
    return (
        f"Of the test images, {first['activation']} misreads number {first['index']} most often"
        f" ({times}): a {first['true']} taken for a {first['predicted']}."
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


def levels(table: pd.DataFrame) -> str:
    """Return who is first to each level of validation accuracy, for the rows of one setting."""
    return " ".join(_first_to(level, rows) for level, rows in table.groupby("level"))


def _first_to(level: float, rows: pd.DataFrame) -> str:
    there = rows[rows["epochs_median"].notna()].sort_values(["epochs_median", "activation"])
    to = f"{100 * level:g} % validation accuracy"
    if there.empty:
        return f"No activation reaches {to} in more than half of its runs."
    least = there["epochs_median"].iloc[0]
    first = named(there[there["epochs_median"] == least]["activation"])
    text = f"To {to}: {first} after {_epochs(least)}"
    never = rows[rows["epochs_median"].isna()]["activation"]
    if len(there) > 1:
        text += f", the last to get there after {_epochs(there['epochs_median'].iloc[-1])}"
    if len(never):
        text += f"; not within these runs: {named(never)}"
    return f"{text}."


def _epochs(count: float) -> str:
    return f"{count:g} {'epoch' if count == 1 else 'epochs'}"


# Why


def claims(sections: Sequence[Section]) -> str:
    """Return how many claims of the experiments hold."""
    verdicts = [finding.verdict for section in sections for finding in section.findings]
    if not verdicts:
        return ""
    words = (HOLDS, IN_PART, FAILS, UNDECIDED)
    told = [f"{verdicts.count(word)} {_verb(word, verdicts.count(word))}" for word in words]
    return (
        f"Of {counted(len(verdicts), 'claim')} about activation functions,"
        f" {listing(text for text in told if not text.startswith('0 '))}. The verdicts follow from"
        " the tables by rules that the code states."
    )


def _verb(verdict: str, count: int) -> str:
    if count == 1:
        return "was not measured" if verdict == UNDECIDED else verdict
    plural = {HOLDS: "hold", IN_PART: "hold in part", FAILS: "do not hold"}
    return plural.get(verdict, "were not measured")
