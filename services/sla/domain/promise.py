"""What the policy promises a case: targets and steps in business seconds (docs/policy.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shared.calendar import Calendar
from shared.events import Case, EscalationAction, Priority, Target
from shared.policy import Business, Policy, SlaEntry, Step, case_context

TARGETS: tuple[Target, ...] = ("first_response", "update", "resolution", "ola")
"""The targets that have clocks, in the order in which equal moments are taken."""
_ALL_HOURS = Calendar("UTC", {"mon-sun": ["00:00-24:00"]})


@dataclass(frozen=True, slots=True)
class PromisedStep:
    """An action `seconds` of business time after the start of its target; `to` is whom `notify` tells.

    `step` numbers the actions of a target from 0, in the order of the policy: one step of a policy that
    does two things, or tells two, is two of these, so that (step, repetition) names one event.
    """

    step: int
    repetition: int
    action: EscalationAction
    seconds: int
    to: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """One target: the business seconds of `calendar` that it may take, and its steps.

    `spans` are all its different business seconds, those of the target first.
    """

    seconds: int
    calendar: str
    steps: tuple[PromisedStep, ...]
    spans: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Promised:
    """What cases of one kind are promised; nothing when the policy promises them nothing.

    An `ola` is what the department that has the case owes those who wait for it.
    """

    policy_version: str
    sla: str = ""
    calendar: str = ""
    pause_on: frozenset[str] = frozenset()
    targets: Mapping[tuple[Target, Priority], Promise] = field(default_factory=dict)
    olas: Mapping[tuple[str, Priority], Promise] = field(default_factory=dict)

    def target(self, target: Target, priority: Priority, department: str = "") -> Promise | None:
        if target == "ola":
            return self.olas.get((department, priority))
        return self.targets.get((target, priority))


class Promises:
    """The `sla` section of the policy in force, answered for cases. It remembers what equal cases were
    promised."""

    def __init__(self, policy: Policy) -> None:
        self.renew(policy)

    def renew(self, policy: Policy) -> None:
        """Another policy is in force. What was promised stays until a clock is computed anew."""
        self._policy = policy
        self._none = Promised(policy.version)
        self._known: dict[tuple[int, str], Promised] = {}
        self._beyond: dict[tuple[str, Target], bool] = {}

    def goes_beyond(self, sla: str, target: Target) -> None:
        """A step of this entry lay beyond the calendar of a case, and was left out."""
        self._beyond.setdefault((sla, target), False)

    def not_told_of(self) -> list[tuple[str, Target]]:
        """Entries and targets of which that came up; each once for a policy."""
        found = [place for place, told in self._beyond.items() if not told]
        self._beyond.update(dict.fromkeys(found, True))
        return found

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
        if found not in self._known:
            index, calendar = found
            self._known[found] = self._promised(self._policy.sla[index], calendar)
        return self._known[found]

    def _promised(self, entry: SlaEntry, calendar: str) -> Promised:
        targets: dict[tuple[Target, Priority], Promise] = {
            (target, priority): self._promise(entry, target, calendar, span)
            for target, spans in entry.targets.items()
            for priority, span in spans.items()
        }
        olas = {
            (name, priority): self._promise(entry, "ola", department.calendar, span)
            for name, department in self._policy.departments.items()
            for priority, span in department.ola.items()
        }
        pause_on = frozenset(entry.pause_on)
        return Promised(self._policy.version, entry.name, calendar, pause_on, targets, olas)

    def _promise(self, entry: SlaEntry, target: Target, calendar: str, span: Business) -> Promise:
        hours = self._policy.calendars[calendar]
        seconds = span.on(hours)
        steps = tuple(_numbered(entry.escalate.get(target, ()), seconds, hours))
        spans = tuple(dict.fromkeys((seconds, *(step.seconds for step in steps))))
        return Promise(seconds, calendar, steps, spans)


def _numbered(steps: list[Step] | tuple[()], seconds: int, hours: Calendar) -> Iterator[PromisedStep]:
    number = 0
    for step in steps:
        first = _seconds(step, seconds, hours)
        again = step.repeat.on(hours) if step.repeat else 0
        for action in step.do:
            for to in step.to if action == "notify" else ("",):
                for repetition in range(step.times):
                    yield PromisedStep(number, repetition, action, first + repetition * again, to)
                number += 1


def _seconds(step: Step, target: int, hours: Calendar) -> int:
    """Business seconds from the start; a step before the start is taken at the start."""
    if step.at is not None:
        return step.at.of(target)
    if step.before is not None:
        return max(0, target - step.before.on(hours))
    assert step.after is not None, "a step has exactly one moment"
    return target + step.after.on(hours)
