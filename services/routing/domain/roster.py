"""Who of a department could work now or next, by the policy: calendars and absences (docs/domain.md 2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from services.routing.domain.assignment import Member, Roster
from shared.calendar import Calendar, NoWorkingTime
from shared.policy import Person, Policy

AGENT = "agent"
HORIZON = timedelta(days=14)
"""Whoever works only later than this is not "next"."""


def roster(policy: Policy, department: str, now: datetime) -> Roster:
    """The department's agents who are not away, each with the moment their next working time begins."""
    spec = policy.departments[department]
    members: dict[str, Member] = {}
    for name, person in policy.people.items():
        if person.department != department or AGENT not in person.roles:
            continue
        starts = _starts(policy.calendar_of_person(name), person, now)
        if starts is not None:
            members[name] = Member(
                name, person.capacity, frozenset(person.skills), frozenset(person.languages), starts
            )
    return Roster(department, spec.supervisor or spec.head or "", members)


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
