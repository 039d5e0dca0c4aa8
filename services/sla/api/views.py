"""Answers of the interface, and how they are made from clocks. Spans are whole seconds, times UTC."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.sla.domain.clock import Clock, ClockStep, Judged, TargetClock, TargetState
from services.sla.domain.notice import Notice
from services.sla.domain.pauses import business_seconds
from services.sla.domain.promise import Promises
from services.sla.store import Escalation
from shared.events import EscalationAction, Hold, Status, Target, Verdict


class StepView(BaseModel):
    """One escalation step; `at` is null while a pause stands before it, and once it is cancelled."""

    step: int
    repetition: int
    action: EscalationAction
    at: datetime | None
    fired_at: datetime | None
    cancelled: bool


class TargetView(BaseModel):
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


class JudgedView(BaseModel):
    """A verdict of before the case was reopened."""

    target: Target
    epoch: int
    verdict: Verdict
    due_at: datetime
    finished_at: datetime
    business_seconds: int
    wall_seconds: int


class ClockView(BaseModel):
    case_id: UUID
    reference: str
    case_version: int
    version: int
    epoch: int
    status: Status
    priority: str
    department: str
    owner: str
    category: str
    policy_version: str
    sla: str
    next_at: datetime | None
    targets: dict[Target, TargetView]
    earlier: list[JudgedView]


class LateTarget(BaseModel):
    target: Target
    state: TargetState
    due_at: datetime
    overdue_seconds: int


class LateCase(BaseModel):
    """`overdue_seconds` counts wall time past the due of `target`; negative while it is still to come."""

    case_id: UUID
    reference: str
    status: Status
    priority: str
    department: str
    owner: str
    category: str
    target: Target
    due_at: datetime
    overdue_seconds: int
    targets: list[LateTarget]


class LatePage(BaseModel):
    items: list[LateCase]
    next: str | None


class EscalationView(BaseModel):
    """`recipient` is "" when nobody held the place, or when the step is work for routing."""

    id: UUID
    event_id: UUID
    case_id: UUID
    target: Target
    epoch: int
    step: int
    repetition: int
    action: EscalationAction
    recipient: str
    due_at: datetime
    step_at: datetime
    at: datetime
    department: str
    owner: str
    priority: str


class EscalationPage(BaseModel):
    items: list[EscalationView]
    next: str | None


class NoticeView(BaseModel):
    """`escalations` are the ids (`event_id`) of the steps it tells of, the first 200 of `count`."""

    id: UUID
    recipient: str
    at: datetime
    digest: bool
    count: int
    escalations: list[UUID]


class NoticePage(BaseModel):
    items: list[NoticeView]
    next: str | None


def notice_view(notice: Notice) -> NoticeView:
    return NoticeView(
        id=notice.id,
        recipient=notice.recipient,
        at=notice.at,
        digest=notice.digest,
        count=notice.count,
        escalations=list(notice.escalations[:200]),
    )


def clock_view(clock: Clock, promises: Promises, now: datetime) -> ClockView:
    """The clock as it stands at `now`."""
    return ClockView(
        case_id=clock.case_id,
        reference=clock.reference,
        case_version=clock.case_version,
        version=clock.version,
        epoch=clock.epoch,
        status=clock.status,
        priority=clock.labels.priority,
        department=clock.labels.department,
        owner=clock.labels.owner,
        category=clock.labels.category,
        policy_version=clock.policy_version,
        sla=clock.sla,
        next_at=clock.next_at,
        targets={
            name: target_view(
                target, clock.holds, promises, now if target.state != "cancelled" else clock.changed_at
            )
            for name, target in clock.targets.items()
        },
        earlier=[_judged_view(judged) for judged in clock.earlier],
    )


def target_view(
    target: TargetClock, holds: tuple[Hold, ...], promises: Promises, now: datetime
) -> TargetView:
    """A target with the business time that it has used; a finished one shows what it was judged by."""
    elapsed = target.business_seconds
    if elapsed is None:
        calendar = promises.hours(target.calendar)
        elapsed = business_seconds(calendar, target.started_at, now, holds)
    steps = [step_view(step) for step in target.steps]
    coming = [step for step in steps if step.at is not None and step.fired_at is None]
    return TargetView(
        state=target.state,
        epoch=target.epoch,
        started_at=target.started_at,
        due_at=target.due_at,
        finished_at=target.finished_at,
        calendar=target.calendar,
        target_seconds=target.seconds,
        elapsed_seconds=elapsed,
        remaining_seconds=target.seconds - elapsed,
        business_seconds=target.business_seconds,
        wall_seconds=target.wall_seconds,
        next_step=min(coming, key=lambda step: (step.at, step.step), default=None)
        if target.is_open
        else None,
        steps=steps,
    )


def step_view(step: ClockStep) -> StepView:
    return StepView(
        step=step.step,
        repetition=step.repetition,
        action=step.action,
        at=step.at,
        fired_at=step.fired_at,
        cancelled=step.cancelled,
    )


def _judged_view(judged: Judged) -> JudgedView:
    return JudgedView(
        target=judged.target,
        epoch=judged.epoch,
        verdict=judged.verdict,
        due_at=judged.due_at,
        finished_at=judged.finished_at,
        business_seconds=judged.business_seconds,
        wall_seconds=judged.wall_seconds,
    )


def late_case(clock: Clock, wanted: Target | None, until: datetime, now: datetime) -> LateCase | None:
    """A case of the list of what is late: its targets due by `until`, and the one that counts.

    None when nothing of it is late any more.
    """
    late = sorted(
        (
            LateTarget(
                target=name,
                state=target.state,
                due_at=target.due_at,
                overdue_seconds=int((now - target.due_at).total_seconds()),
            )
            for name, target in clock.targets.items()
            if target.is_open and target.due_at is not None and target.due_at <= until
        ),
        key=lambda entry: entry.due_at,
    )
    worst = next((entry for entry in late if wanted in (None, entry.target)), None)
    if worst is None:
        return None
    return LateCase(
        case_id=clock.case_id,
        reference=clock.reference,
        status=clock.status,
        priority=clock.labels.priority,
        department=clock.labels.department,
        owner=clock.labels.owner,
        category=clock.labels.category,
        target=worst.target,
        due_at=worst.due_at,
        overdue_seconds=worst.overdue_seconds,
        targets=late,
    )


def escalation_view(escalation: Escalation) -> EscalationView:
    return EscalationView.model_validate(escalation, from_attributes=True)
