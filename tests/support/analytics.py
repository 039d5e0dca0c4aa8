"""Events as analytics hears them, with everything that a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from shared.events import (
    Case,
    CaseChanged,
    CaseLabels,
    Change,
    Customer,
    FeedbackReceived,
    Rating,
    TargetBreached,
    TargetFinished,
)

NOON = datetime(2019, 5, 13, 12, tzinfo=UTC)
"""A Monday that no other test writes about, so that questions about it read few facts."""
SPACE = UUID("0190a000-0000-7000-8000-000000000000")


def an_id(name: object) -> UUID:
    """The same name is the same id."""
    return uuid5(SPACE, str(name))


def feedback(name: object, *, at: datetime = NOON, region: str = "", **given: Any) -> FeedbackReceived:
    """Feedback of this name; `given` are its other fields."""
    fields: dict[str, Any] = {"source": "test", "kind": "complaint", "channel": "web", "fingerprint": "same"}
    return FeedbackReceived(
        id=an_id(name),
        occurred_at=at,
        received_at=at + timedelta(minutes=1),
        customer=Customer(region=region),
        **fields | given,
    )


def rating(metric: Any, score: float, low: int, high: int) -> Rating:
    return Rating(metric=metric, score=score, scale_min=low, scale_max=high)


def case_changed(
    name: object, version: int = 1, *, about: tuple[object, ...] = (), **given: Any
) -> CaseChanged:
    """Version `version` of the case of this name, which lists the feedback named in `about`."""
    fields: dict[str, Any] = {
        "status": "assigned",
        "priority": "P3",
        "severity": "medium",
        "urgency": "medium",
        "kind": "complaint",
        "channel": "web",
        "department": "service",
        "opened_at": NOON,
    }
    fields = fields | given
    change = fields.pop("change", None)
    case = Case(
        id=an_id(name),
        reference="0000-0000-0000",
        version=version,
        feedback_ids=tuple(an_id(one) for one in about),
        updated_at=NOON + timedelta(minutes=version),
        **fields,
    )
    change = change or Change(type="noted", actor="test", at=case.updated_at)
    return CaseChanged(id=an_id((name, version)), case=case, change=change)


def labels(department: str = "service", **given: Any) -> CaseLabels:
    return CaseLabels(department=department, priority="P3", kind="complaint", channel="web", **given)


def breached(name: object, *, due: datetime = NOON, epoch: int = 1, **given: Any) -> TargetBreached:
    fields: dict[str, Any] = {"target": "first_response", "case_version": 1, "labels": labels()}
    return TargetBreached(
        id=an_id((name, epoch, "breached")),
        case_id=an_id(name),
        epoch=epoch,
        started_at=due - timedelta(hours=4),
        due_at=due,
        at=due + timedelta(seconds=1),
        **fields | given,
    )


def finished(
    name: object,
    *,
    due: datetime = NOON,
    late: timedelta = timedelta(hours=-1),
    business: int = 600,
    wall: int = 1200,
    epoch: int = 1,
    **given: Any,
) -> TargetFinished:
    """A clock that stopped `late` after its due time (negative: before it, so that the target is met)."""
    fields: dict[str, Any] = {"target": "first_response", "case_version": 1, "labels": labels()}
    return TargetFinished(
        id=an_id((name, epoch, "finished")),
        case_id=an_id(name),
        epoch=epoch,
        verdict="breached" if late > timedelta() else "met",
        started_at=due - timedelta(hours=4),
        due_at=due,
        finished_at=due + late,
        business_seconds=business,
        wall_seconds=wall,
        **fields | given,
    )
