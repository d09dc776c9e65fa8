"""The report's sections, in order: each shows text, tables and figures of a folder of results."""

import base64
import shlex
from collections.abc import Iterable, Iterator

import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from benchmark.experiments.sections import Section
from benchmark.plotting.catalogue import KINDS, Kind, Part
from benchmark.plotting.palette import all_line_styles
from benchmark.plotting.rendering import png
from benchmark.plotting.style import figure_style
from benchmark.report import facts, readable
from benchmark.report.contents import Results
from benchmark.report.contents import read as read
from benchmark.report.text import code_block, escape, fill
from benchmark.results import request_file
from benchmark.results.folder import Store
from benchmark.training.spec import CLIP_VALUE, TUNING

# Dots per inch of the notebook's pictures; the page takes the folder's SVG files instead.
DPI = 100


def in_short(results: Results) -> None:
    """Show the answer, and the main numbers as a list."""
    settings = [
        {
            "title": part.title,
            "compared": facts.verdicts(results.same(results.comparisons, part)),
            **facts.standing(part.rows),
        }
        for part in results.settings(results.summary)
    ]
    for answer in facts.answers(results.answer):
        lines = fill("answer.txt", **answer)
        _say("", f"**{escape(lines)}**")
    _say("In short", fill("in_short.md", settings=settings, claims=facts.claims(results.sections)))


def setting(results: Results) -> None:
    """Show what was compared, how, and on which machine."""
    runs = results.runs
    if runs.empty:
        return
    compared = (runs["purpose"] != TUNING).any()
    text = fill(
        "setting.md",
        **facts.statuses(runs),
        protocol=facts.protocol(runs) if compared else None,
        machine=facts.machine(results.environment),
        clip=CLIP_VALUE,
        settings=[part.title for part in results.settings(results.summary)],
        varied=results.varied,
    )
    _say("What was done", text)


def curves(results: Results) -> None:
    """Show accuracy and loss by epoch."""
    if not any(drawing.kind == "accuracy" for drawing in results.drawings):
        return
    _say("Learning curves", "")
    for part in _headed(results, results.summary):
        _say("", fill("curves.md", complete=part.rows["test_accuracy_mean"].notna().any()))
        _figures(results, part, "curves")


def final(results: Results) -> None:
    """Show the test accuracies: every run, means with their intervals, a table."""
    if results.summary.empty:
        return
    _say("Final accuracy", "")
    for part in _headed(results, results.summary):
        complete = part.rows["test_accuracy_mean"].notna().any()
        not_learned = (part.rows["n_not_learned"] > 0).any()
        _say("", fill("final.md", complete=complete, not_learned=not_learned))
        _figures(results, part, "final")
        # A part of tuned rates has them emptied.
        show_table(readable.final(results.summary.loc[part.rows.index]))


def differences(results: Results) -> None:
    """Show which differences from the baseline, and between any two, are more than chance."""
    if results.summary.empty:
        return
    _say("Which differences are real", "")
    if results.comparisons.empty:
        _say("", fill("differences.md", compared=None))
    for part in _headed(results, results.comparisons):
        _say("", fill("differences.md", compared=facts.verdicts(part.rows)))
        _figures(results, part, "differences")
        show_table(readable.differences(part.rows))
        pairs = facts.pairs(results.same(results.pairs, part))
        _say("", fill("pairs.md", pairs=pairs))


def side_by_side(results: Results) -> None:
    """Show the settings beside each other, and how learning rates were chosen."""
    settings = results.settings(results.summary)
    if len(settings) < 2:
        return
    _say("Settings side by side", fill("side_by_side.md"))
    show_table(readable.settings(settings))
    for part in _headed(results, results.tuning):
        table, edge, missing = readable.tuning(part.rows)
        _say("", fill("tuning.md", edge=edge, missing=missing))
        show_table(table)
        _figures(results, part, "tuning")


def mistakes(results: Results) -> None:
    """Show what the best and the worst activation misclassified."""
    if results.confusion.empty:
        return
    _say("What is misclassified", "")
    for part in _headed(results, results.confusion):
        show_table(readable.mistakes(facts.mistakes(part.rows)))
        _figures(results, part, "mistakes")


def cost(results: Results) -> None:
    """Show time, memory, and the epochs to given levels of accuracy."""
    if not results.summary.get("seconds_per_epoch_median", pd.Series(dtype=float)).notna().any():
        return
    _say("What it costs", fill("cost.md", levels=len(results.time_to_accuracy) > 0))
    for part in _headed(results, results.summary):
        _say("", fill("under_load.md", loaded=facts.affected(part.rows, "n_under_load")))
        _figures(results, part, "cost")
        show_table(readable.cost(part.rows, results.same(results.time_to_accuracy, part)))


def experiments(results: Results) -> None:
    """Show what the experiments asked, did and found."""
    if not results.sections:
        return
    _say("Why: the theory, measured", fill("experiments.md"))
    store = Store(results.folder)
    for section in results.sections:
        experiment = section.experiment
        text = fill(
            "experiment.md",
            title=experiment.title,
            question=experiment.question,
            method=section.method,
            note=section.note,
        )
        _say("", text)
        if section.findings:
            show_table(pd.DataFrame([vars(finding) for finding in section.findings]))
            _experiment_figures(store, section)


def _experiment_figures(store: Store, section: Section) -> None:
    experiment, table = section.experiment, store.table(f"experiments/{section.name}.csv")
    measurement = store.measurement(section.name) or {}
    with figure_style("light"):
        try:
            drawn = experiment.figures(table, all_line_styles(table, measurement.get("places", {})))
        except Exception as error:
            # A table of another version, or one that was tampered with.
            _say("", escape(f"Its figures cannot be drawn: {type(error).__name__}: {error}"))
            return
        for number, (key, figure) in enumerate(drawn.items(), start=1):
            name = f"{section.name}-{key}" if key else section.name
            alt = _experiment_alternative(section, number, len(drawn))
            show_figure(figure, name, alt, experiment.captions[key])


def _experiment_alternative(section: Section, number: int, count: int) -> str:
    """Return one sentence that stands for a figure: its caption, which follows, says the rest."""
    claims, title = facts.claims([section]), section.experiment.title
    return fill("experiment_alternative.txt", title=title, place=number, count=count, claims=claims)


def limits(results: Results) -> None:
    """Show what the comparison does not tell."""
    if results.summary.empty:
        return
    final_runs = results.runs[results.runs["purpose"] != TUNING]
    text = fill(
        "limits.md",
        protocol=facts.protocol(results.runs),
        datasets=list(final_runs["dataset"].unique()),
        limited=final_runs["limit"].notna().any(),
        seeds=int(results.summary["n_completed"].max()),
        tuned=(results.summary["rates"] == "tuned").any(),
    )
    _say("Limits", text)


def reproduction(results: Results) -> None:
    """Show the commands that make the folder anew, and where none are recorded, that."""
    blocks = [code_block([line], language) for line, language in _commands(results)]
    commit = str(results.environment.get("git_commit") or "")
    text = fill(
        "again.md",
        missing=_without_request(results),
        merged="merged_from" in results.environment,
        commit=commit.removesuffix("+changes"),
        changed=commit.endswith("+changes"),
    )
    _say("The same again", "\n\n".join(filter(None, [*blocks, text])))


def _commands(results: Results) -> Iterable[tuple[str, str]]:
    """Return each command or call and its language, in their order, every one once."""
    lines = {}
    calls = {request_file.COMPARE: "compare", request_file.EXPERIMENTS: "run_experiments"}
    for request in results.requests:
        given = request["given"]
        if "words" in given:
            lines[shlex.join(given["words"])] = "sh"
        else:
            call = ", ".join(f"{name}={value!r}" for name, value in given["arguments"].items())
            lines[f"{calls[request['command']]}({call})"] = "python"
    return lines.items()


def _without_request(results: Results) -> list[str]:
    """Return which parts of the folder no recorded request asked for."""
    compared = any(request["command"] == request_file.COMPARE for request in results.requests)
    asked = {
        name
        for request in results.requests
        if request["command"] == request_file.EXPERIMENTS
        for name in request["resolved"]
    }
    parts = {
        "the runs": len(results.runs) > 0 and not compared,
        "experiments": any(section.name not in asked for section in results.sections),
    }
    return [part for part, missing in parts.items() if missing]


# Showing


def _headed(results: Results, table: pd.DataFrame) -> Iterator[Part]:
    """Give the settings of a table, each under a heading where there are several."""
    settings = results.settings(table)
    for part in settings:
        if len(settings) > 1:
            _say("", f"### {escape(part.title)}")
        yield part


def _figures(results: Results, part: Part, section: str) -> None:
    """Show the figures of a setting that belong to this section."""
    for drawing in results.drawings:
        kind = KINDS[drawing.kind]
        if kind.section == section and drawing.part.labels == part.labels:
            figure = drawing.draw()
            if figure is not None:
                alt = alternative(kind, drawing.part)
                show_figure(figure, drawing.name, alt, kind.caption)


def alternative(kind: Kind, part: Part) -> str:
    """Return one sentence that stands for a figure of this kind, with numbers from its rows."""
    values = kind.values(part.rows).astype(float)
    ends = facts.ends(values)
    return fill("alternative.txt", kind=kind, title=part.title, activations=len(values), ends=ends)


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
