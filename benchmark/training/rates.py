"""The learning rates that `--tune-learning-rates auto` tries: a ladder, climbed both ways."""

from collections.abc import Collection

AUTO = "auto"
LADDER = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
START = (3e-4, 1e-3, 3e-3)


def beyond(tried: Collection[float], chosen: float) -> float | None:
    """Return the rate to try next: the ladder's next one beyond the edge of those tried at which
    the chosen one lies. None where that lies inside, or at an end of the ladder."""
    step = {min(tried): -1, max(tried): 1}.get(chosen, 0)
    place = LADDER.index(chosen) + step
    return LADDER[place] if step and 0 <= place < len(LADDER) else None


def may_be_auto(tried: Collection[float], chosen: float) -> bool:
    """Return whether auto may have ended with these rates tried and this one chosen."""
    without_gaps = [rate for rate in LADDER if min(tried) <= rate <= max(tried)]
    on_ladder = set(START) <= set(tried) == set(without_gaps)
    return on_ladder and beyond(tried, chosen) is None
