"""Target facts: one per (case, target, epoch). A breach is known first, its end later; both converge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import field

from services.analytics.domain import cases
from services.analytics.domain.cases import CaseFact
from services.analytics.domain.facts import LARGEST_INTEGER, Outcome, out_of_range
from services.analytics.domain.rows import Fact, Measure, correct
from services.analytics.domain.spans import BinOf, span
from services.analytics.domain.tallies import TARGET_FACTS
from shared.events import (
    CaseLabels,
    EscalationRaised,
    Event,
    Target,
    TargetBreached,
    TargetFinished,
    Verdict,
)

COLLECTION = TARGET_FACTS
TAKES_THE_TIME_OF: dict[Target, str] = {"first_response": "answered", "resolution": "finished"}
"""The tally that a target's spans are counted in."""


class TargetFact(Fact, frozen=True, kw_only=True):
    """A promise and its verdict so far. Spans are None until the clock has stopped.

    The id begins with the case's, which is ordered by time: new facts go to the edge of the index.
    """

    id: str = field(name="_id")
    case_id: UUID
    case_version: int
    target: Target
    verdict: Verdict
    started_at: datetime
    due_at: datetime
    finished_at: datetime | None = None
    business_seconds: int | None = None
    wall_seconds: int | None = None


class Known(NamedTuple):
    """What is stored about the targets of a batch, and about the cases that it escalates."""

    targets: Mapping[str, TargetFact]
    cases: Mapping[UUID, CaseFact]


def identity(event: TargetBreached | TargetFinished) -> str:
    """The id of the fact that the event speaks of."""
    return f"{event.case_id.hex}/{event.target}/{event.epoch}"


def escalates(event: Event) -> bool:
    """Whether the case is escalated by it: every step but a reminder to its owner."""
    return isinstance(event, EscalationRaised) and event.action != "remind_owner"


def take(events: Sequence[Event], known: Known, bin_of: BinOf) -> Outcome:
    """A finished verdict wins over a breach; of two finished ones the later version of the case."""
    outcome = Outcome()
    latest = dict(known.targets)
    for index, event in enumerate(events):
        if isinstance(event, EscalationRaised):
            continue
        if isinstance(event, TargetFinished) and not _countable(event):
            outcome.refused.append((index, out_of_range("business_seconds and wall_seconds")))
            continue
        assert isinstance(event, TargetBreached | TargetFinished), "the topic carries no other event"
        new = _finished(event, bin_of) if isinstance(event, TargetFinished) else _breached(event)
        old = latest.get(new.id)
        if old is None or _weight(new) > _weight(old):
            latest[new.id] = new
    for identity, new in latest.items():
        if new is not known.targets.get(identity):
            correct(outcome.rows, known.targets.get(identity), new)
    outcome.keep(COLLECTION, known.targets, latest)
    raised = [event.case_id for event in events if isinstance(event, EscalationRaised) and escalates(event)]
    cases.escalate(raised, known.cases, outcome)
    return outcome


def _countable(event: TargetFinished) -> bool:
    return all(0 <= seconds <= LARGEST_INTEGER for seconds in (event.business_seconds, event.wall_seconds))


def _weight(fact: TargetFact) -> tuple[bool, int]:
    return fact.finished_at is not None, fact.case_version


def _breached(event: TargetBreached) -> TargetFact:
    return TargetFact(
        id=identity(event),
        case_id=event.case_id,
        case_version=event.case_version,
        target=event.target,
        verdict="breached",
        started_at=event.started_at,
        due_at=event.due_at,
        d=_labels(event.labels),
        m=(Measure(f"judged_{event.target}", event.due_at, {"breached": 1}),),
    )


def _finished(event: TargetFinished, bin_of: BinOf) -> TargetFact:
    return TargetFact(
        id=identity(event),
        case_id=event.case_id,
        case_version=event.case_version,
        target=event.target,
        verdict=event.verdict,
        started_at=event.started_at,
        due_at=event.due_at,
        finished_at=event.finished_at,
        business_seconds=event.business_seconds,
        wall_seconds=event.wall_seconds,
        d=_labels(event.labels),
        m=tuple(_measures(event, bin_of)),
    )


def _measures(event: TargetFinished, bin_of: BinOf) -> Iterator[Measure]:
    judged_at = event.finished_at if event.verdict == "met" else event.due_at
    yield Measure(f"judged_{event.target}", judged_at, {event.verdict: 1})
    tally = TAKES_THE_TIME_OF.get(event.target)
    if tally and event.answered:
        business, wall = (span(n, bin_of) for n in (event.business_seconds, event.wall_seconds))
        yield Measure(tally, event.finished_at, {"n": 1}, {"business": business, "wall": wall})


def _labels(labels: CaseLabels) -> dict[str, str]:
    return {
        "channel": labels.channel,
        "kind": labels.kind,
        "category": labels.category,
        "department": labels.department,
        "owner": labels.owner,
        "priority": labels.priority,
        "region": labels.region,
        "tier": labels.tier,
        "severity": labels.severity,
        "source": labels.source,
        "language": labels.language,
        "touchpoint": labels.touchpoint,
        "product_model": labels.product.model,
        "product_batch": labels.product.batch,
        "sku": labels.product.sku,
        "supplier": labels.supplier_id,
    }
