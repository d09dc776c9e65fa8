"""The answer: what to use, among activations that no other is shown to beat.

DataFrames in, plain objects out, as they stand in answer.json.
"""

import itertools
from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd

from benchmark.stats.summary import SETTINGS, mostly, with_shared_rates
from benchmark.stats.verdicts import BETTER, EQUAL, MIXED, NOT_LEARNED, SAME, UNDECIDED, WORSE

# Times closer than this share are no reason to prefer one.
SAME_COST = 0.05


class RuledOut(TypedDict):
    """An activation not to use: `reason` is "worse" or "did not learn".

    `without_learning` of its `runs` diverged or did not learn.
    """

    activation: str
    reason: str
    beaten_by: list[str]
    without_learning: int
    runs: int


class Answer(TypedDict):
    """The answer in one setting.

    `use` are the activations that no other is shown to beat, the cheapest first; `cost` is an
    epoch's time over the baseline's, by activation. `equal` groups those of `use` that are shown to
    be equal within `margin` (of accuracy, a share). `undecided` has their open pairs, those with
    the control included while it is not beaten, and `seeds_needed` is about how many more seeds
    would decide the first of these. `without_runs` have no run that ended. `control_beaten` is None
    without a control, or others beside it. `seeds` is the largest number of seeds of an activation,
    `seconds` the time that all runs took. `setting` are the other settings.
    """

    dataset: str
    model: str
    setting: dict[str, Any]
    baseline: str
    use: list[str]
    cost: dict[str, float]
    equal: list[list[str]]
    undecided: list[list[str]]
    seeds_needed: int | None
    ruled_out: list[RuledOut]
    without_runs: list[str]
    margin: float | None
    control: str | None
    control_beaten: bool | None
    seeds: int
    seconds: float


def answers(
    pairs: pd.DataFrame,
    summary: pd.DataFrame,
    runs: pd.DataFrame,
    baseline: str,
    control: str | None = None,
) -> list[Answer]:
    """Return the answer in each setting that has runs, in the order of the summary.

    Args:
        pairs: as `comparisons.all_pairs` gives them.
        summary: as `summary.summarize` gives it.
        runs: those that the summary is of, as `summary.final_runs` gives them.
        baseline: whose time per epoch is 1.
        control: the activation that is there to be beaten, and never the answer.
    """
    chosen = pairs[pairs["metric"] == "test_accuracy"]
    in_pairs, in_runs = _by_setting(chosen), _by_setting(runs)
    found = []
    for key, rows in _by_setting(summary).items():
        if key not in in_runs:
            # The tables are of an earlier job, and the one after it was interrupted.
            continue
        setting = dict(zip(SETTINGS, key))
        compared = in_pairs.get(key, chosen.iloc[:0])
        dataset, model = str(setting.pop("dataset")), str(setting.pop("model"))
        answer = {
            "dataset": dataset,
            "model": model,
            "setting": setting,
            "baseline": baseline,
            **_answer(compared, rows.set_index("activation"), baseline, control),
            "seeds": _most_seeds(in_runs[key]),
            "seconds": round(float(in_runs[key]["seconds"].sum()), 1),
        }
        found.append(cast(Answer, answer))
    return found


def _by_setting(table: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Return the rows of each setting; None stands for what is empty."""
    if table.empty:
        return {}
    grouped = with_shared_rates(table).groupby(SETTINGS, sort=False, dropna=False)
    return {tuple(map(_plain, key)): table.loc[rows.index] for key, rows in grouped}


def _most_seeds(runs: pd.DataFrame) -> int:
    """Return the largest number of seeds of an activation: one on two devices is one."""
    ended = runs[runs["status"].isin(["complete", "diverged"])]
    return int(ended.groupby("activation")["seed"].nunique().max()) if len(ended) else 0


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it."""
    if pd.isna(value):
        return None
    if isinstance(value, float):
        return int(value) if value == int(value) else float(value)
    return value.item() if isinstance(value, np.generic) else value


def _answer(
    pairs: pd.DataFrame, rows: pd.DataFrame, baseline: str, control: str | None
) -> dict[str, Any]:
    """Return what the comparisons and the activations' rows of one setting say."""
    verdicts = _both_ways(pairs)
    stuck = mostly(rows["n_completed"], rows["n_diverged"], rows["n_not_learned"].fillna(0))
    missed = rows["n_diverged"] + rows["n_not_learned"].fillna(0)
    runs = rows["n_completed"] + rows["n_diverged"]
    not_learned = set(rows.index[stuck])
    beaten = {
        name: [other for other in rows.index if verdicts.get((other, name)) == BETTER]
        for name in rows.index
    }
    ended = list(rows.index[(rows["n_completed"] > 0) | (rows["n_diverged"] > 0)])
    known = control in ended
    others = [name for name in ended if name != control]
    learned = [name for name in others if name not in not_learned]
    use = _cheapest_first(rows.loc[[name for name in learned if not beaten[name]]], baseline)
    # One that did not learn is worse than those that did.
    control_beaten = known and bool(beaten[str(control)] or (control in not_learned and learned))
    watched = use if control_beaten or not known else [*use, str(control)]
    open_pairs = [
        [first, second]
        for first, second in itertools.combinations(watched, 2)
        if verdicts.get((first, second)) in (UNDECIDED, MIXED)
    ]
    is_open = [set(names) in map(set, open_pairs) for names in _names(pairs)]
    return {
        "use": use,
        "cost": _costs(rows, baseline),
        "equal": _groups(use, verdicts),
        "undecided": open_pairs,
        "seeds_needed": _plain(pairs.loc[is_open, "seeds_needed"].min()) if open_pairs else None,
        "ruled_out": [
            RuledOut(
                activation=name,
                reason=NOT_LEARNED if name in not_learned else WORSE,
                beaten_by=beaten[name],
                without_learning=int(missed[name]),
                runs=int(runs[name]),
            )
            for name in rows.index
            if name != control and (name in not_learned or beaten[name])
        ],
        "without_runs": [name for name in rows.index if name not in ended],
        "margin": _plain(pairs["margin"].max()) if len(pairs) else None,
        "control": control if known else None,
        "control_beaten": control_beaten if known and others else None,
    }


def _names(pairs: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(pairs["activation"], pairs["baseline"]))


def _both_ways(pairs: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the verdict on the first of two activations, whichever way round their row is."""
    straight = dict(zip(_names(pairs), pairs["verdict"]))
    turn = {BETTER: WORSE, WORSE: BETTER}
    return straight | {
        (second, first): turn.get(verdict, verdict) for (first, second), verdict in straight.items()
    }


def _costs(rows: pd.DataFrame, baseline: str) -> dict[str, float]:
    """Return the median time of an epoch, over the baseline's if that is known."""
    seconds = rows["seconds_per_epoch_median"].dropna()
    if not seconds.get(baseline, 0) > 0:
        return {}
    return {str(name): round(float(one / seconds[baseline]), 3) for name, one in seconds.items()}


def _cheapest_first(rows: pd.DataFrame, baseline: str) -> list[str]:
    """Return the activations by cost; of those as cheap as the cheapest the baseline comes first,
    then the more accurate."""
    seconds = rows["seconds_per_epoch_median"].fillna(np.inf)
    seconds = seconds.mask(seconds <= seconds.min() * (1 + SAME_COST), seconds.min())

    def place(name: str) -> tuple[float, bool, float]:
        return seconds[name], name != baseline, -rows["test_accuracy_mean"].fillna(0)[name]

    return sorted(rows.index, key=place)


def _groups(use: list[str], verdicts: dict[tuple[str, str], str]) -> list[list[str]]:
    """Return groups of two and more that are all equal to each other, the cheapest first."""
    groups: list[list[str]] = []
    for name in use:
        for group in groups:
            if all(verdicts.get((name, other)) in (EQUAL, SAME) for other in group):
                group.append(name)
                break
        else:
            groups.append([name])
    return [group for group in groups if len(group) > 1]
