"""What has come due by a moment: breaches and steps, each once, in order of time (docs/domain.md 3.11)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from services.sla.domain.clock import Clock, ClockStep, TargetClock, next_moment
from services.sla.domain.promise import TARGETS
from services.sla.domain.said import breached_event, raised_event
from shared.events import CaseLabels, EscalationRaised, Target, TargetBreached
from shared.policy import Policy

Raised: TypeAlias = TargetBreached | EscalationRaised


class Roster:
    """Who is told, by the policy in force when a step fires."""

    def __init__(self, policy: Policy) -> None:
        self.renew(policy)

    def renew(self, policy: Policy) -> None:
        """Another policy is in force; as a whole, or the one before when this raises."""
        self.zone = ZoneInfo(policy.organisation.time_zone)
        self._policy = policy
        self._departments = policy.departments
        self._people = policy.people
        self.quiet_hours = policy.notify.quiet_hours
        self.digest_over = policy.notify.digest_over

    def recipient(self, step: ClockStep, labels: CaseLabels, now: datetime) -> str:
        """A person of the policy, or an address; "" when nobody is there, or when it is work for routing."""
        department = self._departments.get(labels.department)
        match step.action:
            case "remind_owner":
                return labels.owner if labels.owner in self._people else ""
            case "notify_supervisor":
                return (department.supervisor or "") if department else ""
            case "notify_head":
                return (department.head or "") if department else ""
            case "notify":
                return self._named(step.to, labels.department, now)
        return ""

    def _named(self, to: str, department: str, now: datetime) -> str:
        """Of those who have a role: who is there before who is away, the case's department before others."""
        if not to.startswith("role:"):
            return to if "@" in to or to in self._people else ""
        role = to.removeprefix("role:")
        holders = [name for name, person in self._people.items() if role in person.roles]
        return min(
            holders,
            key=lambda name: (self._is_away(name, now), self._people[name].department != department),
            default="",
        )

    def _is_away(self, name: str, now: datetime) -> bool:
        away = self._people[name].away
        if not away:
            return False
        today = now.astimezone(self._policy.calendar_of_person(name).zone).date()
        return any(span.first <= today <= span.last for span in away)


class _Due(NamedTuple):
    """Sorted: by time, the breach before the steps of the same moment, then by target and step."""

    at: datetime
    is_step: bool
    target: int
    position: int


def fire(clock: Clock, now: datetime, roster: Roster) -> tuple[Clock, list[Raised]]:
    """The clock after all that was due by `now`, and what it says, in order. Its open dues stay the same."""
    events: list[Raised] = []
    targets = dict(clock.targets)
    for due in _due(clock, now):
        name = TARGETS[due.target]
        targets[name], event = _fired(clock, name, targets[name], due, now, roster)
        events.append(event)
    after = replace(clock, version=clock.version + 1, targets=targets, next_at=next_moment(targets))
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
    recipient = roster.recipient(step, clock.labels, now)
    steps = (*target.steps[: due.position], replace(step, fired_at=now), *target.steps[due.position + 1 :])
    return replace(target, steps=steps), raised_event(clock, name, target, step, recipient, now)
