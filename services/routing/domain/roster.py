"""Who of a department could work now or next, by the policy: calendars and absences (docs/domain.md 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from services.routing.domain.assignment import Heir, Roster
from services.routing.domain.case_file import CaseFile
from services.routing.domain.pool import Member
from shared.calendar import Calendar, NoWorkingTime
from shared.policy import Business, Person, Policy

AGENT = "agent"
HORIZON = timedelta(days=14)
"""Whoever works only later than this is not "next"."""


def closed(department: str) -> Roster:
    """A department that has left the policy: nobody works there."""
    return Roster(department, "", {}, frozenset())


def heir(policy: Policy) -> Heir:
    """Who takes what a department left behind: the department of the last rule, which takes everything."""
    name = policy.routing[-1].assign.department
    department = policy.departments[name]
    return Heir(name, department.head or department.supervisor or "")


def agents(policy: Policy, department: str) -> frozenset[str]:
    """Who may own cases of a department, there or away; nobody in one that has left the policy."""
    if department not in policy.departments:
        return frozenset()
    people = policy.people.items()
    return frozenset(name for name, one in people if one.department == department and AGENT in one.roles)


def is_known(file: CaseFile, there: Roster) -> bool:
    """Whether a department can settle a case by the policy it goes by: it has no owner, or one of its own."""
    return not file.is_open or not file.case.owner or file.case.owner in there.staff


def unknown_in(policy: Policy, there: Roster, left: Sequence[str], files: Iterable[CaseFile]) -> bool:
    """Whether the department, or somebody who has cases there, is not in the policy."""
    if left or there.department not in policy.departments:
        return True
    return any(file.case.department == there.department and not is_known(file, there) for file in files)


class Absence(Struct, frozen=True):
    """A span in which somebody is not there, as they or their supervisor said."""

    start: datetime
    end: datetime

    def covers(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


NOBODY_AWAY: Mapping[str, Absence] = {}


def roster(
    policy: Policy, department: str, now: datetime, absences: Mapping[str, Absence] = NOBODY_AWAY
) -> Roster:
    """The department's agents who are not away, each with the moment their next working time begins.

    Away is who stands so in the policy, or in `absences` by their own word: now, or when their next working
    time begins. Nobody works in a department that has left the policy.
    """
    spec = policy.departments.get(department)
    if spec is None:
        return closed(department)
    members: dict[str, Member] = {}
    hours = _Hours(now, policy.cases.acknowledge_within)
    staff = agents(policy, department)
    for name in staff:
        person = policy.people[name]
        absence = absences.get(name)
        starts = hours.starts(policy.calendar_of_person(name), person)
        is_away = absence is not None and any(absence.covers(at) for at in (now, starts) if at is not None)
        if starts is not None and not is_away:
            members[name] = Member(
                name, person.capacity, frozenset(person.skills), frozenset(person.languages), starts
            )

    def acknowledge_by(owner: str) -> datetime:
        return hours.acknowledge_by(policy.calendar_of_person(owner))

    supervisor = spec.supervisor or spec.head or ""
    return Roster(department, supervisor, members, staff, spec.backup or "", acknowledge_by)


class _Next(NamedTuple):
    """The next working moment of a calendar, and what day it is now and then, where it is kept."""

    starts: datetime
    today: date
    that_day: date


class _Hours:
    """What calendars say of one moment: many people share few of them, so each is asked once."""

    def __init__(self, now: datetime, within: Business) -> None:
        self._now, self._within = now, within
        self._next: dict[Calendar, _Next | None] = {}
        self._deadlines: dict[Calendar, datetime] = {}

    def starts(self, calendar: Calendar, person: Person) -> datetime | None:
        """When the person works next; None: not soon, or away today or then."""
        if calendar not in self._next:
            self._next[calendar] = self._next_of(calendar)
        found = self._next[calendar]
        if found is None:
            return None
        away = any(
            span.first <= day <= span.last for span in person.away for day in (found.today, found.that_day)
        )
        return None if away else found.starts

    def acknowledge_by(self, calendar: Calendar) -> datetime:
        if calendar not in self._deadlines:
            self._deadlines[calendar] = calendar.due(self._now, self._within.on(calendar))
        return self._deadlines[calendar]

    def _next_of(self, calendar: Calendar) -> _Next | None:
        zone = ZoneInfo(calendar.time_zone)
        try:
            starts = calendar.next_working(self._now)
        except NoWorkingTime:
            return None
        if starts - self._now > HORIZON:
            return None
        today, that_day = self._now.astimezone(zone).date(), starts.astimezone(zone).date()
        return _Next(starts.astimezone(UTC), today, that_day)
