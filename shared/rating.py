"""What an answer on a rating scale says in one word (docs/domain.md 1.4)."""

from __future__ import annotations

from typing import Final

from shared.events import Rating

LEVELS: Final = ("promoter", "passive", "detractor", "satisfied", "neutral", "dissatisfied")


def rating_level(rating: Rating | None) -> str:
    """`promoter` ... `dissatisfied`, or "" without a rating or for an NPS off its 0-10 scale.

    NPS: 9-10 promoter, 7-8 passive, 0-6 detractor. CSAT and CES (high is easy): satisfied in the top 40 %
    of the scale's length, dissatisfied in the bottom 40 %, neutral between: 4-5 / 3 / 1-2 of 1-5 and
    5-7 / 4 / 1-3 of 1-7. The hard end of CES is `dissatisfied`, as is a review of 1-2 stars of five.
    """
    if rating is None:
        return ""
    low, high, score = rating.scale_min, rating.scale_max, rating.score
    if rating.metric == "nps":
        if (low, high) != (0, 10):
            return ""
        return "promoter" if score >= 9 else "passive" if score >= 7 else "detractor"
    reached, length = 5 * (score - low), high - low
    return "satisfied" if reached >= 3 * length else "dissatisfied" if reached <= 2 * length else "neutral"
