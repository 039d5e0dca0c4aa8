"""A case and its clocks as the interface shows them. Spans are whole seconds, times UTC."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.sla.domain.clock import Clock, TargetClock, TargetState
from services.sla.domain.pauses import business_seconds
from services.sla.domain.promise import Promises
from shared.events import EscalationAction, Hold, Status, Target, Verdict


class View(BaseModel):
    """Made of whatever has its fields: `model_validate` of what the domain or the store knows it as."""

    model_config = ConfigDict(from_attributes=True)


class StepView(View):
    """One escalation step; `at` is null while a pause stands before it, and once it is cancelled."""

    step: int
    repetition: int
    action: EscalationAction
    at: datetime | None
    fired_at: datetime | None
    cancelled: bool


class TargetView(View):
    """`remaining_seconds` is negative past due. A target that is late and still open is breached already."""

    state: TargetState
    epoch: int
    started_at: datetime
    due_at: datetime | None
    finished_at: datetime | None
    calendar: str
    target_seconds: int
    elapsed_seconds: int
    remaining_seconds: int
    business_seconds: int | None
    wall_seconds: int | None
    next_step: StepView | None
    steps: list[StepView]


class JudgedView(View):
    """A verdict of before the case was reopened."""

    target: Target
    epoch: int
    verdict: Verdict
    due_at: datetime
    finished_at: datetime
    business_seconds: int
    wall_seconds: int


class CaseView(View):
    """What is said of a case wherever it is shown."""

    case_id: UUID
    reference: str
    status: Status
    priority: str
    department: str
    owner: str
    category: str


class ClockView(CaseView):
    """Where the clocks of a case stand; `earlier` are verdicts of before it was reopened."""

    case_version: int
    version: int
    epoch: int
    policy_version: str
    sla: str
    next_at: datetime | None
    targets: dict[Target, TargetView]
    earlier: list[JudgedView]


_OF_CLOCK = ("case_version", "version", "epoch", "policy_version", "sla", "next_at", "earlier")
_OF_TARGET = (
    "state", "epoch", "started_at", "due_at", "finished_at", "calendar", "business_seconds",
    "wall_seconds",
)  # fmt: skip
"""Shown as they are."""


def case_fields(clock: Clock) -> dict[str, Any]:
    """Those of CaseView."""
    labels = clock.labels
    return {
        "case_id": clock.case_id, "reference": clock.reference, "status": clock.status,
        "priority": labels.priority, "department": labels.department, "owner": labels.owner,
        "category": labels.category,
    }  # fmt: skip


def clock_view(clock: Clock, promises: Promises, now: datetime) -> ClockView:
    """The clock as it stands at `now`."""
    targets = {
        name: target_view(
            target, clock.holds, promises, now if target.state != "cancelled" else clock.changed_at
        )
        for name, target in clock.targets.items()
    }
    return ClockView(
        **case_fields(clock), **{name: getattr(clock, name) for name in _OF_CLOCK}, targets=targets
    )


def target_view(
    target: TargetClock, holds: tuple[Hold, ...], promises: Promises, now: datetime
) -> TargetView:
    """A target with the business time that it has used; a finished one shows what it was judged by."""
    elapsed = target.business_seconds
    if elapsed is None:
        calendar = promises.hours(target.calendar)
        elapsed = business_seconds(calendar, target.started_at, now, holds)
    steps = [StepView.model_validate(step) for step in target.steps]
    coming = [step for step in steps if step.at is not None and step.fired_at is None]
    following = min(coming, key=lambda step: (step.at, step.step), default=None) if target.is_open else None
    return TargetView(
        **{name: getattr(target, name) for name in _OF_TARGET},
        target_seconds=target.seconds,
        elapsed_seconds=elapsed,
        remaining_seconds=target.seconds - elapsed,
        next_step=following,
        steps=steps,
    )
