"""Who of a department could work now or next, by the policy: calendars and absences (docs/domain.md 2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from services.routing.domain.assignment import Heir, Member, Roster
from shared.calendar import Calendar, NoWorkingTime
from shared.policy import Person, Policy

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


class Absence(Struct, frozen=True):
    """A span in which somebody is not there, as they or their supervisor said."""

    start: datetime
    end: datetime


NOBODY_AWAY: Mapping[str, Absence] = {}


def roster(
    policy: Policy, department: str, now: datetime, absences: Mapping[str, Absence] = NOBODY_AWAY
) -> Roster:
    """The department's agents who are not away, each with the moment their next working time begins.

    Away is who stands so in the policy, or in `absences` by their own word. Nobody works in a department that
    has left the policy.
    """
    spec = policy.departments.get(department)
    if spec is None:
        return closed(department)
    members: dict[str, Member] = {}
    staff = agents(policy, department)
    for name in staff:
        person = policy.people[name]
        absence = absences.get(name)
        if absence is not None and absence.start <= now < absence.end:
            continue
        starts = _starts(policy.calendar_of_person(name), person, now)
        if starts is not None:
            members[name] = Member(
                name, person.capacity, frozenset(person.skills), frozenset(person.languages), starts
            )
    deadlines: dict[str, datetime] = {}

    def acknowledge_by(owner: str) -> datetime:
        if owner not in deadlines:
            calendar = policy.calendar_of_person(owner)
            deadlines[owner] = calendar.due(now, policy.cases.acknowledge_within.on(calendar))
        return deadlines[owner]

    supervisor = spec.supervisor or spec.head or ""
    return Roster(department, supervisor, members, staff, spec.backup or "", acknowledge_by)


def _starts(calendar: Calendar, person: Person, now: datetime) -> datetime | None:
    zone = ZoneInfo(calendar.time_zone)
    if _is_away(person, now.astimezone(zone)):
        return None
    try:
        starts = calendar.next_working(now)
    except NoWorkingTime:
        return None
    if starts - now > HORIZON or _is_away(person, starts.astimezone(zone)):
        return None
    return starts.astimezone(UTC)


def _is_away(person: Person, local: datetime) -> bool:
    return any(away.first <= local.date() <= away.last for away in person.away)
