"""What would come of a case that is left alone: every due and every step, in UTC and in local time."""

from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from services.sla.api.views import StepView
from services.sla.domain.clock import Clock, TargetState
from services.sla.domain.promise import Promises
from shared.events import Target


class DryStep(StepView):
    """`local_at` is `at` as the wall clock of the calendar's zone shows it, with its offset."""

    local_at: str | None


class DryTarget(BaseModel):
    """`local_due_at` like `local_at` of the steps. Null while the case waits."""

    started_at: datetime
    due_at: datetime | None
    local_due_at: str | None
    time_zone: str
    target_seconds: int
    calendar: str
    state: TargetState
    steps: list[DryStep]


class DryRun(BaseModel):
    """No targets: the policy in force promises such a case nothing."""

    policy_version: str
    sla: str
    targets: dict[Target, DryTarget]


def dry_view(clock: Clock, promises: Promises) -> DryRun:
    """All targets of a clock, in the order in which equal moments are taken."""
    targets = {}
    for name, target in clock.targets.items():
        zone = promises.hours(target.calendar).zone
        targets[name] = DryTarget(
            started_at=target.started_at,
            due_at=target.due_at,
            local_due_at=_local(target.due_at, zone),
            time_zone=zone.key,
            target_seconds=target.seconds,
            calendar=target.calendar,
            state=target.state,
            steps=[
                DryStep(**StepView.model_validate(step).model_dump(), local_at=_local(step.at, zone))
                for step in target.steps
            ],
        )
    return DryRun(policy_version=clock.policy_version, sla=clock.sla, targets=targets)


def _local(at: datetime | None, zone: ZoneInfo) -> str | None:
    return None if at is None else at.astimezone(zone).isoformat()
