"""Which terms are said most, and which more than before: from counts of texts to what people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import log

FEWEST = 3
"""Texts that must have a term before it is shown: what one person wrote is not what customers say."""
WEEKS_BEFORE = 4
"""That a week is compared with."""
_SIGNIFICANT = 3.84
"""Of the log-likelihood ratio: one in twenty such differences would be chance (chi-squared, one degree)."""


@dataclass(frozen=True, slots=True)
class Term:
    """`n` texts of the week have it, a `share` of all."""

    term: str
    n: int
    share: float


@dataclass(frozen=True, slots=True)
class Rising:
    """`before` texts of the four weeks before had it; `significance` is the log-likelihood ratio."""

    term: str
    n: int
    share: float
    before: int
    share_before: float
    significance: float


def frequent(terms: Mapping[str, int], texts: int, limit: int) -> list[Term]:
    """The most frequent first, equal ones in the order of the alphabet."""
    ranked = sorted(
        ((n, term) for term, n in terms.items() if n >= FEWEST), key=lambda one: (-one[0], one[1])
    )
    return [Term(term, n, _share(n, texts)) for n, term in ranked[:limit]]


def rising(
    terms: Mapping[str, int], texts: int, terms_before: Mapping[str, int], texts_before: int, limit: int
) -> list[Rising]:
    """Terms with a greater share of the texts than before, the least likely by chance first (Dunning 1993).

    Empty where nothing was said before: then everything would be new.
    """
    if not texts or texts_before <= 0:
        return []
    found = []
    for term, n in terms.items():
        before = max(0, terms_before.get(term, 0))
        if n >= FEWEST and n * texts_before > before * texts:
            significance = _log_likelihood(n, texts, before, texts_before)
            if significance >= _SIGNIFICANT:
                shares = _share(n, texts), _share(before, texts_before)
                found.append(Rising(term, n, shares[0], before, shares[1], round(significance, 2)))
    return sorted(found, key=lambda one: (-one.significance, one.term))[:limit]


def _share(n: int, texts: int) -> float:
    return float(Fraction(n, texts)) if texts else 0.0


def _log_likelihood(n: int, texts: int, before: int, texts_before: int) -> float:
    """Twice the logarithm of how much likelier two shares are than one, over texts with and without."""
    whole, both = texts + texts_before, n + before
    cells = (
        (n, texts * both), (before, texts_before * both),
        (texts - n, texts * (whole - both)), (texts_before - before, texts_before * (whole - both)),
    )  # fmt: skip
    return 2 * sum(seen * log(seen * whole / expected) for seen, expected in cells if seen > 0)
