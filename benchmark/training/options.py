"""Checks of values as users give them: strings from the command line or objects from Python."""

import math
import reprlib
from collections.abc import Callable, Collection
from typing import Any

from benchmark.activations import ARTICLE_SIX, names, resolve
from benchmark.errors import RequestError, one_of

# What file systems take.
_MOST_BYTES = 255


def whole_number(kind: str, value: object, least: int = 1, most: int = 10**9) -> int:
    """Return the value as an integer from `least` to `most`.

    Raises:
        RequestError: it is not one.
    """
    number: int | None
    try:
        number = int(str(value).strip())
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        upper = f" and at most {most}" if most < 10**9 else ""
        raise RequestError(
            f"{kind} {str(value)!r} cannot be used: give a whole number of at least {least}{upper}"
        )
    return number


def positive_number(kind: str, value: Any) -> float:
    """Return the value as a finite number above 0.

    Raises:
        RequestError: it is not one.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise RequestError(f"{kind} {str(value)!r} cannot be used: give a number above 0")
    return number


def path_part(kind: str, value: object) -> str:
    """Return a name that may be a file or folder, or a part of its name.

    Raises:
        RequestError: it could lead elsewhere, or no file can have it.
    """
    name = value if isinstance(value, str) else ""
    writable = name.isprintable() and len(name.encode(errors="replace")) <= _MOST_BYTES
    if not name or not writable or name.startswith(".") or set(name) & set("/\\"):
        raise RequestError(
            f"{kind} {reprlib.repr(value)} cannot be part of a file's name: give one of at most"
            f" {_MOST_BYTES} bytes that does not begin with a dot and has no slash or control"
            " character"
        )
    return name


def listed(kind: str, value: object, convert: Callable[[Any], Any]) -> list[Any]:
    """Return the converted items of a list, or of a string separated by commas, without repeats.

    Raises:
        RequestError: there are none, or one cannot be converted.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple, range, set)):
        items = [items]
    items = [item.strip() if isinstance(item, str) else item for item in items]
    if not items or "" in items:
        raise RequestError(f"{kind} {value!r} holds an empty item: give one or more values")
    return list(dict.fromkeys(convert(item) for item in items))


def rate_list(value: object) -> list[float]:
    """Return learning rates in rising order, of a list or of a string separated by commas.

    Raises:
        RequestError: there are none, or one is not above 0.
    """
    rates = listed("learning rates", value, lambda item: positive_number("learning rate", item))
    return sorted(rates)


def seed_list(value: object) -> list[int]:
    """Return the seeds for a count (5: 0 to 4) or a list ("0,3,7", "3," or a sequence of integers).

    Raises:
        RequestError: it is neither, or holds a seed below 0.
    """
    if is_count(value):
        return list(range(whole_number("seeds", value, most=10**6)))
    if isinstance(value, str):
        # One seed, not so many.
        value = value.strip().removesuffix(",")
    return listed("seeds", value, lambda item: whole_number("seed", item, 0, 2**31 - 1))


_UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds_of(kind: str, value: object) -> float:
    """Return a length of time in seconds: a number of them, or a text such as "90s", "10m", "2h".

    Raises:
        RequestError: it is neither, or not above 0.
    """
    text = str(value).strip().lower()
    unit = _UNITS.get(text[-1:])
    try:
        return positive_number(kind, text[:-1] if unit else text) * (unit or 1)
    except RequestError:
        raise RequestError(
            f"{kind} {str(value)!r} cannot be used: give 90s, 10m or 2h, for instance"
        ) from None


def is_count(seeds: object) -> bool:
    """Return whether seeds are given as a count, not as a list."""
    return isinstance(seeds, int) or (isinstance(seeds, str) and "," not in seeds)


def activation_list(value: object) -> list[str]:
    """Return the names of the activations asked for; "all" is the whole catalogue.

    Raises:
        RequestError: a name is unknown, or the list is empty.
    """
    if value is None:
        return list(ARTICLE_SIX)
    if value == "all":
        return names()
    return listed("activations", value, lambda item: resolve(item).name)


def choice(kind: str, valid: Collection[str]) -> Callable[[Any], str]:
    """Return a converter that accepts the valid names in any spelling of case and hyphens."""

    def convert(item: Any) -> str:
        name = str(item).lower().replace("-", "_")
        one_of(kind, name, valid)
        return name

    return convert
