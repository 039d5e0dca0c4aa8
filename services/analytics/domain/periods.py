"""The hours, days, weeks and months of a time zone, as moments at which they start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Grain = Literal["hour", "day", "week", "month", "all"]
MONDAY = 0
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As the policy names them (organisation.week_starts); a number is a place among them."""
_SHORTEST: dict[Grain, timedelta] = {
    "hour": timedelta(minutes=30),  # where a zone's clock moves by half an hour
    "day": timedelta(hours=22),
    "week": timedelta(days=6),
    "month": timedelta(days=27),
}


class TooManyPeriods(Exception):
    """The span has more periods of this grain than were allowed."""


def starts(
    begin: datetime, end: datetime, grain: Grain, zone: ZoneInfo, most: int, first_weekday: int = MONDAY
) -> list[datetime]:
    """Where the periods of [begin, end) start, in UTC; the first one is cut off at `begin`.

    Days, weeks (from their first weekday) and months start at local midnight, or, where the clock skips it,
    at the moment of the change; so a day has 23, 24 or 25 hours. Raises TooManyPeriods before it works on a
    long list.
    """
    if grain == "all":
        return [begin]
    if (end - begin) / (4 * _SHORTEST[grain]) > most:
        raise TooManyPeriods
    following = _next_hour if grain == "hour" else _next_midnight(grain, first_weekday)
    found = [begin]
    while (moment := following(found[-1], zone)) < end:
        found.append(moment)
        if len(found) > most:
            raise TooManyPeriods
    return found


def _next_hour(moment: datetime, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone)
    gone = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return moment + timedelta(hours=1) - gone


def _next_midnight(grain: Grain, first_weekday: int) -> Callable[[datetime, ZoneInfo], datetime]:
    def following(moment: datetime, zone: ZoneInfo) -> datetime:
        day = _next(moment.astimezone(zone).date(), grain, first_weekday)
        return midnight(day, zone)

    return following


def _next(day: date, grain: Grain, first_weekday: int) -> date:
    """The first day of the next day, week or month."""
    if grain == "month":
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return week_of(day, first_weekday) + timedelta(days=7) if grain == "week" else day + timedelta(days=1)


def week_of(day: date, first_weekday: int) -> date:
    """The first day of the week in which a day lies."""
    return day - timedelta(days=(day.weekday() - first_weekday) % 7)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins in a zone, in UTC; where the clock skips midnight, at the change."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
