"""Verdicts on the claims of the theory."""

from collections.abc import Iterable
from dataclasses import dataclass

# Verdicts on a claim. Undecided: the activations that it speaks of were not asked for.
HOLDS, IN_PART, FAILS, UNDECIDED = "holds", "holds in part", "does not hold", "not measured"


def agreed(parts: Iterable[bool]) -> str:
    """Return the verdict where every part of a claim was found to hold or not."""
    parts = list(parts)
    return HOLDS if all(parts) else IN_PART if any(parts) else FAILS


@dataclass(frozen=True)
class Finding:
    """What a table says of one claim.

    Attributes:
        claim: what the articles say, one sentence; the same whatever the table.
        verdict: `HOLDS`, `IN_PART`, `FAILS` or `UNDECIDED`, by a rule stated in the code.
        evidence: one or two sentences with the numbers, all of them from the table.
    """

    claim: str
    verdict: str
    evidence: str
