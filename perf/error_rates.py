"""Simulate how often verdicts are false, and how many seeds they take.

Usage: python perf/error_rates.py [--quick] [--repetitions 10000] [--output results/perf]

Made-up scores (perf/noise.py) are judged by `benchmark.stats.verdicts` itself after every seed: of
equal activations (is any called better or worse?), of two that differ by exactly the margin (are
they called equal?), and of two that differ by more or less (how many seeds until a verdict?).
Writes error_rates.csv (tidy) and error_rates.md.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from noise import Noise, noises, residuals

from benchmark.results.formats import csv_text, write_atomic
from benchmark.stats import tests, verdicts
from benchmark.stats.verdicts import BETTER, EQUAL, MIXED, UNDECIDED, WORSE

# How many activations a job has; of the first, two are looked at more closely.
ACTIVATIONS = (7, 2)
MOST_SEEDS = 40
ROUNDS, EVERY_SEED = "rounds of 8, 12, 16, 20", "every seed up to 40"
LOOKS = {ROUNDS: (8, 12, 16, 20), EVERY_SEED: tuple(range(1, MOST_SEEDS + 1))}
# With fewer seeds nobody would believe a t-test.
T_TESTS_FROM = 8
DIFFERENCES = (0.0, 0.1, 0.3, 0.5, 1.0, 3.0)  # points
QUICK, JOBS_AT_ONCE = 200, 500

FALSE_DIFFERENCE, FALSE_EQUALITY, POWER = "false difference", "false equality", "power"
COLUMNS = ["question", "noise", "promised", "activations", "difference", "margin", "looks"]
COLUMNS += ["measure", "value", "low", "high", "repetitions"]


def looks(
    differences: np.ndarray, family: int, margin: float
) -> Iterator[tuple[int, verdicts.Evidence]]:
    """Give the number of seeds and what the differences (m, n) show after each seed."""
    for seeds in range(1, differences.shape[1] + 1):
        yield seeds, verdicts.evidence(differences[:, :seeds], family, margin)


def generator_of(*words: str | float) -> np.random.Generator:
    """Return a generator that depends on these words, not on what else is simulated."""
    return np.random.default_rng(list(repr(words).encode()))


def false_differences(noise: Noise, activations: int, repetitions: int) -> list[dict]:
    """Return how many jobs of equal activations have a verdict that claims a difference.

    The measures: `false`, any pair is better, worse or mixed; `mixed`, a part of it; `t_tests`,
    paired t-tests with Bonferroni's correction call any pair different.
    """
    generator = generator_of(FALSE_DIFFERENCE, noise.name, activations)
    first, second = np.triu_indices(activations, 1)
    measures = ("false", "mixed", "t_tests")
    seen = {name: np.zeros((MOST_SEEDS, repetitions), bool) for name in measures}
    for start in range(0, repetitions, JOBS_AT_ONCE):
        jobs = slice(start, min(start + JOBS_AT_ONCE, repetitions))
        scores = noise.draw(generator, (jobs.stop - start, MOST_SEEDS, activations))
        differences = (scores[..., first] - scores[..., second]).transpose(0, 2, 1)
        rows = differences.reshape(-1, MOST_SEEDS)
        for seeds, found in looks(rows, len(first), noise.margin):
            for name, pairs in zip(measures, claims(found, len(first))):
                seen[name][seeds - 1, jobs] = pairs.reshape(-1, len(first)).any(axis=1)
    facts = {"question": FALSE_DIFFERENCE, "noise": noise.name, "promised": noise.promised}
    facts |= {"activations": activations, "difference": 0.0, "margin": noise.margin}
    return [
        {**facts, "looks": text, "measure": name, **rate(table[np.subtract(at, 1)].any(axis=0))}
        for text, at in LOOKS.items()
        for name, table in seen.items()
    ]


def claims(found: verdicts.Evidence, family: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which pairs (m,) differ by their verdict, which are mixed, which differ by t-test."""
    words = verdicts.verdicts(found)
    p = tests.student_p(found.n, found.mean, found.std)
    by_test = (p < verdicts.ALPHA / family) & (found.n >= T_TESTS_FROM)
    return np.isin(words, [BETTER, WORSE, MIXED]), words == MIXED, by_test


def false_equality(noise: Noise, margin: float, repetitions: int) -> list[dict]:
    """Return how many pairs that differ by exactly the margin are called equal at any look.

    The measures: `equal`, the verdict; `tests`, equality was found, even where the verdict is of
    the difference.
    """
    differences, family = pairs_of(noise, margin, repetitions)
    equal, by_tests = np.zeros(repetitions, bool), np.zeros(repetitions, bool)
    for _, found in looks(differences, family, margin):
        equal |= verdicts.verdicts(found) == EQUAL
        by_tests |= found.equal
    facts = {"question": FALSE_EQUALITY, "noise": noise.name, "promised": noise.promised}
    facts |= {"activations": ACTIVATIONS[0], "difference": margin, "margin": margin}
    return [
        {**facts, "looks": EVERY_SEED, "measure": name, **rate(happened)}
        for name, happened in {"equal": equal, "tests": by_tests}.items()
    ]


def power(noise: Noise, difference: float, repetitions: int) -> list[dict]:
    """Return which verdicts pairs have after 20 and 40 seeds, and the median seeds to any.

    The measures: `better_20`, `equal_20`, `other_20` (worse or mixed), …; `median_seeds`, empty
    where fewer than half have a verdict.
    """
    differences, family = pairs_of(noise, difference, repetitions)
    words = np.array(
        [verdicts.verdicts(found) for _, found in looks(differences, family, noise.margin)]
    )
    kinds = {"better": [BETTER], "equal": [EQUAL], "other": [WORSE, MIXED]}
    measured = {
        f"{name}_{seeds}": rate(np.isin(words[seeds - 1], kind))
        for seeds in (20, MOST_SEEDS)
        for name, kind in kinds.items()
    }
    decided = words != UNDECIDED
    first = np.where(decided.any(axis=0), decided.argmax(axis=0) + 1, np.inf)
    median = float(np.median(first))
    measured["median_seeds"] = {
        "value": median if np.isfinite(median) else None,
        "repetitions": repetitions,
    }
    facts = {"question": POWER, "noise": noise.name, "activations": ACTIVATIONS[0]}
    facts |= {"difference": difference, "margin": noise.margin, "looks": EVERY_SEED}
    return [{**facts, "measure": name, **values} for name, values in measured.items()]


def pairs_of(noise: Noise, difference: float, repetitions: int) -> tuple[np.ndarray, int]:
    """Return differences of which the true one is this, (repetitions, seeds), and their family."""
    activations = ACTIVATIONS[0]
    generator = generator_of(noise.name, difference)
    scores = noise.draw(generator, (repetitions, MOST_SEEDS, activations))
    return scores[..., 0] - scores[..., 1] + difference, activations * (activations - 1) // 2


def rate(happened: np.ndarray) -> dict[str, float]:
    """Return the share of these events with its 95 % interval (Clopper & Pearson 1934)."""
    found = stats.binomtest(int(happened.sum()), len(happened))
    low, high = found.proportion_ci(0.95, method="exact")
    share = float(found.statistic)
    return {"value": share, "low": float(low), "high": float(high), "repetitions": len(happened)}


def simulate(simulated: list[Noise], repetitions: int) -> list[dict]:
    """Return the rows of error_rates.csv; power is of the first two."""
    rows = []
    for noise in simulated:
        for activations in ACTIVATIONS:
            rows += false_differences(noise, activations, repetitions)
        # Four times the margin is as a quarter of the spread.
        for margin in (noise.margin, 4 * noise.margin):
            rows += false_equality(noise, margin, repetitions)
        print(noise.name, flush=True)
    for noise in simulated[:2]:
        for difference in DIFFERENCES:
            rows += power(noise, difference, repetitions)
    return rows


def promise(row: pd.Series) -> str:
    """Return whether the simulation shows that an error rate is at most 5 %."""
    if not row["promised"]:
        return "not promised"
    if row["high"] <= verdicts.ALPHA:
        return "holds"
    return "does not hold" if row["low"] > verdicts.ALPHA else "not shown"


def report(rows: list[dict]) -> str:
    """Return what the rows say, as Markdown."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    parts = dict(iter(frame.groupby("question")))
    lines = [
        f"By `python perf/error_rates.py`: of each simulation {frame['repetitions'].iloc[0]}"
        " repetitions; 95 % intervals in brackets. Error rates of 5 % at most are promised where"
        " runs of the same seed are independent draws from the same distribution. The other kinds"
        " of noise, too, have the same mean for all activations.",
        *false_difference_lines(parts[FALSE_DIFFERENCE]),
        *false_equality_lines(parts[FALSE_EQUALITY]),
        *power_lines(parts[POWER]),
    ]
    return "\n".join(lines) + "\n"


def false_difference_lines(rows: pd.DataFrame) -> list[str]:
    """Return the table of jobs with a false verdict."""
    lines = [
        "",
        "## Equal activations",
        "",
        "Jobs in which at any look any pair is *better*, *worse* or *mixed*; and for comparison"
        f" jobs in which at any look from {T_TESTS_FROM} seeds on paired t-tests with Bonferroni's"
        " correction call any pair different.",
        "",
        f"| noise | activations | {ROUNDS} | {EVERY_SEED} | at most 5 % | t-tests, rounds |"
        " t-tests, every seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (noise, activations), part in rows.groupby(["noise", "activations"], sort=False):
        row = part.set_index(["measure", "looks"])
        judged = [row.loc["false", at] for at in LOOKS]
        tested = [percent(row.loc["t_tests", at]["value"]) for at in LOOKS]
        cells = [noise, str(activations), *map(interval, judged), promise(judged[-1]), *tested]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def false_equality_lines(rows: pd.DataFrame) -> list[str]:
    """Return the table of pairs that are falsely called equal."""
    lines = [
        "",
        "## Two activations that differ by exactly the margin",
        "",
        "Pairs (of a job of seven) that are *equal* at any look, after every seed up to 40. The"
        " last column counts all that pass the tests of equality: where a difference is shown, the"
        " verdict is *better*.",
        "",
        "| noise | margin, points | equal | at most 5 % | tests passed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (noise, margin), part in rows.groupby(["noise", "margin"], sort=False):
        row = part.set_index("measure")
        equal, passed = row.loc["equal"], row.loc["tests"]
        cells = [noise, f"{margin:g}", interval(equal), promise(equal), interval(passed)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def power_lines(rows: pd.DataFrame) -> list[str]:
    """Return the table of the seeds until a verdict."""
    spreads = [np.sqrt(2) * residuals(name).std() for name in ("digits", "mnist")]
    lines = [
        "",
        "## Seeds until a verdict",
        "",
        "Of two activations in a job of seven, looked at after every seed. Recorded differences of"
        f" two have a standard deviation of {spreads[0]:.2f} points on digits and of"
        f" {spreads[1]:.2f} on MNIST.",
        "",
        "| noise | margin, points | true difference, points | median seeds | better after 20 |"
        " equal after 20 | better after 40 | equal after 40 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    keys = ["noise", "margin", "difference"]
    for (noise, margin, difference), part in rows.groupby(keys, sort=False):
        value = part.set_index("measure")["value"]
        median = value["median_seeds"]
        seeds = f"over {MOST_SEEDS}" if pd.isna(median) else f"{median:g}"
        measures = ("better_20", "equal_20", f"better_{MOST_SEEDS}", f"equal_{MOST_SEEDS}")
        cells = [noise, f"{margin:g}", f"{difference:g}", seeds]
        cells += [percent(value[measure]) for measure in measures]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def percent(share: float) -> str:
    """Return a share as text."""
    return f"{100 * share:.1f} %"


def interval(row: pd.Series) -> str:
    """Return a share with its interval as text."""
    return f"{percent(row['value'])} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} repetitions")
    parser.add_argument("--repetitions", type=int, default=10_000, help="of each simulation")
    parser.add_argument("--output", type=Path, default=Path("results/perf"))
    options = parser.parse_args()
    start = time.process_time()
    rows = simulate(noises(), QUICK if options.quick else options.repetitions)
    text = report(rows)
    options.output.mkdir(parents=True, exist_ok=True)
    write_atomic(options.output / "error_rates.csv", csv_text(COLUMNS, rows))
    write_atomic(options.output / "error_rates.md", text)
    print(f"{text}\n{time.process_time() - start:.0f} seconds of processor time")


if __name__ == "__main__":
    main()
