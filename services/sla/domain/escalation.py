"""What has come due by a moment: breaches and steps, each once, in order of time (docs/domain.md 3.11)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from services.sla.domain.clock import Clock, TargetClock, next_moment, open_dues
from services.sla.domain.promise import TARGETS
from services.sla.domain.said import breached_event, raised_event
from shared.events import CaseLabels, EscalationAction, EscalationRaised, Target, TargetBreached
from shared.policy import Policy

Raised: TypeAlias = TargetBreached | EscalationRaised


class Roster:
    """Who is told, by the policy in force when a step fires."""

    def __init__(self, policy: Policy) -> None:
        self.renew(policy)

    def renew(self, policy: Policy) -> None:
        """Another policy is in force."""
        self._departments = policy.departments
        self._people = policy.people

    def recipient(self, action: EscalationAction, labels: CaseLabels) -> str:
        """The person of the policy; "" when nobody holds that place, or when it is work for routing."""
        department = self._departments.get(labels.department)
        if action == "remind_owner":
            return labels.owner if labels.owner in self._people else ""
        if action == "notify_supervisor" and department is not None:
            return department.supervisor or ""
        if action == "notify_head" and department is not None:
            return department.head or ""
        return ""


class _Due(NamedTuple):
    """Sorted: by time, the breach before the steps of the same moment, then by target and step."""

    at: datetime
    is_step: bool
    target: int
    position: int


def fire(clock: Clock, now: datetime, roster: Roster) -> tuple[Clock, list[Raised]]:
    """The clock after all that was due by `now`, and what it says, in order."""
    events: list[Raised] = []
    targets = dict(clock.targets)
    for due in _due(clock, now):
        name = TARGETS[due.target]
        targets[name], event = _fired(clock, name, targets[name], due, now, roster)
        events.append(event)
    after = replace(
        clock,
        version=clock.version + 1,
        targets=targets,
        next_at=next_moment(targets),
        open_dues=open_dues(targets),
    )
    return after, events


def _due(clock: Clock, now: datetime) -> list[_Due]:
    found = []
    for number, name in enumerate(TARGETS):
        target = clock.targets.get(name)
        if target is None or not target.is_open:
            continue
        if target.due_at is not None and target.due_at <= now and not target.breached:
            found.append(_Due(target.due_at, False, number, 0))
        found += [
            _Due(step.at, True, number, position)
            for position, step in enumerate(target.steps)
            if step.waits and step.at is not None and step.at <= now
        ]
    return sorted(found)


def _fired(
    clock: Clock, name: Target, target: TargetClock, due: _Due, now: datetime, roster: Roster
) -> tuple[TargetClock, Raised]:
    if not due.is_step:
        late = replace(target, state="breached", breached=True)
        return late, breached_event(clock, name, late, now)
    step = target.steps[due.position]
    recipient = roster.recipient(step.action, clock.labels)
    steps = (*target.steps[: due.position], replace(step, fired_at=now), *target.steps[due.position + 1 :])
    return replace(target, steps=steps), raised_event(clock, name, target, step, recipient, now)
