"""Which differences between activations are real, in words: DataFrames in, Markdown out."""

import pandas as pd

from benchmark.formatting import counted, listing, number
from benchmark.report.story import MOST, interval, named, points
from benchmark.stats.comparisons import ALPHA, BETTER, NO_DIFFERENCE, TOO_FEW, WORSE
from benchmark.stats.tests import smallest_p

# With fewer seeds Friedman's and Nemenyi's tests are rough approximations.
_ENOUGH_BLOCKS = 10


def differences(comparisons: pd.DataFrame, metric: str = "test_accuracy") -> str:
    """Return what the comparisons with the baseline show, for the rows of one setting."""
    rows = comparisons[comparisons["metric"] == metric]
    if rows.empty:
        return "There is nothing to compare: the baseline and another activation are needed."
    baseline, said = rows["baseline"].iloc[0], metric.replace("_", " ")
    if (rows["verdict"] == TOO_FEW).all():
        return f"{_too_few(rows)} {_only_pair(rows)}".rstrip()
    if len(rows) == 1:
        return _only_comparison(rows.iloc[0], metric)
    told = [
        _shown(rows, BETTER),
        _shown(rows, WORSE),
        _not_shown(rows),
        _withheld(rows),
        _too_few_of(rows),
    ]
    return (
        f"By {said}, of {counted(len(rows), 'activation')} compared with {baseline}:"
        f" {'; '.join(part for part in told if part)}."
    )


def procedure(comparisons: pd.DataFrame) -> str:
    """Return how the verdicts of one setting's rows came about; empty where there can be none."""
    family = comparisons.groupby("metric").size().max()
    if (comparisons["verdict"] == TOO_FEW).all():
        return ""
    at = f"Wilcoxon's exact signed-rank test over runs of the same seed, at {100 * ALPHA:g} %"
    if family == 1:
        return f"({at}.)"
    return (
        f"({at}; Holm's correction keeps the chance of any false alarm among the {family}"
        f" comparisons at {100 * ALPHA:g} % at most, for this score alone.)"
    )


def _only_comparison(row: pd.Series, metric: str) -> str:
    name, baseline = row["activation"], row["baseline"]
    text = f"By {metric.replace('_', ' ')}, "
    withheld = _is_withheld(row.to_frame().T).all()
    if withheld:
        text += f"the verdict on {name} against {baseline} is withheld"
    elif row["verdict"] == NO_DIFFERENCE:
        text += f"no difference between {name} and {baseline} is shown"
    else:
        text += f"{name} is {row['verdict']} than {baseline}"
    return (
        f"{text} ({_difference(row['difference'], metric)} over"
        f" {counted(row['n_pairs'], 'pair')} of runs; {_p(row['p_value'])}"
        f"{'; ' + row['note'].replace('verdict withheld: ', '') if withheld else ''})."
    )


def _difference(value: float, metric: str) -> str:
    # A loss has no unit.
    return points(value) if metric == "test_accuracy" else f"{value:+.3g}".replace("-", "−")


def _shown(rows: pd.DataFrame, verdict: str) -> str:
    found = rows[rows["verdict"] == verdict]
    if found.empty:
        return f"none is {verdict}"
    found = found.sort_values("difference", key=abs, ascending=False, kind="stable")
    if len(found) > MOST:
        ends = [
            f"{_difference(row.difference, row.metric)} ({row.activation})"
            for row in found.iloc[[-1, 0]].itertuples()
        ]
        return f"{len(found)} are {verdict} (from {' to '.join(ends)})"
    who = [
        f"{row.activation} {_difference(row.difference, row.metric)}" for row in found.itertuples()
    ]
    return f"{_are(len(found))} {verdict} ({named(who)})"


def _is_withheld(rows: pd.DataFrame) -> pd.Series:
    """Return which rows a test tells apart, but their notes say why that is no verdict."""
    return rows["note"].fillna("").astype(str).str.contains("verdict withheld", regex=False)


def _withheld(rows: pd.DataFrame) -> str:
    found = rows[_is_withheld(rows)]
    if found.empty:
        return ""
    return f"for {len(found)} the verdict is withheld ({named(found['activation'])}; see the notes)"


def _not_shown(rows: pd.DataFrame) -> str:
    found = rows[(rows["verdict"] == NO_DIFFERENCE) & ~_is_withheld(rows)]
    if found.empty:
        return ""
    text = (
        f"for {len(found)} no difference is shown{_bracketed(found)}, which does not mean that"
        " there is none"
    )
    known = found[found["ci_low"].notna()]
    if len(known) and (known["metric"] == "test_accuracy").all():
        text += (
            ": the intervals of these reach from"
            f" {interval(known['ci_low'].min(), known['ci_high'].max())} points"
        )
    return text


def _too_few_of(rows: pd.DataFrame) -> str:
    found = rows[rows["verdict"] == TOO_FEW]
    if found.empty:
        return ""
    return f"for {len(found)} there are too few seeds{_bracketed(found)}"


def _bracketed(found: pd.DataFrame) -> str:
    """Return the activations in brackets, nothing where they are too many to be named."""
    names = named(found["activation"])
    return "" if names.endswith(" activations") else f" ({names})"


def _too_few(rows: pd.DataFrame) -> str:
    most, count, baseline = int(rows["n_pairs"].max()), len(rows), rows["baseline"].iloc[0]
    if most == 0:
        return (
            f"Nothing can be compared with {baseline}: no seed has a complete run both of it and of"
            " another activation."
        )
    at_most = "" if rows["n_pairs"].nunique() == 1 else "at most "
    compared = "1 comparison takes" if count == 1 else f"{count} comparisons at once take"
    return (
        f"With {at_most}{counted(most, 'pair')} of runs per comparison Wilcoxon's test with Holm's"
        f" correction can show no difference from {baseline}, however large: {compared} at least"
        f" {seeds_needed(count)} seeds. The differences here are what these runs gave, and no more"
        " than that."
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
    # One pair is the one comparison with the baseline; without any pair there is nothing to say.
    if len(table) < 2 or table["n_pairs"].max() == 0:
        return ""
    if (table["verdict"] == TOO_FEW).all():
        return _no_pair(table)
    found = table[table["verdict"].isin((BETTER, WORSE))]
    if found.empty:
        withheld = int(_is_withheld(table).sum())
        beside = f"; for {withheld} the verdict is withheld (pairs.csv says why)" * (withheld > 0)
        return f"Among all {len(table)} pairs of activations no difference is shown{beside}."
    who = []
    for row in found.itertuples():
        names = (row.activation, row.baseline)
        who.append("{} over {}".format(*(names if row.verdict == BETTER else names[::-1])))
    text = f": {listing(who)}" if len(who) <= MOST else ""
    return (
        f"Among all {len(table)} pairs of activations, {_are(len(found))} told apart{text}"
        f" (Holm's correction for {len(table)}; pairs.csv has them all)."
    )


def _no_pair(table: pd.DataFrame) -> str:
    most, count = int(table["n_pairs"].max()), len(table)
    at_most = "" if table["n_pairs"].nunique() == 1 else "at most "
    return (
        f"Of the {count} pairs of activations none can be told apart with"
        f" {at_most}{counted(most, 'seed')}: Holm's correction for so many takes at least"
        f" {seeds_needed(count)} (pairs.csv has the numbers)."
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
    rough = blocks < _ENOUGH_BLOCKS
    if pd.isna(p):
        return f"{text} That is too little for a test."
    if p >= ALPHA:
        text += f" Friedman's test does not show that the ranks differ ({_p(p)})."
        return f"{text} It is an approximation, rough for {blocks} seeds." if rough else text
    text = (
        f"{text} They differ (Friedman's test: {_p(p)}); two activations are told apart where"
        f" their mean ranks differ by more than {apart:.2f} (Nemenyi's critical difference)."
    )
    if not rough:
        return text
    return (
        f"{text} Both are approximations, rough for {blocks} seeds; where they and the verdicts"
        " above disagree, the verdicts are the exact ones."
    )


def _p(value: float) -> str:
    return f"p = {number(value)}"


def _are(count: int) -> str:
    return f"{count} is" if count == 1 else f"{count} are"
