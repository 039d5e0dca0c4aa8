"""The lists of the interface: what is late, what was escalated, what people were told."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.sla.api.views import CaseView, View, case_fields
from services.sla.domain.clock import Clock, TargetState
from services.sla.domain.notice import Notice
from shared.events import EscalationAction, Target

STEPS_SHOWN = 200


class LateTarget(BaseModel):
    target: Target
    state: TargetState
    due_at: datetime
    overdue_seconds: int


class LateCase(CaseView):
    """`overdue_seconds` counts wall time past the due of `target`; negative while it is still to come."""

    target: Target
    due_at: datetime
    overdue_seconds: int
    targets: list[LateTarget]


class LatePage(BaseModel):
    items: list[LateCase]
    next: str | None


class EscalationView(View):
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
    same = {name: getattr(notice, name) for name in ("id", "recipient", "at", "digest", "count")}
    return NoticeView(**same, escalations=list(notice.escalations))


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
        **case_fields(clock),
        target=worst.target,
        due_at=worst.due_at,
        overdue_seconds=worst.overdue_seconds,
        targets=late,
    )
