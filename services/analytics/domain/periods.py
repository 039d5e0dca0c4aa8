"""The hours, days, weeks and months of a time zone, as moments at which they start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Grain = Literal["hour", "day", "week", "month", "all"]
_SHORTEST: dict[Grain, timedelta] = {
    "hour": timedelta(minutes=30),  # where a zone's clock moves by half an hour
    "day": timedelta(hours=22),
    "week": timedelta(days=6),
    "month": timedelta(days=27),
}


class TooManyPeriods(Exception):
    """The span has more periods of this grain than were allowed."""


def starts(begin: datetime, end: datetime, grain: Grain, zone: ZoneInfo, most: int) -> list[datetime]:
    """Where the periods of [begin, end) start, in UTC; the first one is cut off at `begin`.

    Days, weeks (from Monday) and months start at local midnight, or, where the clock skips it, at the moment
    of the change; so a day has 23, 24 or 25 hours. Raises TooManyPeriods before it works on a long list.
    """
    if grain == "all":
        return [begin]
    if (end - begin) / (4 * _SHORTEST[grain]) > most:
        raise TooManyPeriods
    following = _next_hour if grain == "hour" else _next_midnight(grain)
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


def _next_midnight(grain: Grain) -> Callable[[datetime, ZoneInfo], datetime]:
    step = {"day": _next_day, "week": _next_monday, "month": _next_first}[grain]

    def following(moment: datetime, zone: ZoneInfo) -> datetime:
        day = step(moment.astimezone(zone).date())
        return datetime.combine(day, time(), zone).astimezone(UTC)

    return following


def _next_day(day: date) -> date:
    return day + timedelta(days=1)


def _next_monday(day: date) -> date:
    return day + timedelta(days=7 - day.weekday())


def _next_first(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
