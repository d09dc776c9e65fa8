"""Templates to text: what the tables say, in the few sentences of `templates/`.

Templates `NAME.md.j2` give Markdown, in which every value is escaped: what stands in a table, a
name of an activation say, cannot become markup. Templates `NAME.txt.j2` give plain text.
"""

import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import Markup

from benchmark.formatting import counted, listing, number, some
from benchmark.models.networks import NETWORKS

# More names than this are counted.
MOST_NAMES = 12
# An underscore inside a word is one, at its ends it is Markdown's.
_MARKS = re.compile(r"[\\`*\[\]|$~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def fill(template: str, **values: Any) -> str:
    """Return the text of a template ("final.md"); single line ends in it are blanks."""
    text = _ENVIRONMENT.get_template(f"{template}.j2").render(values)
    text = re.sub(r"[ \t]*\n[ \t]*(?![-#\s])", " ", re.sub(r"\n\s*\n", "\0", text))
    text = re.sub(r" {2,}", " ", text).replace("\0", "\n\n").strip()
    return re.sub(r"(?m)^(- .*)\n\n(?=- )", r"\1\n", text)


def escape(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    plain = re.sub(r"[\r\n]+", " ", html.escape(text, quote=False))
    return _MARKS.sub(r"\\\g<0>", plain)


def code_block(lines: Iterable[str], language: str) -> str:
    """Return Markdown that shows these lines as they are."""
    text = "\n".join(lines)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def percentage(share: float) -> str:
    """Return "97.12 %"; "–" where there is no number."""
    return "–" if pd.isna(share) else f"{100 * share:.2f} %"


def signed(difference: float) -> str:
    """Return a difference of shares in points, "+0.31"."""
    return f"{100 * difference:+.2f}".replace("-", "−")


def names(items: Iterable[str]) -> str:
    """Return the names, or how many there are where they are many."""
    items = list(items)
    return listing(items) if len(items) <= MOST_NAMES else f"{len(items)} activations"


@pass_eval_context
def _escaped(context: EvalContext, value: Any) -> Any:
    markup = hasattr(value, "__html__") or not isinstance(value, str)
    return value if markup or not context.autoescape else Markup(escape(value))


def _prose(text: str) -> Markup:
    """Keep the Markdown of a text of the project, but no HTML that a value brought into it."""
    return Markup(html.escape(text, quote=False))


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=lambda name: name is not None and name.endswith(".md.j2"),
    finalize=_escaped,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["most_names"] = MOST_NAMES
_ENVIRONMENT.globals["networks"] = {name: net.description for name, net in NETWORKS.items()}
_ENVIRONMENT.filters |= {
    "counted": counted,
    "listing": listing,
    "names": names,
    "number": number,
    "percentage": percentage,
    "prose": _prose,
    "signed": signed,
    "some": some,
}
