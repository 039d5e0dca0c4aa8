"""Feedback facts: one per feedback id, met from two sides in either order.

What the customer said comes with FeedbackReceived; the department, and the category where the customer
named none, are known only from the cases that list the feedback (CaseChanged). Both sides write the same
document, and what it counts for is a function of both, so the order of arrival does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct, field, structs

from services.analytics.domain.facts import Outcome
from services.analytics.domain.rollups import Counters, Fact, Measure, correct
from shared.errors import ConflictError
from shared.events import FeedbackReceived, Rating

COLLECTION = "feedback_facts"
_LARGEST = 2**31


class Said(Struct, frozen=True, kw_only=True):
    """What figures need of the feedback itself; nothing that names a person."""

    at: datetime
    received_at: datetime
    fingerprint: str
    labels: dict[str, str]
    customer_id: str = ""
    rating: Rating | None = None


class Link(Struct, frozen=True):
    """What a case says about a feedback that it lists."""

    department: str
    category: str
    merged: bool


class FeedbackFact(Fact, frozen=True, kw_only=True):
    """`said` is None while only a case has been heard of; `links` by case id."""

    id: UUID = field(name="_id")
    said: Said | None = None
    links: dict[str, Link] = field(default_factory=dict)


def take(events: Sequence[FeedbackReceived], known: Mapping[UUID, FeedbackFact]) -> Outcome:
    """An id's first content is its fact; the same does nothing, another content is refused (promise P3)."""
    outcome = Outcome()
    latest = dict(known)
    for index, event in enumerate(events):
        old = latest.get(event.id)
        if old is not None and old.said is not None:
            if old.said.fingerprint != event.fingerprint:
                error = ConflictError("this feedback id was recorded before with another content")
                outcome.refused.append((index, error))
            continue
        new = _counted(FeedbackFact(id=event.id, said=_said(event), links=old.links if old else {}))
        latest[event.id] = new
        correct(outcome.deltas, old, new)
    outcome.keep(COLLECTION, known, latest)
    return outcome


def relink(fact: FeedbackFact | None, feedback_id: UUID, case_id: UUID, link: Link | None) -> FeedbackFact:
    """The fact with what one case says about it now; None: the case lists it no more."""
    fact = fact or FeedbackFact(id=feedback_id)
    links = {case: kept for case, kept in fact.links.items() if case != case_id.hex}
    if link is not None:
        links[case_id.hex] = link
    return _counted(structs.replace(fact, links=links))


def _said(event: FeedbackReceived) -> Said:
    customer = event.customer
    return Said(
        at=event.occurred_at,
        received_at=event.received_at,
        fingerprint=event.fingerprint,
        labels={
            "channel": event.channel,
            "kind": event.kind,
            "category": event.category,
            "source": event.source,
            "region": customer.region,
            "tier": customer.tier,
        },
        customer_id=customer.id,
        rating=event.rating if event.rating and _on_scale(event.rating) else None,
    )


def _counted(fact: FeedbackFact) -> FeedbackFact:
    """The fact with its dimensions and measures worked out from both sides."""
    said = fact.said
    if said is None:
        return fact
    link = _main(fact.links.items())
    dimensions = said.labels | {"department": link.department if link else ""}
    if link and not dimensions["category"]:
        dimensions["category"] = link.category
    measures = {"feedback_volume": Measure(said.at, {"n": 1})}
    if said.rating:
        measures |= {kpi: Measure(said.at, c) for kpi, c in answers(said.rating).items()}
    return structs.replace(fact, d=dimensions, m=measures)


def _main(links: Iterable[tuple[str, Link]]) -> Link | None:
    """The case that speaks for the feedback: one that is not merged away, else the oldest (by its id)."""
    return min(links, key=lambda entry: (entry[1].merged, entry[0]), default=("", None))[1]


def _on_scale(rating: Rating) -> bool:
    low, high = rating.scale_min, rating.scale_max
    return -_LARGEST < low < high < _LARGEST and low <= rating.score <= high


def answers(rating: Rating) -> dict[str, Counters]:
    """What an answer counts for (docs/domain.md 4): NPS on 0-10 only; CSAT by its top box. CES: none yet."""
    score, low, high = rating.score, rating.scale_min, rating.scale_max
    if rating.metric == "nps" and (low, high) == (0, 10):
        return {
            "nps": {"answered": 1, "promoters": int(score >= 9), "detractors": int(score <= 6)},
        }
    if rating.metric == "csat":
        return {"csat": {"answered": 1, "satisfied": int(score > high - _top_box(low, high))}}
    return {}


def _top_box(low: int, high: int) -> int:
    """How many steps of the scale are its top 40 %, at least one: 2 of 1-5 (4 and 5), 4 of 1-10, 1 of 0-1."""
    return max(1, (high - low + 1) * 2 // 5)
