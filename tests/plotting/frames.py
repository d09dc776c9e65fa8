"""Tables as the figures take them, and what tests read from a figure."""

import io

import matplotlib as mpl
import numpy as np
import pandas as pd

from benchmark.plotting.palette import line_style
from benchmark.plotting.scores import differences_figure, final_figure

SIX = ["sigmoid", "relu", "elu", "leaky_relu", "selu", "gelu"]
TWENTY = [*SIX, *(f"activation_{i}" for i in range(14))]
LINE_STYLES = {name: line_style(index) for index, name in enumerate(TWENTY[:17])}
EDGES = ("low", "high")


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
        verdict = "undecided"
        if len(pairs) >= 8:
            verdict = "better" if mean - half > 0 else "worse" if mean + half < 0 else "equal"
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


def accuracy_frame(final, epochs=8, n_seeds=1, start=0.6, std=0.004):
    """Curves that rise from `start` and end near the given validation accuracies."""
    epoch = np.arange(1, epochs + 1)
    frames = []
    for name, best in final.items():
        accuracy = best - (best - start) * np.exp(-1.5 * (epoch - 1))
        frame = pd.DataFrame({"epoch": epoch}).assign(
            dataset="digits",
            model="mlp",
            optimizer="adam",
            learning_rate=0.001,
            loss_function="categorical_crossentropy",
            activation=name,
            n_seeds=n_seeds,
        )
        means = {
            "accuracy": accuracy - 0.002,
            "val_accuracy": accuracy,
            "loss": 2.5 * (1 - accuracy) + 0.001,
            "val_loss": 2.6 * (1 - accuracy) + 0.001,
        }
        for metric, mean in means.items():
            spread = std if n_seeds > 1 else 0.0
            frame[f"{metric}_mean"] = mean
            frame[f"{metric}_low"], frame[f"{metric}_high"] = mean - spread, mean + spread
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def close(names=SIX, **settings):
    return accuracy_frame({n: 0.97 + 0.003 * i for i, n in enumerate(names)}, **settings)


def sigmoid_far(**settings):
    finals = {n: 0.97 + 0.003 * i for i, n in enumerate(SIX)}
    return accuracy_frame(finals | {"sigmoid": 0.3}, start=0.2, **settings)


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    buffer.seek(0)
    return mpl.image.imread(buffer)


def of(artists, name):
    return [artist for artist in artists if artist.get_gid() == f"activation:{name}"]


def final(runs, **options):
    return final_figure(runs, summary_frame(runs), {}, LINE_STYLES, **options)


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


def differences(runs, baseline="relu", **options):
    return differences_figure(comparisons_frame(runs, baseline), LINE_STYLES, **options)


def panels(figure):
    return {axes.get_title(loc="left").split(":")[0]: axes for axes in figure.axes}
