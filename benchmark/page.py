"""The page of results: one HTML file that needs nothing else."""

import base64
import html
from pathlib import Path

import pandas as pd

from benchmark import statistics
from benchmark.experiments import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.sections import Section
from benchmark.wording import mean_and_deviation, plain

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Activation functions compared</title>
<style>
body {{ font-family: system-ui, sans-serif; line-height: 1.45; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd;
  vertical-align: top; }}
th:first-child, td:first-child, .words td, .words th {{ text-align: left; }}
td.verdict {{ white-space: nowrap; font-weight: 600; }}
td.holds {{ color: #006b3f; }} td.fails {{ color: #a8321a; }}
td.part {{ color: #8a5a00; }} td.undecided {{ color: #666; }}
figure {{ margin: 1.5rem 0; break-inside: avoid; }}
figcaption {{ font-size: .9rem; color: #444; }}
img {{ width: 100%; }}
h2 {{ margin-top: 2.5rem; }}
</style></head><body>
{parts}
</body></html>
"""
_CLASSES = {HOLDS: "holds", IN_PART: "part", FAILS: "fails", UNDECIDED: "undecided"}


def render(summary: pd.DataFrame | None, curves: list[Path], sections: list[Section]) -> str:
    """Return the page.

    Args:
        summary: the table of the comparison; None where nothing was compared.
        curves: SVG files of its curves.
        sections: the experiments.
    """
    parts = ["<h1>Activation functions compared</h1>"]
    if summary is not None:
        parts += [
            "<p>Mean ± standard deviation over the completed seeds. The full tables are"
            " summary.csv, runs.csv and history.csv beside this page.</p>",
            _summary_table(summary),
            *(_figure(path, f"{path.stem.replace('-', ', ').capitalize()}.") for path in curves),
        ]
    if sections:
        parts += [
            "<h2>Why: the theory, measured</h2>",
            "<p>Each claim about activation functions, and what was measured. The verdicts are"
            " computed from the tables in the folder experiments, by the rules in the code; all"
            " of them together are in experiments/claims.csv.</p>",
            *map(_section, sections),
        ]
    return _PAGE.format(parts="\n".join(parts))


def _summary_table(summary: pd.DataFrame) -> str:
    varied = [n for n in statistics.SETTINGS if summary[n].nunique(dropna=False) > 1]
    headings = ["activation", *varied, "test accuracy", "validation accuracy"]
    headings += ["seconds per epoch", "seeds", "diverged", "failed"]
    lines = [_row("th", headings)]
    for row in summary.to_dict("records"):
        cells = [row["activation"], *(plain(row[name]) for name in varied)]
        cells += [
            mean_and_deviation(row, "test_accuracy", "%"),
            mean_and_deviation(row, "val_accuracy", "%"),
        ]
        cells += [mean_and_deviation(row, "seconds_per_epoch", "s")]
        cells += [str(row[name]) for name in ("n_seeds", "n_diverged", "n_failed")]
        lines.append(_row("td", cells))
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _row(kind: str, cells: list[str]) -> str:
    inner = "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{inner}</tr>"


def _section(section: Section) -> str:
    lines = [_row("th", ["Claim", "Verdict", "Evidence"])]
    lines += [
        f"<tr><td>{html.escape(finding.claim)}</td>"
        f'<td class="verdict {_CLASSES[finding.verdict]}">{finding.verdict}</td>'
        f"<td>{html.escape(finding.evidence)}</td></tr>"
        for finding in section.findings
    ]
    made, texts = section.experiment, (section.method, section.note)
    told = " ".join(html.escape(text) for text in texts if text)
    claims = f'<div class="wide"><table class="words">{"".join(lines)}</table></div>'
    return "\n".join(
        [
            f'<h2 id="{made.name}">{html.escape(made.title)}</h2>',
            f"<p><em>{html.escape(made.question)}</em> {told}</p>",
            *([claims] if section.findings else []),
            *(_figure(path, caption) for path, caption in section.figures.items()),
        ]
    )


def _figure(path: Path, caption: str) -> str:
    source = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption, quote=True)
    return (
        f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{source}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
