import io
import itertools
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from benchmark.plotting.palette import gray_line_style, line_style
from benchmark.plotting.scores import (
    confusion_figure,
    differences_figure,
    final_figure,
    misclassified_figure,
    ranks_figure,
    time_figure,
    tuning_figure,
)

SIX = ["sigmoid", "relu", "elu", "leaky_relu", "selu", "gelu"]
TWENTY = [*SIX, *(f"activation_{i}" for i in range(14))]
LINE_STYLES = {name: line_style(index) for index, name in enumerate(TWENTY[:17])}
EDGES = ("low", "high")


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def runs_frame(names=SIX, n_seeds=5, best=0.98, step=0.002, deviation=0.002, images=10_000):
    """Complete runs of one setting: the later a name, the worse, on the average."""
    generator = np.random.default_rng(1)
    rows = []
    for place, name in enumerate(names):
        for seed in range(n_seeds):
            score = best - step * place + deviation * generator.standard_normal()
            rows.append(
                {
                    "run": f"{name}-{seed}",
                    "activation": name,
                    "seed": seed,
                    "status": "complete",
                    "test_accuracy": round(score * images) / images,
                    "test_images": images,
                }
            )
    return pd.DataFrame(rows)


def set_runs(runs, name, seeds, **values):
    """The frame with these values for some of an activation's seeds."""
    runs = runs.copy()
    rows = (runs["activation"] == name) & runs["seed"].isin(seeds)
    for column, value in values.items():
        runs.loc[rows, column] = value
    return runs


def summary_frame(runs):
    rows = []
    for name, group in runs.groupby("activation", sort=True):
        scores = group.loc[group["status"] == "complete", "test_accuracy"]
        n, mean = len(scores), scores.mean()
        lost = int((scores < 0.2).sum())
        half = 2 * scores.std() / np.sqrt(n) if n > 1 and not 0 < lost < n else np.nan
        counts = {f"n_{s}": int((group["status"] == s).sum()) for s in ("diverged", "failed")}
        rows.append(
            {
                "activation": name,
                "n_completed": n,
                **counts,
                "n_unfinished": 0,
                "n_not_learned": lost,
                "test_accuracy_mean": mean,
                "test_accuracy_ci_low": mean - half,
                "test_accuracy_ci_high": mean + half,
                "test_accuracy_median": scores.median(),
                "test_sampling_error": np.sqrt(mean * (1 - mean) / group["test_images"].iloc[0]),
            }
        )
    return pd.DataFrame(rows)


def comparisons_frame(runs, baseline="relu"):
    scores = runs[runs["status"] == "complete"].pivot(
        index="seed", columns="activation", values="test_accuracy"
    )
    rows = []
    for name in sorted(set(runs["activation"]) - {baseline}):
        if name in scores:
            pairs = (scores[name] - scores[baseline]).dropna()
        else:
            pairs = pd.Series(dtype=float)
        mean, half = pairs.mean(), 2 * pairs.std() / np.sqrt(max(1, len(pairs)))
        verdict = "too few seeds"
        if len(pairs) >= 8:
            verdict = (
                "better"
                if mean - half > 0
                else "worse"
                if mean + half < 0
                else "no difference shown"
            )
        for metric in ("test_accuracy", "test_loss"):
            rows.append(
                {
                    "activation": name,
                    "baseline": baseline,
                    "metric": metric,
                    "n_pairs": len(pairs),
                    "difference": mean,
                    "ci_low": mean - half,
                    "ci_high": mean + half,
                    "p_adjusted": 0.0123 if len(pairs) else np.nan,
                    "verdict": verdict,
                }
            )
    return pd.DataFrame(rows)


def history_frame(runs, epochs=12):
    rows = []
    for place, run in enumerate(runs.to_dict("records")):
        if run["status"] == "failed":
            continue
        final = run["test_accuracy"] if np.isfinite(run["test_accuracy"]) else 0.5
        for epoch in range(1, epochs + 1):
            last = run["status"] == "diverged" and epoch == 4
            rows.append(
                {
                    "activation": run["activation"],
                    "run": run["run"],
                    "epoch": epoch,
                    "seconds": 2.0 + 0.1 * (place % 7) + 2 * (epoch == 1),
                    "loss": np.inf if last else 0.5,
                    "val_loss": np.nan if last else 0.5,
                    "val_accuracy": final - (final - 0.1) * 0.4**epoch,
                }
            )
            if last:
                break
    return pd.DataFrame(rows)


def ranks_frame(names=SIX, n_blocks=5, difference=2.0):
    k = len(names)
    ranks = np.linspace(1.4, k - 0.4, k) if k > 1 else np.array([1.0])
    letters = [""] * k
    used = 0
    reach = -1
    for start in range(k):
        end = max(i for i in range(k) if ranks[i] - ranks[start] < difference)
        if end > reach:
            for i in range(start, end + 1):
                letters[i] += "abcdefghijklmnopqrstuvwxyz"[used]
            used, reach = used + 1, end
    return pd.DataFrame(
        {
            "activation": names,
            "mean_rank": ranks,
            "n_blocks": n_blocks,
            "n_activations": k,
            "friedman_p": 0.0004,
            "critical_difference": difference,
            "set": letters,
        }
    )


def confusion_frame(roles=(("best", "relu"), ("worst", "sigmoid")), classes=10):
    rows = []
    for role, name in roles:
        for true in range(classes):
            for predicted in range(classes):
                count = 95 if true == predicted else (true * predicted) % 7 % 3
                if role == "worst":
                    count = 100 * (predicted == 1)
                rows.append((role, name, true, predicted, count, 5))
    columns = ["role", "activation", "true", "predicted", "count", "n_runs"]
    return pd.DataFrame(rows, columns=columns)


def misclassified_frame(roles=(("best", "relu"), ("worst", "sigmoid")), n=12, size=8):
    generator = np.random.default_rng(2)
    rows = []
    for role, name in roles:
        for index in range(n):
            pixels = " ".join(map(str, generator.integers(0, 17, size * size)))
            rows.append(
                (
                    role,
                    name,
                    index,
                    index % 10,
                    (index + 3) % 10,
                    5,
                    5,
                    0.91,
                    size,
                    size,
                    16,
                    pixels,
                )
            )
    columns = (
        "role activation index true predicted n_misclassified n_runs probability height width scale"
    )
    return pd.DataFrame(rows, columns=[*columns.split(), "pixels"])


def tuning_frame(names=SIX, rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), n_seeds=3, collapse=True):
    rows = []
    for place, name in enumerate(names):
        peak = 0.985 - 0.002 * place
        middle = np.log10(rates[place % len(rates)])
        means = [peak - 0.01 * (np.log10(rate) - middle) ** 2 for rate in rates]
        lost = [collapse and place % 3 == 0 and i == len(rates) - 1 for i in range(len(rates))]
        means = [0.1 if gone else mean for gone, mean in zip(lost, means)]
        best = int(np.argmax(means))
        for i, rate in enumerate(rates):
            rows.append(
                {
                    "activation": name,
                    "learning_rate": rate,
                    "n_completed": n_seeds,
                    "n_diverged": int(lost[i]),
                    "n_failed": 0,
                    "val_accuracy_mean": means[i],
                    "val_accuracy_std": 0.002 if n_seeds > 1 else np.nan,
                    "chosen": i == best,
                    "at_edge": best in (0, len(rates) - 1),
                }
            )
    return pd.DataFrame(rows)


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    buffer.seek(0)
    return mpl.image.imread(buffer)


def of(artists, name):
    return [artist for artist in artists if artist.get_gid() == f"activation:{name}"]


def final(runs, **options):
    return final_figure(runs, summary_frame(runs), LINE_STYLES, **options)


def rows_of(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def notes(axes):
    return {text.get_gid(): text.get_text() for text in axes.texts}


def far(n_seeds=10):
    """Runs with one activation at ten percent."""
    return set_runs(runs_frame(n_seeds=n_seeds), "sigmoid", range(n_seeds), test_accuracy=0.1028)


def two_outcomes():
    return set_runs(runs_frame(n_seeds=10), "leaky_relu", [0, 1], test_accuracy=0.0981)


def odd(names, n_seeds):
    """Runs of which some did not learn, diverged, failed, or are the only one."""
    runs = set_runs(runs_frame(names, n_seeds), names[0], range(n_seeds), test_accuracy=0.1028)
    if len(names) > 5:
        runs = set_runs(runs, names[3], [0], test_accuracy=0.0981)
        runs = set_runs(runs, names[4], [1], status="diverged", test_accuracy=np.nan)
        runs = set_runs(runs, names[5], range(n_seeds), status="failed", test_accuracy=np.nan)
    if len(names) > 6:
        gone = {"status": "diverged", "test_accuracy": np.nan}
        runs = set_runs(runs, names[6], range(n_seeds), **gone)
        runs = runs[(runs["activation"] != names[7]) | (runs["seed"] == 0)]
    return runs


# Final accuracy


def test_every_complete_run_is_a_point_and_mean_interval_and_median_are_the_tables():
    runs = runs_frame()
    summary = summary_frame(runs).set_index("activation")
    (axes,) = final(runs).axes
    for name, group in runs.groupby("activation"):
        points, interval, mean, median = of(axes.lines, name)
        np.testing.assert_array_equal(points.get_xdata(), np.sort(group["test_accuracy"]))
        row = summary.loc[name]
        assert list(interval.get_xdata()) == list(row[[f"test_accuracy_ci_{e}" for e in EDGES]])
        assert mean.get_xdata() == [row["test_accuracy_mean"]]
        assert median.get_xdata() == [row["test_accuracy_median"]]
        assert {points.get_color(), mean.get_color()} == {LINE_STYLES[name].color}
        assert points.get_marker() == LINE_STYLES[name].marker


def test_activations_stand_in_the_order_of_the_mean_best_on_top():
    (axes,) = final(runs_frame()[::-1]).axes
    assert rows_of(axes) == SIX
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    for place, name in enumerate(SIX):
        heights = np.concatenate([line.get_ydata() for line in of(axes.lines, name)])
        assert place - 0.5 < heights.min() <= heights.max() < place + 0.5


def test_points_that_are_equal_do_not_hide_each_other():
    runs = set_runs(runs_frame(n_seeds=4), "relu", range(4), test_accuracy=0.97)
    (axes,) = final(runs).axes
    points = of(axes.lines, "relu")[0]
    assert len(set(points.get_ydata())) == 4
    # They are marked that far apart, in points of the page.
    figure = axes.figure
    figure.draw_without_rendering()
    for name in SIX:
        pixels = axes.transData.transform(of(axes.lines, name)[0].get_xydata())
        for one, other in itertools.combinations(pixels, 2):
            assert np.hypot(*(one - other)) * 72 / figure.dpi > 3


def test_closer_view_where_one_lies_far_below():
    runs = far()
    whole, closer = final(runs).axes
    assert [axes.get_title(loc="left") for axes in (whole, closer)] == ["All", "Closer view"]
    rest = runs.loc[runs["activation"] != "sigmoid", "test_accuracy"]
    low, high = closer.get_xlim()
    assert 0.9 < low < rest.min()
    assert rest.max() < high
    assert whole.get_xlim()[0] < 0.1028
    assert notes(closer)["activation:sigmoid"] == "10 of 10 did not learn"
    assert "← 10.3" in [text.get_text() for text in closer.texts]
    assert len(final(runs_frame()).axes) == 1


def test_two_outcomes_have_neither_mean_nor_interval():
    runs = two_outcomes()
    figure = final(runs)
    whole, closer = figure.axes
    points, median = of(whole.lines, "leaky_relu")
    assert len(points.get_xdata()) == 10
    (middle,) = median.get_xdata()
    assert middle == runs.loc[runs["activation"] == "leaky_relu", "test_accuracy"].median()
    texts = [text.get_text() for text in of(closer.texts, "leaky_relu")]
    assert texts == ["← 2 at 9.8", "2 of 10 did not learn"]
    caption = figure.get_supxlabel().replace("\n", " ")
    assert caption.endswith("no mean where only some runs learned")
    assert "no mean" not in final(far()).get_supxlabel()


def test_what_else_became_of_runs_is_said_beside_them():
    figure = final(odd(TWENTY, 5))
    said = {text.get_gid(): text.get_text() for text in figure.axes[-1].texts}
    assert said["activation:gelu"] == "5 failed"
    assert said["activation:selu"] == "1 diverged"
    assert said["activation:activation_0"] == "5 diverged"
    assert "activation:relu" not in said
    assert rows_of(figure.axes[0])[-2:] == ["activation_0", "gelu"]
    assert (
        figure.get_supxlabel()
        .replace("\n", " ")
        .startswith(
            "small marks: 1 to 5 complete runs of each; ●: mean with 95 % interval; |: median;"
        )
    )


def test_a_single_run_has_no_mean():
    figure = final(runs_frame(n_seeds=1))
    (axes,) = figure.axes
    (point,) = of(axes.lines, "relu")
    assert point.get_ydata() == [1]
    assert figure.get_supxlabel() == (
        "small marks: 1 complete run of each; in order of the mean, best first"
    )


def test_sampling_error_is_a_bar_on_the_axis_with_words():
    # The error is larger than all differences: the panel must hold it all the same.
    runs = runs_frame().assign(test_images=50)
    best = summary_frame(runs).set_index("activation").loc["sigmoid"]
    error = best["test_sampling_error"]
    (axes,) = final(runs).axes
    (bar,) = [container for container in axes.containers if container.has_xerr]
    (segment,) = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(np.ptp(segment[:, 0]), 2 * error)
    low, high = axes.get_xlim()
    assert low < segment[:, 0].min()
    assert segment[:, 0].max() < high
    assert segment[0, 1] > len(SIX) - 1
    words = axes.texts[-1].get_text()
    assert words == f"sampling error of the\ntest set (50 images): ± {100 * error:.2g} points"


def test_without_the_size_of_the_test_set_there_is_no_sampling_error():
    runs = runs_frame()
    summary = summary_frame(runs).assign(test_sampling_error=np.nan, n_not_learned=np.nan)
    figure = final_figure(runs.drop(columns="test_images"), summary, LINE_STYLES)
    assert not figure.axes[0].containers
    assert not figure.axes[0].texts


def test_nothing_overlaps_in_a_chart():
    for figure in (final(odd(TWENTY, 10)), differences(odd(TWENTY, 10))):
        figure.draw_without_rendering()
        last = figure.axes[-1]
        boxes = [text.get_window_extent() for text in last.texts if text.get_text()]
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        labels = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
        for one, other in itertools.pairwise(labels):
            assert one.y0 >= other.y1
        for text in (*last.texts, *figure.axes[0].get_yticklabels()):
            box = text.get_window_extent()
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1


# Differences


def differences(runs, baseline="relu", **options):
    return differences_figure(comparisons_frame(runs, baseline), LINE_STYLES, **options)


def test_differences_are_the_tables_with_the_verdict_beside():
    runs = runs_frame(n_seeds=10)
    table = comparisons_frame(runs)
    table = table[table["metric"] == "test_accuracy"].set_index("activation")
    figure = differences(runs)
    (axes,) = figure.axes
    assert rows_of(axes) == ["sigmoid", "elu", "leaky_relu", "selu", "gelu"]
    for name, row in table.iterrows():
        interval, difference = of(axes.lines, name)
        assert difference.get_xdata() == [row["difference"]]
        assert list(interval.get_xdata()) == [row["ci_low"], row["ci_high"]]
    assert notes(axes)["activation:gelu"] == "worse (p = 0.0123)"
    assert notes(axes)["activation:sigmoid"] == "better (p = 0.0123)"
    assert axes.get_xlabel() == "Difference to relu\n(percentage points)"
    assert axes.xaxis.get_major_formatter()(-0.015, 0) == "−1.5"
    low, high = axes.get_xlim()
    assert low < 0 < high
    assert (
        figure.get_supxlabel()
        .replace("\n", " ")
        .startswith(
            "mean over 10 pairs of runs with the same seed; line: 95 % interval, uncorrected; p: "
        )
    )


def test_zero_is_in_every_panel_of_differences():
    runs = set_runs(runs_frame(best=0.95, n_seeds=10), "gelu", range(10), test_accuracy=0.2)
    runs = set_runs(runs, "relu", range(10), test_accuracy=0.99)
    figure = differences(runs)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert low < 0 < high
        # It is drawn as a line.
        assert [0, 0] in [list(line.get_xdata()) for line in axes.lines]


def test_too_few_seeds_are_said_without_a_p_value():
    figure = differences(runs_frame(n_seeds=3))
    assert set(notes(figure.axes[0]).values()) == {"too few seeds"}
    assert "p:" not in figure.get_supxlabel()


def test_losses_are_not_drawn_among_accuracies():
    table = comparisons_frame(runs_frame(n_seeds=10))
    losses = table["metric"] == "test_loss"
    table.loc[losses, "difference"] = 55.0
    (axes,) = differences_figure(table, LINE_STYLES).axes
    assert axes.get_xlim()[1] < 1


def test_an_activation_without_pairs_is_named():
    runs = set_runs(runs_frame(n_seeds=8), "gelu", range(8), status="failed")
    (axes,) = differences(runs).axes
    assert rows_of(axes)[-1] == "gelu"
    assert not of(axes.lines, "gelu")
    assert notes(axes)["activation:gelu"] == "too few seeds"


# Ranks


def test_names_and_marks_stand_at_their_ranks():
    ranks = ranks_frame()
    (axes,) = ranks_figure(ranks[::-1], LINE_STYLES).axes
    marks = {name: of(axes.lines, name)[1].get_xdata()[0] for name in SIX}
    ticks = {t.get_text(): t.get_position()[0] for t in axes.texts if t.get_text().isdigit()}
    for name, rank in zip(SIX, ranks["mean_rank"]):
        place = ticks["1"] + (rank - 1) * (ticks["6"] - ticks["1"]) / 5
        assert marks[name] == pytest.approx(place)
        (text,) = of(axes.texts, name)
        assert set(text.get_text().split()) == {name, f"{rank:.2f}"}
        assert of(axes.lines, name)[0].get_color() == LINE_STYLES[name].color


def thick(axes):
    bars = [line for line in axes.lines if line.get_linewidth() > 2]
    return [(*line.get_xdata(), line.get_ydata()[0]) for line in bars]


def test_bars_join_what_shares_a_letter_and_do_not_touch():
    ranks = ranks_frame().assign(set=["a", "ab", "b", "c", "cd", "d"])
    (axes,) = ranks_figure(ranks, LINE_STYLES).axes
    marks = [of(axes.lines, name)[1].get_xdata()[0] for name in SIX]
    bars = sorted(thick(axes))
    for (start, end, _), (first, last) in zip(bars, [(0, 1), (1, 2), (3, 4), (4, 5)]):
        assert start < marks[first] < marks[last] < end
        assert sum(start < mark < end for mark in marks) == 2
    for (_, end, y), (start, _, height) in itertools.combinations(bars, 2):
        assert y != height or start > end
    assert not thick(ranks_figure(ranks.assign(set=list("abcdef")), LINE_STYLES).axes[0])


def test_critical_difference_is_a_bar_on_the_scale_of_ranks():
    def length(difference):
        (axes,) = ranks_figure(ranks_frame(difference=difference), LINE_STYLES).axes
        ticks = {t.get_text(): t.get_position()[0] for t in axes.texts if t.get_text().isdigit()}
        (words,) = [t for t in axes.texts if "critical" in t.get_text()]
        bars = [line for line in axes.lines if list(line.get_ydata()) == [-0.45, -0.45]]
        return np.ptp(bars[0].get_xdata()) / (ticks["2"] - ticks["1"]), words.get_text()

    assert length(2.5) == (pytest.approx(2.5), "critical difference 2.5")
    assert length(7.0) == (
        pytest.approx(5),
        "critical difference 7, more than the axis is long",
    )
    (axes,) = ranks_figure(ranks_frame().assign(critical_difference=np.nan), LINE_STYLES).axes
    assert not any("critical" in text.get_text() for text in axes.texts)


@pytest.mark.parametrize("names", [SIX[:1], SIX[:2], SIX, TWENTY, ["long_name_" * 3, *TWENTY]])
def test_words_of_the_diagram_do_not_overlap(names):
    figure = ranks_figure(ranks_frame(names, difference=6.0), LINE_STYLES, title="Ranks")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_ranks_say_what_the_blocks_are():
    caption = ranks_figure(ranks_frame(n_blocks=7), LINE_STYLES).get_supxlabel().replace("\n", " ")
    assert caption.startswith(
        "mean ranks by test accuracy within this dataset, 7 seeds as blocks;"
        " Friedman test: p = 0.0004"
    )
    once = ranks_frame(n_blocks=1).assign(friedman_p=np.nan)
    assert "1 seed as block;" in ranks_figure(once, LINE_STYLES).get_supxlabel()


# Time


def test_lines_are_medians_over_seeds_by_seconds_without_start_up():
    runs = runs_frame(["relu"], n_seeds=3)
    history = history_frame(runs, epochs=4)
    history["seconds"] = [9.0, 1.0, 1.0, 2.0, 9.0, 3.0, 3.0, 3.0, 2.0, 4.0, 4.0, 4.0]
    history["val_accuracy"] = [0.1, 0.5, 0.6, 0.7, 0.2, 0.3, 0.9, 0.8, 0.3, 0.4, 0.5, 0.6]
    (axes,) = time_figure(history[::-1], runs, LINE_STYLES).axes
    (line,) = of(axes.lines, "relu")
    # First epochs count 1.5, 3 and, shorter than the median, 2 seconds.
    np.testing.assert_allclose(line.get_xdata(), [2.0, 6.0, 9.0, 12.0])
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.4, 0.6, 0.7])


def test_time_curve_ends_where_a_seed_diverges_and_failed_runs_are_named():
    runs = set_runs(runs_frame(), "selu", [1], status="diverged", test_accuracy=np.nan)
    runs = set_runs(runs, "gelu", range(5), status="failed", test_accuracy=np.nan)
    figure = time_figure(history_frame(runs), runs, LINE_STYLES)
    line, cross = of(figure.axes[0].lines, "selu")
    assert len(line.get_xdata()) == 3
    assert (cross.get_marker(), cross.get_xdata()[0]) == ("x", line.get_xdata()[-1])
    caption = figure.get_supxlabel().replace("\n", " ")
    assert caption.endswith("×: a seed diverged; without a finished run: gelu")
    assert not of(figure.axes[0].lines, "gelu")


def test_failed_runs_do_not_bend_the_time_curve():
    runs = runs_frame(["relu"], n_seeds=3)
    history = history_frame(runs)
    whole = time_figure(history[history["run"] != "relu-2"], runs[:2], LINE_STYLES)
    stopped = set_runs(runs, "relu", [2], status="failed")
    cut = time_figure(
        history[(history["run"] != "relu-2") | (history["epoch"] < 3)], stopped, LINE_STYLES
    )
    for one, other in zip(whole.axes[0].lines, cut.axes[0].lines):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())


def test_closer_view_of_accuracy_by_time():
    runs = far(3)
    assert len(time_figure(history_frame(runs), runs, LINE_STYLES).axes) == 2
    near = runs_frame()
    assert len(time_figure(history_frame(near), near, LINE_STYLES).axes) == 1


# Learning rates


def panels(figure):
    return {axes.get_title(loc="left").split(":")[0]: axes for axes in figure.axes}


def test_each_activation_has_a_panel_with_its_rate():
    tuning = tuning_frame()
    figure = tuning_figure(tuning[::-1], LINE_STYLES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "elu: 0.001",
        "gelu: 0.0001 (edge)",
        "leaky_relu: 0.003",
        "relu: 0.0003",
        "selu: 0.01 (edge)",
        "sigmoid: 0.0001 (edge)",
    ]
    for name, axes in panels(figure).items():
        rows = tuning[tuning["activation"] == name]
        (line,) = [one for one in axes.lines if one.get_color() == LINE_STYLES[name].color][:1]
        np.testing.assert_array_equal(line.get_xdata(), rows["learning_rate"])
        np.testing.assert_array_equal(line.get_ydata(), rows["val_accuracy_mean"])
        (ring,) = [one for one in axes.lines if one.get_markerfacecolor() == "none"]
        best = rows[rows["chosen"]].iloc[0]
        assert ring.get_xydata().tolist() == [[best["learning_rate"], best["val_accuracy_mean"]]]
        assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    ("rates", "ticks"),
    [
        ((1e-4, 1e-3, 1e-2), ["0.0001", "0.001", "0.01"]),
        ((3e-4, 1e-3, 3e-3), ["0.0003", "0.003"]),
        ((0.002,), ["0.002"]),
    ],
)
def test_rates_are_written_as_they_are_given(rates, ticks):
    figure = tuning_figure(tuning_frame(["relu"], rates, collapse=False), LINE_STYLES)
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ticks


def test_rates_that_diverged_are_crossed():
    tuning = tuning_frame()
    for name, axes in panels(tuning_figure(tuning, LINE_STYLES)).items():
        lost = tuning[(tuning["activation"] == name) & (tuning["n_diverged"] > 0)]
        (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
        assert list(cross.get_xdata()) == list(lost["learning_rate"])


def test_axis_of_accuracies_is_stretched_only_where_some_rates_are_far_worse():
    stretched = tuning_figure(tuning_frame(), LINE_STYLES).axes[0]
    assert stretched.get_yscale() == "function"
    assert {0.95, 0.8} < set(stretched.get_yticks())
    assert stretched.get_ylim()[0] < 0.1
    # Equal ratios of errors are equally far apart.
    heights = stretched.transData.transform([(0.001, y) for y in (0.6, 0.8, 0.9)])[:, 1]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1])
    assert tuning_figure(tuning_frame(collapse=False), LINE_STYLES).axes[0].get_yscale() == "linear"


def test_tuning_says_what_the_marks_mean():
    caption = tuning_figure(tuning_frame(), LINE_STYLES).get_supxlabel().replace("\n", " ")
    assert caption == (
        "mean of 3 seeds; band: ± 1 standard deviation; ring, and above: the rate chosen; edge: no"
        " rate beyond it was tried; gray: the others; ×: a run diverged or failed"
    )
    single = tuning_frame(["relu"], n_seeds=1, collapse=False).assign(at_edge=False)
    caption = tuning_figure(single, LINE_STYLES).get_supxlabel()
    assert caption == "one seed; ring, and above: the rate chosen"


def test_titles_of_many_panels_do_not_overlap():
    figure = tuning_figure(tuning_frame(TWENTY), LINE_STYLES)
    figure.draw_without_rendering()
    boxes = [axes._left_title.get_window_extent() for axes in figure.axes]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


# Mistakes


def test_confusion_shows_shares_of_the_true_class_off_the_diagonal():
    counts = pd.DataFrame(
        [("best", "relu", t, p, c, 2) for t, p, c in [(0, 0, 9), (0, 1, 1), (1, 0, 4), (1, 1, 4)]],
        columns=["role", "activation", "true", "predicted", "count", "n_runs"],
    )
    figure = confusion_figure(counts, LINE_STYLES)
    axes = figure.axes[0]
    np.testing.assert_allclose(
        axes.images[0].get_array().filled(np.nan), [[np.nan, 10], [50, np.nan]]
    )
    assert [text.get_text() for text in axes.texts] == ["10", "50", "90", "50"]
    assert axes.get_title(loc="left") == "Best: relu, 72.22 % right"
    assert "counted over 2 runs" in figure.get_supxlabel()


def test_best_and_worst_share_their_colors():
    figure = confusion_figure(confusion_frame(), LINE_STYLES)
    best, worst = (axes.images[0] for axes in figure.axes[:2])
    assert best.norm is worst.norm
    assert worst.norm.vmax == 100
    titles = [axes.get_title(loc="left") for axes in figure.axes[:2]]
    assert titles == ["Best: relu, 94.43 % right", "Worst: sigmoid, 10 % right"]


def test_an_activation_that_is_best_and_worst_is_shown_once():
    both = (("best", "relu"), ("worst", "relu"))
    figure = confusion_figure(confusion_frame(both), LINE_STYLES)
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == 1
    assert len(misclassified_figure(misclassified_frame(both), LINE_STYLES).subfigs) == 1


def test_no_mistake_at_all_can_be_drawn():
    frame = confusion_frame()
    frame["count"] = np.where(frame["true"] == frame["predicted"], 100, 0)
    png(confusion_figure(frame, LINE_STYLES))


def test_images_stand_above_what_they_are_taken_for():
    table = misclassified_frame()
    figure = misclassified_figure(table, LINE_STYLES, title="Misclassified")
    assert [block.get_suptitle() for block in figure.subfigs] == [
        "Best: relu, 5 runs",
        "Worst: sigmoid, 5 runs",
    ]
    for block, role in zip(figure.subfigs, ("best", "worst")):
        rows = table[table["role"] == role]
        assert len(block.axes) == 12
        for axes, row in zip(block.axes, rows.to_dict("records")):
            (image,) = axes.images
            pixels = np.array(row["pixels"].split(), float).reshape(8, 8)
            np.testing.assert_array_equal(image.get_array(), pixels)
            assert image.get_clim() == (0, 16)
            words = f"true {row['true']}, read as {row['predicted']}\n5 of 5 runs, 91 %"
            assert axes.get_xlabel() == words


def test_images_without_pixels_are_left_out():
    table = misclassified_frame()
    some = table.assign(pixels=table["pixels"].where(table["index"] < 5))
    figure = misclassified_figure(some, LINE_STYLES)
    assert [len(block.axes) for block in figure.subfigs] == [5, 5]
    assert misclassified_figure(table.assign(pixels=np.nan), LINE_STYLES) is None
    assert misclassified_figure(table.iloc[:0], LINE_STYLES) is None
    png(figure)


def test_a_wrong_number_of_pixels_is_refused():
    with pytest.raises(ValueError, match="image 0 has 64 pixels instead of 9 × 8"):
        misclassified_figure(misclassified_frame().assign(height=9), LINE_STYLES)


# All figures


def all_figures(names, n_seeds, **options):
    runs = odd(names, n_seeds)
    yield final(runs, **options)
    yield time_figure(history_frame(runs), runs, LINE_STYLES, **options)
    yield ranks_figure(ranks_frame(names), LINE_STYLES, **options)
    yield tuning_figure(tuning_frame(names, n_seeds=n_seeds), LINE_STYLES, **options)
    yield confusion_figure(confusion_frame(), LINE_STYLES, **options)
    yield misclassified_figure(misclassified_frame(n=len(names)), LINE_STYLES, **options)
    if len(names) > 1:
        yield differences(runs, names[1], **options)


@pytest.mark.parametrize(
    ("names", "n_seeds", "style"),
    [(["gelu"], 1, "light"), (SIX[:2], 2, "dark"), (SIX, 5, "dark"), (TWENTY, 3, "light")],
)
def test_any_number_of_activations_draws_without_warnings(names, n_seeds, style):
    for figure in all_figures(names, n_seeds, style=style, title="A long title " * 12):
        corner = png(figure)[0, 0, :3]
        assert tuple(corner) == ((1, 1, 1) if style == "light" else (0, 0, 0))


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_no_complete_run_at_all_draws_the_names(status):
    runs = runs_frame().assign(status=status, test_accuracy=np.nan)
    figure = final(runs)
    assert rows_of(figure.axes[0]) == sorted(SIX)
    assert figure.get_supxlabel() == "no run is complete"
    png(figure)


def test_infinite_values_draw_without_warnings():
    runs = runs_frame()
    history = history_frame(runs)
    history.loc[history["activation"] == "relu", ["loss", "val_loss"]] = np.inf
    figure = time_figure(history, runs, LINE_STYLES)
    assert figure.legends[0].get_texts()[-1].get_text() == "relu (diverged)"
    png(figure)


def hidden(figure, names):
    """The SVG's texts and colors that are left without the groups of these activations."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg")
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("id") in {f"activation:{name}" for name in names}:
                parent.remove(child)
    left = [element for element in root.iter() if not element.tag.endswith("defs")]
    texts = " ".join(
        "".join(element.itertext()) for element in left if element.tag.endswith("text")
    )
    styles = " ".join(element.get("style", "") for element in left).lower()
    return texts, styles


@pytest.mark.parametrize("kind", ["final", "time", "ranks", "differences"])
def test_hiding_its_groups_hides_all_of_an_activation(kind):
    names = ["sigmoid", "relu", "elu", "leaky_relu", "selu", "mish"]
    line_styles = {name: line_style(index) for index, name in enumerate(names[:5])}
    runs = odd(names, 5)
    table = comparisons_frame(runs, "selu")
    figure = {
        "final": lambda: final_figure(runs, summary_frame(runs), line_styles),
        "time": lambda: time_figure(history_frame(runs), runs, line_styles),
        "ranks": lambda: ranks_figure(ranks_frame(names), line_styles),
        "differences": lambda: differences_figure(table, line_styles),
    }[kind]()
    gone = ["sigmoid", "leaky_relu", "relu"]
    before, colors_before = hidden(figure, [])
    after, colors_after = hidden(figure, gone)
    for name in gone:
        assert name in before.split()
        assert name not in after.split()
        assert line_styles[name].color.lower() in colors_before
        assert line_styles[name].color.lower() not in colors_after
    assert "elu" in after.split()
    assert line_styles["elu"].color.lower() in colors_after


def test_activations_without_a_look_are_gray():
    runs = runs_frame(["relu", "mine", "yours"])
    (axes,) = final(runs).axes
    mine, yours = (of(axes.lines, name)[0] for name in ("mine", "yours"))
    assert mine.get_color() == yours.get_color() == gray_line_style(0).color
    assert mine.get_marker() != yours.get_marker()


def test_wrong_requests_are_refused():
    runs, table = runs_frame(), comparisons_frame(runs_frame())
    summary = summary_frame(runs)
    with pytest.raises(ValueError, match="unknown style 'blue': choose from light, dark"):
        final(runs, style="blue")
    with pytest.raises(ValueError, match="no rows"):
        final_figure(runs, summary[:0], LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        final_figure(runs, pd.concat([summary, summary]), LINE_STYLES)
    with pytest.raises(ValueError, match="no rows"):
        differences_figure(table[:0], LINE_STYLES)
    mixed = table.assign(baseline=["relu"] * 4 + ["elu"] * 6)
    with pytest.raises(ValueError, match="several baselines, relu and elu"):
        differences_figure(mixed, LINE_STYLES)
    with pytest.raises(ValueError, match="no seed is complete"):
        ranks_figure(ranks_frame().assign(mean_rank=np.nan), LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        ranks_figure(pd.concat([ranks_frame(), ranks_frame()]), LINE_STYLES)
    with pytest.raises(ValueError, match="no run is complete or diverged"):
        time_figure(history_frame(runs), runs.assign(status="failed"), LINE_STYLES)
    with pytest.raises(ValueError, match="no rows"):
        tuning_figure(tuning_frame()[:0], LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        tuning_figure(pd.concat([tuning_frame(), tuning_frame()]), LINE_STYLES)
    with pytest.raises(ValueError, match="no rows"):
        confusion_figure(confusion_frame()[:0], LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        confusion_figure(pd.concat([confusion_frame(), confusion_frame()]), LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        misclassified_figure(pd.concat([misclassified_frame(), misclassified_frame()]), LINE_STYLES)
