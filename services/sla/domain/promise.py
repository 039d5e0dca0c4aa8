"""What the policy promises a case: targets and steps in business seconds (docs/policy.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.calendar import Calendar
from shared.events import Case, EscalationAction, Priority, Target
from shared.policy import Policy, SlaEntry, Step, case_context

TARGETS: tuple[Target, ...] = ("first_response", "resolution")
"""The targets that have clocks, in the order in which equal moments are taken."""
_ALL_HOURS = Calendar("UTC", {"mon-sun": ["00:00-24:00"]})


@dataclass(frozen=True, slots=True)
class PromisedStep:
    """An action `seconds` of business time after the start of its target.

    `step` numbers the actions of a target from 0, in the order of the policy: one step of a policy that
    does two things is two of these, so that (step, repetition) names one event.
    """

    step: int
    repetition: int
    action: EscalationAction
    seconds: int


@dataclass(frozen=True, slots=True)
class Promise:
    """One target: the business seconds it may take, and its steps."""

    seconds: int
    steps: tuple[PromisedStep, ...]


@dataclass(frozen=True, slots=True)
class Promised:
    """All that one case was promised; empty `targets` when the policy promises it nothing."""

    policy_version: str
    sla: str = ""
    calendar: str = ""
    pause_on: frozenset[str] = frozenset()
    targets: Mapping[Target, Promise] | None = None

    def target(self, target: Target) -> Promise | None:
        return (self.targets or {}).get(target)


class Promises:
    """The `sla` section of the policy in force, answered for cases. It remembers what equal cases were
    promised."""

    def __init__(self, policy: Policy) -> None:
        self.renew(policy)

    def renew(self, policy: Policy) -> None:
        """Another policy is in force. What was promised stays until a clock is computed anew."""
        self._policy = policy
        self._none = Promised(policy.version)
        self._known: dict[tuple[int, str, Priority], Promised] = {}

    def calendar(self, name: str) -> Calendar | None:
        """A calendar of the policy; None when this policy has none of that name."""
        return self._policy.calendars.get(name)

    def hours(self, name: str) -> Calendar:
        """The same; a calendar that the policy has no more counts all hours."""
        return self._policy.calendars.get(name, _ALL_HOURS)

    def to(self, case: Case) -> Promised:
        """By the first entry whose `when` holds; its calendar, else that of the case's department.

        A case that no entry fits, or whose department the policy does not know, is promised nothing.
        """
        found = self._policy.promise(case_context(case), case.department)
        if found is None:
            return self._none
        index, calendar = found
        entry = self._policy.sla[index]
        key = index, calendar, case.priority
        if key not in self._known:
            self._known[key] = self._promised(entry, calendar, case.priority)
        return self._known[key]

    def _promised(self, entry: SlaEntry, calendar: str, priority: Priority) -> Promised:
        hours = self._policy.calendars[calendar]
        targets: dict[Target, Promise] = {}
        for target in TARGETS:
            span = entry.targets.get(target, {}).get(priority)
            if span is not None:
                seconds = span.on(hours)
                steps = _numbered(entry.escalate.get(target, ()), seconds, hours)
                targets[target] = Promise(seconds, tuple(steps))
        return Promised(self._policy.version, entry.name, calendar, frozenset(entry.pause_on), targets)


def _numbered(steps: list[Step] | tuple[()], seconds: int, hours: Calendar) -> Iterator[PromisedStep]:
    number = 0
    for step in steps:
        first = _seconds(step, seconds, hours)
        again = step.repeat.on(hours) if step.repeat else 0
        for action in step.do:
            for repetition in range(step.times):
                yield PromisedStep(number, repetition, action, first + repetition * again)
            number += 1


def _seconds(step: Step, target: int, hours: Calendar) -> int:
    """Business seconds from the start; a step before the start is taken at the start."""
    if step.at is not None:
        return step.at.of(target)
    if step.before is not None:
        return max(0, target - step.before.on(hours))
    assert step.after is not None, "a step has exactly one moment"
    return target + step.after.on(hours)
