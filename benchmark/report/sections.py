"""What the report notebook shows of a folder of results: text, tables and figures, in order.

Everything comes from the tables in the folder; nothing is trained, and TensorFlow is not loaded.
"""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from benchmark.errors import RequestError
from benchmark.experiments.sections import Section, sections
from benchmark.formatting import counted, listing
from benchmark.plotting import catalogue
from benchmark.plotting.palette import all_line_styles, line_styles
from benchmark.plotting.rendering import png
from benchmark.plotting.style import figure_style
from benchmark.report import captions, protocol, readable, recipe, story
from benchmark.report import verdicts as verdicts_report
from benchmark.results import tables
from benchmark.results.folder import Store
from benchmark.results.schema import HISTORY_COLUMNS, RUN_COLUMNS
from benchmark.training.spec import COMPARISON

TABLES = (
    *("summary", "time_to_accuracy", "comparisons", "pairs", "ranks"),
    *("tuning", "confusion", "misclassified"),
)
# Dots per inch of the notebook's pictures; the page takes the folder's SVG files instead.
DPI = 100


@dataclass(frozen=True)
class Results:
    """The tables of a folder, as DataFrames with the columns of the files of the same names.

    Those that the folder does not have are without rows. `environment` is what environment.json
    holds; `sections` are the experiments, `drawings` the figures of the comparison.
    """

    folder: Path
    runs: pd.DataFrame
    history: pd.DataFrame
    summary: pd.DataFrame
    time_to_accuracy: pd.DataFrame
    comparisons: pd.DataFrame
    pairs: pd.DataFrame
    ranks: pd.DataFrame
    tuning: pd.DataFrame
    confusion: pd.DataFrame
    misclassified: pd.DataFrame
    environment: dict[str, Any]
    sections: list[Section]
    drawings: list[catalogue.Drawing]
    varied: list[str]


def read(folder: str | Path) -> Results:
    """Read a folder of results; tables that an older version did not write are made here.

    Raises:
        RequestError: the folder holds no results.
    """
    store = Store(folder)
    told = sections(store)
    compared = (store.path / "runs.csv").exists()
    if not compared and not told:
        raise RequestError(
            f"{str(folder)!r} holds no results: make some with `python run_all.py --output"
            f" {folder}`, or set FOLDER to the --output folder of an earlier command"
        )
    history = store.table("history.csv") if compared else pd.DataFrame(columns=HISTORY_COLUMNS)
    runs = store.table("runs.csv") if compared else pd.DataFrame(columns=RUN_COLUMNS)
    runs = _with_new_columns(runs)
    made = _derived(store, history, runs) if len(runs) else dict.fromkeys(TABLES, pd.DataFrame())
    whole = {"history": history, "runs": runs, **made}
    known = line_styles(_places(store, runs))
    return Results(
        folder=store.path,
        **whole,
        environment=_environment(store.path / "environment.json"),
        sections=told,
        drawings=list(catalogue.of(whole, known)) if len(runs) else [],
        varied=catalogue.varied(runs) if len(runs) else [],
    )


def _with_new_columns(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that the tables of older versions lack."""
    usual = {"purpose": COMPARISON, "test_images": float("nan"), "majority_share": float("nan")}
    return runs.assign(**{name: usual[name] for name in usual if name not in runs})


def _derived(store: Store, history: pd.DataFrame, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    needed = [name for name in TABLES if name != "tuning"]
    if all((store.path / f"{name}.csv").exists() for name in needed):
        there = {name: store.table(f"{name}.csv") for name in needed}
        chosen = (store.path / "tuning.csv").exists()
        return {**there, "tuning": store.table("tuning.csv") if chosen else pd.DataFrame()}
    return tables.derive(store, history, runs)


def _places(store: Store, runs: pd.DataFrame) -> dict[str, int]:
    """Return the recorded places in the palette of activations that are not registered here."""
    places = {}
    for name, rows in runs[~runs["activation"].isin(line_styles())].groupby("activation"):
        records = (store.folder(run).record() for run in rows["run"])
        known = next((record for record in records if record and record.get("activation")), None)
        if known:
            places[name] = known["activation"]["index"]
    return places


def _environment(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


# The sections, in order

# More settings than these are not told one by one in the beginning.
_FEW = 6


def in_short(results: Results) -> None:
    """Show the main numbers, as a list."""
    lines = []
    found = _parts(results, results.summary)
    for part in found:
        label = f"**{part.title}:** " if len(found) > 1 else ""
        rows = _same(results, results.comparisons, part)
        real = verdicts_report.differences(rows) if len(rows) else ""
        lines.append(f"{label}{story.headline(part.rows)} {real}".strip())
    if len(found) > _FEW:
        lines = [f"{len(found)} settings are compared; they stand side by side below."]
    claims = story.claims(results.sections)
    if lines or claims:
        _say("In short", "\n".join(f"- {line}" for line in [*lines, claims] if line))


def setting(results: Results) -> None:
    """Show what was compared, how, and on which machine."""
    if results.runs.empty:
        return
    told = protocol.described(results.runs, results.environment)
    counts = protocol.statuses(results.runs)
    found = _parts(results, results.summary)
    text = f"{counts}\n\n{told}"
    if len(found) > 1:
        differ = listing(name.replace("_", " ") for name in results.varied)
        text += f"\n\n{len(found)} settings are compared, which differ in {differ}:\n\n"
        text += "\n".join(f"- {part.title}" for part in found)
    _say("What was done", text)


def curves(results: Results) -> None:
    """Show accuracy and loss by epoch."""
    if not any(drawing.kind == "accuracy" for drawing in results.drawings):
        return
    _say("Learning curves", "")
    _show_each(results, results.summary, story.learning, ("accuracy", "loss"))


def final(results: Results) -> None:
    """Show the test accuracies: every run, means with their intervals, a table."""
    if results.summary.empty:
        return
    _say("Final accuracy", "")
    _show_each(results, results.summary, story.final, ("final_accuracy",), readable.final)


def differences(results: Results) -> None:
    """Show which differences from the baseline, and between any two, are more than chance."""
    if results.summary.empty:
        return
    _say("Which differences are real", "")
    if results.comparisons.empty:
        _say("", verdicts_report.differences(results.comparisons))
    for part in _headed(results, results.comparisons):
        _say("", _differences(part.rows))
        _figures(results, "differences", part)
        show_table(readable.differences(part.rows))
        others = [
            verdicts_report.pairs(_same(results, results.pairs, part)),
            verdicts_report.ranking(_same(results, results.ranks, part)),
        ]
        _say("", "\n\n".join(text for text in others if text))
        _figures(results, "ranks", part)


def _differences(comparisons: pd.DataFrame) -> str:
    texts = [verdicts_report.differences(comparisons)]
    by_loss = comparisons[comparisons["metric"] == "test_loss"]
    # Too few seeds for the one are too few for the other.
    if (by_loss["verdict"] != verdicts_report.TOO_FEW).any():
        texts.append(verdicts_report.differences(comparisons, "test_loss"))
    return "\n\n".join(filter(None, [*texts, verdicts_report.procedure(comparisons)]))


def side_by_side(results: Results) -> None:
    """Show the settings beside each other, and how learning rates were chosen."""
    found = _parts(results, results.summary)
    if len(found) < 2:
        return
    _say("Settings side by side", "Mean test accuracy ± standard deviation over complete runs.")
    show_table(readable.settings(found))
    for part in _headed(results, results.tuning):
        _say("", story.tuned(part.rows))
        _figures(results, "tuning", part)


def mistakes(results: Results) -> None:
    """Show what the best and the worst activation misclassified."""
    if results.confusion.empty:
        return
    _say("What is misclassified", "")
    for part in _headed(results, results.confusion):
        _say("", story.mistakes(part.rows, _same(results, results.misclassified, part)))
        _figures(results, "confusion", part)
        _figures(results, "misclassified", part)


def cost(results: Results) -> None:
    """Show time, memory, and the epochs to given levels of accuracy."""
    if not results.summary.get("seconds_per_epoch_mean", pd.Series(dtype=float)).notna().any():
        return
    _say("What it costs", "")
    for part in _headed(results, results.summary):
        reached = _same(results, results.time_to_accuracy, part)
        _say("", " ".join([story.cost(part.rows), story.time_to_accuracy(reached)]))
        _figures(results, "accuracy_time", part)
        show_table(readable.cost(part.rows, reached))


def experiments(results: Results) -> None:
    """Show what the experiments asked, did and found."""
    if not results.sections:
        return
    _say("Why: the theory, measured", story.claims(results.sections))
    store = Store(results.folder)
    for section in results.sections:
        made = section.experiment
        told = " ".join(text for text in (section.method, section.note) if text)
        _say("", f"### {made.title}\n\n*{made.question}* {told}")
        if not section.findings:
            continue
        show_table(pd.DataFrame([vars(finding) for finding in section.findings]))
        _experiment_figures(store, section)


def _experiment_figures(store: Store, section: Section) -> None:
    made, table = section.experiment, store.table(f"experiments/{section.name}.csv")
    places = store.measurement(section.name)["places"]
    with figure_style("light"):
        drawn = made.figures(table, all_line_styles(table, places))
        for place, (key, figure) in enumerate(drawn.items(), start=1):
            name = f"{made.name}-{key}" if key else made.name
            which = f"figure {place} of {len(drawn)}" if len(drawn) > 1 else ""
            show_figure(figure, name, _experiment_alternative(section, which), made.captions[key])


def _experiment_alternative(section: Section, which: str) -> str:
    """Return one sentence that stands for a figure: the caption, which follows, tells its axes."""
    verdicts = [finding.verdict for finding in section.findings]
    title = ", ".join(filter(None, [section.experiment.title, which]))
    if not verdicts:
        return f"{title}."
    return f"{title}: of {counted(len(verdicts), 'claim')}, {story.counts_of(verdicts)}."


def limits(results: Results) -> None:
    """Show what the comparison does not tell."""
    if len(results.summary):
        _say("Limits", protocol.limits(results.runs, results.summary))


def reproduction(results: Results) -> None:
    """Show the commands that make the folder anew."""
    store = Store(results.folder)
    measured = {section.name: store.measurement(section.name) or {} for section in results.sections}
    baselines = results.comparisons.get("baseline", pd.Series(dtype=str)).unique()
    lines = recipe.commands(results.runs, measured, *baselines[:1])
    if not lines:
        return
    text = "\n".join(["```sh", *lines, "```"])
    commit = results.environment.get("git_commit")
    if commit:
        text += f"\n\nwith this project at commit {_told_commit(commit)}."
    words = {word for line in lines for word in line.split()}
    text += "\n\nFILE: the plug-in with the activations." * ("FILE" in words)
    text += "\n\nFOLDER: the folder with the data files." * ("FOLDER" in words)
    _say("The same again", text)


def _told_commit(commit: str) -> str:
    known = commit.removesuffix("+changes")
    if known == commit:
        return f"`{commit}`"
    return f"`{known}`, with changes that were not committed: the same numbers are not certain"


# Showing


def _parts(results: Results, table: pd.DataFrame) -> list[catalogue.Part]:
    return catalogue.parts(table, results.varied)


def _same(results: Results, table: pd.DataFrame, part: catalogue.Part) -> pd.DataFrame:
    """Return the rows of another table for the same setting."""
    found = [other.rows for other in _parts(results, table) if other.labels == part.labels]
    return found[0] if found else table.iloc[:0]


def _headed(results: Results, table: pd.DataFrame) -> Iterable[catalogue.Part]:
    """Give the settings of a table, each under a heading where there are several."""
    found = _parts(results, table)
    for part in found:
        if len(found) > 1:
            _say("", f"### {part.title}")
        yield part


def _show_each(
    results: Results,
    table: pd.DataFrame,
    words: Callable[[pd.DataFrame], str],
    kinds: Iterable[str],
    shown: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> None:
    for part in _headed(results, table):
        _say("", words(part.rows))
        for kind in kinds:
            _figures(results, kind, part)
        if shown:
            show_table(shown(table.loc[part.rows.index]))


def _figures(results: Results, kind: str, part: catalogue.Part) -> None:
    for drawing in results.drawings:
        if drawing.kind == kind and drawing.part.labels == part.labels:
            figure = drawing.draw()
            if figure is not None:
                alt = captions.alternative(kind, drawing.part.title, drawing.part.rows)
                show_figure(figure, drawing.name, alt, captions.CAPTIONS[kind])


def _say(heading: str, text: str) -> None:
    whole = "\n\n".join(part for part in (f"## {heading}" if heading else "", text) if part)
    if whole:
        display(Markdown(whole))


def show_table(table: pd.DataFrame) -> None:
    """Show a table without its index, texts whole."""
    with pd.option_context("display.max_colwidth", None):
        shown = {
            "text/html": table.to_html(index=False, border=0, na_rep="–"),
            # As short as can be: aligned, long texts would be blanks for the most part.
            "text/plain": table.to_csv(index=False, sep="\t", na_rep="–"),
        }
    display(shown, raw=True)


def show_figure(figure: Figure, name: str, alt: str, caption: str) -> None:
    """Show a figure as a small PNG with its caption below.

    Args:
        figure: what to show.
        name: of its files in the folder's figures, without ending.
        alt: what it shows, for those who cannot see it.
        caption: Markdown.
    """
    about = {"figure": name, "alt": alt, "caption": caption}
    display(
        {"image/png": base64.b64encode(png(figure, DPI)).decode(), "text/plain": alt},
        metadata={"benchmark": about, "image/png": {"alt": alt}},
        raw=True,
    )
    display(Markdown(f"*{caption}*"), metadata={"benchmark": {"caption_of": name}})
