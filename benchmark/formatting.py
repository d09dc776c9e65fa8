"""Numbers and lists as text for readers."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def listing(items: Iterable[str | float]) -> str:
    """Return "0.1, 0.3 and 1"; strings are kept as they are, and no items give "none"."""
    texts = [item if isinstance(item, str) else f"{item:g}" for item in items]
    *most, last = texts or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def some(names: Sequence[str]) -> str:
    """Return the first three names and how many more there are."""
    rest = len(names) - 3
    return listing([*names[:3], f"{rest} more"] if rest > 0 else names)


def number(value: float) -> str:
    """Return a number with three significant digits: "0.0123", "1.2e-9"."""
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def counted(count: float, noun: str) -> str:
    """Return "1 step" or "12 345 steps", thousands separated by thin spaces."""
    text = f"{int(count):,}".replace(",", "\u202f")
    return f"{text} {noun}" if count == 1 else f"{text} {noun}s"


def spread(values: ArrayLike) -> str:
    """Return mean and standard deviation, "98.7 ± 13"; a single value stands alone."""
    values = np.atleast_1d(np.asarray(values))
    deviation = f" ± {values.std(ddof=1):.2g}" if len(values) > 1 else ""
    return f"{values.mean():.3g}{deviation}"


def percent(shares: ArrayLike) -> str:
    """Return a share, or the mean of several with their standard deviation, in percent."""
    return f"{spread(100 * np.atleast_1d(np.asarray(shares)))} %"


def plain(value: Any) -> str:
    """Return a setting's value as titles and file names have it; a missing one is "all"."""
    import pandas as pd

    return "all" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def mean_and_deviation(row: Mapping[Hashable, Any], metric: str, unit: str) -> str:
    """Return "97.12 ± 0.10 %" for a metric of a summary row; "–" where there is no mean."""
    import pandas as pd

    mean, deviation = row[f"{metric}_mean"], row[f"{metric}_std"]
    if pd.isna(mean):
        return "–"
    factor, decimals = (100, 2) if unit == "%" else (1, 1 if mean >= 10 else 3)
    text = f"{mean * factor:.{decimals}f}"
    if not pd.isna(deviation):
        text += f" ± {deviation * factor:.{decimals}f}"
    return f"{text} {unit}".strip()


def duration(seconds: float) -> str:
    """Return a duration as text a person reads: "about 3 min"."""
    if not seconds:
        return "nothing"
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"
