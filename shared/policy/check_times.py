"""Checks of times: promises and escalations that lie farther ahead than anybody means.

A calendar counts to the end of its last year; what would lie behind that has no due, and its case no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.calendar import Calendar
from shared.opening_hours import parse_weekly, total, without
from shared.policy.durations import Business
from shared.policy.models import CalendarSpec, PolicyDocument
from shared.policy.sla_models import SlaEntry, Step
from shared.policy.source import Keys, Source

MOST_YEARS = 10
_WEEK, _YEAR = 7 * 86_400, 365.25 * 86_400


class _Pace:
    """How far business time of a calendar reaches, by the hours of its ordinary week."""

    def __init__(self, name: str, calendar: Calendar, spec: CalendarSpec) -> None:
        week = map(without, parse_weekly(spec.weekly), parse_weekly(spec.breaks, "breaks"))
        self.name, self.calendar, self._weekly = name, calendar, sum(map(total, week))

    def years(self, seconds: int) -> float:
        """0 of a calendar that has no ordinary week and is refused for that."""
        return seconds * _WEEK / self._weekly / _YEAR if self._weekly else 0


def check_times(document: PolicyDocument, calendars: Mapping[str, Calendar], source: Source) -> None:
    """Each time of the policy by each calendar that may count it; `calendars` are those that compiled."""
    paces = {name: _Pace(name, one, document.calendars[name]) for name, one in calendars.items()}
    homes = {name: paces.get(one.calendar) for name, one in document.departments.items()}
    _acknowledgement(document, paces, source)
    for name, department in document.departments.items():
        for priority, ola in department.ola.items():
            _far(("departments", name, "ola", priority), _reach(homes[name], ola), source)
    for index, entry in enumerate(document.sla):
        counting = [paces.get(entry.calendar)] if entry.calendar else list(homes.values())
        for target, times in entry.targets.items():
            for priority, time in times.items():
                found = max((_reach(pace, time) for pace in counting), default=_NOT_FAR)
                _far(("sla", index, "targets", target, priority), found, source)
        for keys, reach in _steps(document, index, entry, counting, homes):
            _far(keys, reach, source)


_Reach = tuple[float, str]
"""Years, and by which calendar (for a step: of a case of which priority)."""
_NOT_FAR: _Reach = (0, "")


def _reach(pace: _Pace | None, time: Business) -> _Reach:
    return (pace.years(time.on(pace.calendar)), f"by '{pace.name}'") if pace else _NOT_FAR


def _far(keys: Keys, reach: _Reach, source: Source) -> None:
    years, by = reach
    if years > MOST_YEARS:
        reason = f"lies {years:,.0f} years ahead {by}, and nothing may lie more than {MOST_YEARS} ahead"
        source.report(keys, reason)


def _acknowledgement(document: PolicyDocument, paces: Mapping[str, _Pace], source: Source) -> None:
    names = {one.calendar for one in document.departments.values()}
    names |= {person.calendar for person in document.people.values() if person.calendar}
    within = document.cases.acknowledge_within
    reaches = [_reach(paces.get(name), within) for name in sorted(names)]
    _far(("cases", "acknowledge_within"), max(reaches, default=_NOT_FAR), source)


def _steps(
    document: PolicyDocument,
    index: int,
    entry: SlaEntry,
    counting: list[_Pace | None],
    homes: Mapping[str, _Pace | None],
) -> Iterator[tuple[Keys, _Reach]]:
    """Each step with how far its last repetition lies, for the priority and the calendar where it is most."""
    for target, steps in entry.escalate.items():
        if target == "ola":
            promises = [
                (homes[name], priority, time)
                for name, department in document.departments.items()
                for priority, time in department.ola.items()
            ]
        else:
            promises = [
                (pace, priority, time)
                for pace in counting
                for priority, time in entry.targets.get(target, {}).items()
            ]
        for number, step in enumerate(steps):
            reaches = [
                (pace.years(_last(step, time, pace.calendar)), f"for {priority} by '{pace.name}'")
                for pace, priority, time in promises
                if pace
            ]
            yield ("sla", index, "escalate", target, number), max(reaches, default=_NOT_FAR)


def _last(step: Step, target: Business, calendar: Calendar) -> int:
    """Business seconds from the beginning of a clock to the last repetition of a step."""
    due = target.on(calendar)
    if step.at is not None:
        first = step.at.of(due)
    elif step.before is not None:
        first = max(due - step.before.on(calendar), 0)
    else:
        assert step.after is not None, "a step has exactly one of at, before, after"
        first = due + step.after.on(calendar)
    return first + (step.times - 1) * step.repeat.on(calendar) if step.repeat else first
