"""Feedback facts: one per feedback id, met from two sides in either order.

What the customer said comes with FeedbackReceived; the department, the owner and the priority, and the
category where the customer named none, are known only from the cases that list the feedback (CaseChanged).
Both sides write the same document, and what it counts for is a function of both, so the order of arrival
does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field, structs

from services.analytics.domain import joints
from services.analytics.domain.facts import LARGEST_INTEGER, Outcome
from services.analytics.domain.joints import JointFact, Part, Told
from services.analytics.domain.rows import Counters, Fact, Measure, correct
from services.analytics.domain.spans import BinOf, span
from services.analytics.domain.tallies import FEEDBACK_FACTS, MOODS, SCALES, VOICE
from services.analytics.domain.voice import Heard, Listen
from shared.errors import ConflictError
from shared.events import FeedbackReceived, Rating

COLLECTION = FEEDBACK_FACTS
DEFECTS = frozenset({"complaint", "return", "quality_report", "inspection"})
"""Kinds of feedback that report something wrong with a product or service."""
HANDLED = ("talk_seconds", "hold_seconds", "wrap_up_seconds")
_LARGEST = 2**31


class Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What figures need of the feedback itself; nothing that names a person."""

    at: datetime
    received_at: datetime
    fingerprint: str
    labels: dict[str, str]
    customer_id: str = ""
    order_id: str = ""
    rating: Rating | None = None
    handling: tuple[int, int] | None = None


class Link(Struct, frozen=True, omit_defaults=True):
    """What a case says about a feedback that it lists."""

    department: str
    category: str
    merged: bool
    owner: str = ""
    priority: str = ""
    severity: str = ""


class FeedbackFact(Fact, frozen=True, kw_only=True):
    """`said` is None while only a case has been heard of; `links` by case id. `place`: of the key that its
    words were sealed with (shared/sealing.py)."""

    id: UUID = field(name="_id")
    said: Said | None = None
    links: dict[str, Link] = field(default_factory=dict)
    place: bytes = b""


class Known(NamedTuple):
    """What is stored about the feedback of a batch, and about the joints that it belongs to."""

    feedback: Mapping[UUID, FeedbackFact]
    joints: Mapping[str, JointFact]


def take(
    events: Sequence[FeedbackReceived], known: Known, bin_of: BinOf, listen: Listen | None = None
) -> Outcome:
    """An id's first content is its fact; the same does nothing, another content is refused (promise P3).

    Without `listen` it is not counted what texts say.
    """
    outcome = Outcome()
    latest, parts = dict(known.feedback), list[Told]()
    for index, event in enumerate(events):
        old = latest.get(event.id)
        if old is not None and old.said is not None:
            if old.said.fingerprint != event.fingerprint:
                error = ConflictError("this feedback id was recorded before with another content")
                outcome.refused.append((index, error))
            continue
        parts += told(event)
        links, heard = old.links if old else {}, listen(event) if listen else None
        place = event.sealed if heard else b""  # of what was opened that is all that is left there
        fact = FeedbackFact(id=event.id, said=_said(event, bin_of), links=links, place=place)
        new = _counted(fact, heard)
        latest[event.id] = new
        correct(outcome.rows, old, new)
    joints.merge(known.joints, parts, outcome)
    outcome.keep(COLLECTION, known.feedback, latest)
    return outcome


def told(event: FeedbackReceived) -> Iterator[Told]:
    """What the feedback is a part of: the order it complains about, the survey it answers."""
    name, at = joints.name_of(event.id), event.occurred_at
    labels = joints.business(_labels(event))
    if event.kind == "complaint" and event.order_id:
        yield Told(joints.order(event.order_id), name, Part("complaint", at, d=labels))
    if event.customer.id and event.rating is not None:
        yield Told(joints.survey(event.customer.id), name, Part("answer", at, d=labels))


def relink(fact: FeedbackFact | None, feedback_id: UUID, case_id: UUID, link: Link | None) -> FeedbackFact:
    """The fact with what one case says about it now; None: the case lists it no more."""
    fact = fact or FeedbackFact(id=feedback_id)
    links = {case: kept for case, kept in fact.links.items() if case != case_id.hex}
    if link is not None:
        links[case_id.hex] = link
    return _counted(structs.replace(fact, links=links), _heard(fact))


def _said(event: FeedbackReceived, bin_of: BinOf) -> Said:
    seconds = _handling(event.attributes)
    return Said(
        at=event.occurred_at,
        received_at=event.received_at,
        fingerprint=event.fingerprint,
        labels=_labels(event),
        customer_id=event.customer.id,
        order_id=event.order_id,
        rating=event.rating if event.rating and _on_scale(event.rating) else None,
        handling=None if seconds is None else span(seconds, bin_of),
    )


SAID_LABELS = (
    "channel", "kind", "category", "product_model", "product_batch", "sku", "region", "tier", "supplier",
    "severity", "touchpoint", "language", "source",
)  # fmt: skip
"""The labels that the customer's side gives."""


def _labels(event: FeedbackReceived) -> dict[str, str]:
    return {
        "channel": event.channel,
        "kind": event.kind,
        "category": event.category,
        "product_model": event.product.model,
        "product_batch": event.product.batch,
        "sku": event.product.sku,
        "region": event.customer.region,
        "tier": event.customer.tier,
        "supplier": event.supplier_id,
        "severity": event.severity,
        "touchpoint": event.touchpoint,
        "language": event.language,
        "source": event.source,
    }


def _counted(fact: FeedbackFact, heard: Heard | None) -> FeedbackFact:
    """The fact with its labels and measures worked out from both sides, and what its text says."""
    said = fact.said
    if said is None:
        return fact
    link = _main(fact.links.items()) or Link("", "", False)
    labels = said.labels | {"department": link.department, "owner": link.owner, "priority": link.priority}
    labels["category"] = labels["category"] or link.category
    labels["severity"] = labels["severity"] or link.severity
    measures = list(_measures(said))
    if heard is not None:
        spoken = {"day": heard.day, "terms": heard.terms}
        spoken |= {name: labels[name] for name in ("language", "category", "department")}
        measures.append(Measure(VOICE.name, said.at, {"n": 1, heard.mood: 1}, d=spoken))
    return structs.replace(fact, d=labels, m=tuple(measures))


def _heard(fact: FeedbackFact) -> Heard | None:
    """What was heard of a text that is not there any more."""
    for measure in fact.m:
        if measure.k == VOICE.name and measure.d is not None:
            (mood,) = (mood for mood in MOODS if mood in measure.c)
            return Heard(measure.d["day"], measure.d["terms"], mood)
    return None


def _measures(said: Said) -> Iterator[Measure]:
    kind, counters = said.labels["kind"], {"n": 1}
    if kind == "complaint":
        counters["complaints"] = 1
        if not said.order_id:
            yield Measure("orders", said.at, {"complaints": 1}, d=joints.business(said.labels))
    if kind in DEFECTS:
        counters["defects"] = 1
    if said.rating:
        counters |= answers(said.rating)
        if (scale := _scale(said.rating)) in SCALES and said.rating.metric == "ces":
            yield Measure(f"ces_{scale}", said.at, effort(said.rating))
    spans = {}
    if said.handling is not None:
        counters["handled"], spans["handling"] = 1, said.handling
    yield Measure("feedback", said.at, counters, spans)


def _main(links: Iterable[tuple[str, Link]]) -> Link | None:
    """The case that speaks for the feedback: one that is not merged away, else the oldest (by its id)."""
    return min(links, key=lambda entry: (entry[1].merged, entry[0]), default=("", None))[1]


def _on_scale(rating: Rating) -> bool:
    low, high = rating.scale_min, rating.scale_max
    return -_LARGEST < low < high < _LARGEST and low <= rating.score <= high


def _scale(rating: Rating) -> str:
    return f"{rating.scale_min}-{rating.scale_max}"


def answers(rating: Rating) -> Counters:
    """What an answer counts for (docs/domain.md 4): NPS on 0-10 only; CSAT by its top box. A fraction
    between two steps is not in the upper one."""
    score, low, high = rating.score, rating.scale_min, rating.scale_max
    counters = {}
    if rating.metric == "nps" and (low, high) == (0, 10):
        counters = {"nps": 1, "promoters": int(score >= 9), "detractors": int(score <= 6)}
    if rating.metric == "csat":
        counters = {"csat": 1, "satisfied": int(score >= high + 1 - _top_box(low, high))}
    return {name: n for name, n in counters.items() if n}


def effort(rating: Rating) -> Counters:
    """What an answer about effort counts for: its score in thousandths, and whether it was easy.

    Easy is 5-7 of 1-7: the upper three sevenths of the steps, rounded down, at least one.
    """
    low, high = rating.scale_min, rating.scale_max
    easy = rating.score >= high + 1 - max(1, (high - low + 1) * 3 // 7)
    counters = {"n": 1, "thousandths": round(rating.score * 1000), "easy": int(easy)}
    return {name: n for name, n in counters.items() if n}


def _top_box(low: int, high: int) -> int:
    """How many steps of the scale are its top 40 %, at least one: 2 of 1-5 (4 and 5), 4 of 1-10, 1 of 0-1."""
    return max(1, (high - low + 1) * 2 // 5)


def _handling(attributes: Mapping[str, object]) -> int | None:
    """Handling time where upstream gives it: `handling_seconds`, else the sum of talk, hold and wrap-up."""
    whole = _seconds(attributes.get("handling_seconds"))
    if whole is not None:
        return whole
    parts = [seconds for name in HANDLED if (seconds := _seconds(attributes.get(name))) is not None]
    return sum(parts) if parts else None


def _seconds(given: object) -> int | None:
    """A number of seconds that can be counted with; attributes may hold anything."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= LARGEST_INTEGER:
        return None
    return round(given)
