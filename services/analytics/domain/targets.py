"""Target facts: one per (case, target, epoch). A breach is known first, its end later; both converge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import field

from services.analytics.domain.facts import LARGEST_INTEGER, Outcome, out_of_range
from services.analytics.domain.rollups import PART, Counters, Fact, Measure, correct
from shared.events import (
    CaseLabels,
    EscalationRaised,
    Event,
    Target,
    TargetBreached,
    TargetFinished,
    Verdict,
)

COLLECTION = "target_facts"
BinOf = Callable[[float], int]
"""The bin of a positive number of seconds in the sketch that percentiles are read from."""
NO_TIME_BIN = -1
"""The bin of zero seconds; one second and more have bins from 0 up."""


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
    owner: str = ""
    finished_at: datetime | None = None
    business_seconds: int | None = None
    wall_seconds: int | None = None


def identity(event: TargetBreached | TargetFinished) -> str:
    """The id of the fact that the event speaks of."""
    return f"{event.case_id.hex}/{event.target}/{event.epoch}"


def take(events: Sequence[Event], known: Mapping[str, TargetFact], bin_of: BinOf) -> Outcome:
    """A finished verdict wins over a breach; of two finished ones the later version of the case."""
    outcome = Outcome()
    latest = dict(known)
    for index, event in enumerate(events):
        if isinstance(event, EscalationRaised):
            continue  # no figure counts escalations yet
        if isinstance(event, TargetFinished) and not _countable(event):
            outcome.refused.append((index, out_of_range("business_seconds and wall_seconds")))
            continue
        assert isinstance(event, TargetBreached | TargetFinished), "the topic carries no other event"
        new = _finished(event, bin_of) if isinstance(event, TargetFinished) else _breached(event)
        old = latest.get(new.id)
        if old is None or _weight(new) > _weight(old):
            latest[new.id] = new
            correct(outcome.deltas, old, new)
    outcome.keep(COLLECTION, known, latest)
    return outcome


def seconds_bin(seconds: int, bin_of: BinOf) -> int:
    """The sketch's bin of a span in whole seconds."""
    return bin_of(seconds) if seconds else NO_TIME_BIN


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
        owner=event.labels.owner,
        d=_dimensions(event.target, event.labels),
        m={"sla_attainment": Measure(event.due_at, {"breached": 1})},
    )


def _finished(event: TargetFinished, bin_of: BinOf) -> TargetFact:
    judged_at = event.finished_at if event.verdict == "met" else event.due_at
    measures = {"sla_attainment": Measure(judged_at, {event.verdict: 1})}
    if event.target == "first_response" and event.answered:
        measures["first_response_time"] = Measure(event.finished_at, _spans(event, bin_of))
    return TargetFact(
        id=identity(event),
        case_id=event.case_id,
        case_version=event.case_version,
        target=event.target,
        verdict=event.verdict,
        started_at=event.started_at,
        due_at=event.due_at,
        owner=event.labels.owner,
        finished_at=event.finished_at,
        business_seconds=event.business_seconds,
        wall_seconds=event.wall_seconds,
        d=_dimensions(event.target, event.labels),
        m=measures,
    )


def _spans(event: TargetFinished, bin_of: BinOf) -> Counters:
    counters = {"n": 1}
    for clock, seconds in (("business", event.business_seconds), ("wall", event.wall_seconds)):
        counters[clock] = seconds
        counters[f"{clock}:{seconds_bin(seconds, bin_of)}"] = 1
    return counters


def _dimensions(target: Target, labels: CaseLabels) -> dict[str, str]:
    return {
        PART: target,
        "channel": labels.channel,
        "kind": labels.kind,
        "category": labels.category,
        "department": labels.department,
        "priority": labels.priority,
        "region": labels.region,
        "tier": labels.tier,
    }
