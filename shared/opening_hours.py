"""Opening hours as people write them: `{mon-fri: ["09:00-12:00", "13:00-18:00"]}` (docs/policy.md).

An interval is a pair of whole seconds since the local midnight, the end exclusive; `24:00` is an end.
Intervals that overlap or touch count once (docs/domain.md 3.4).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

Interval = tuple[int, int]
Hours = tuple[Interval, ...]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_SECONDS = 86_400
MOST_INTERVALS = 24
"""Of one day. Years are laid out interval by interval: 720 a day took a gigabyte for one question."""
_INTERVAL = re.compile(r"([0-9]{2}):([0-5][0-9])-([0-9]{2}):([0-5][0-9])")


class HoursError(ValueError):
    """Hours that cannot be read; `path` is the part of the calendar, the message never holds the value."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def parse_interval(text: str, path: str) -> Interval:
    """`"09:00-12:00"` as seconds since midnight. A night shift is written as two days, cut at 24:00."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise HoursError(path, 'an interval is written "HH:MM-HH:MM"')
    from_hour, from_minute, to_hour, to_minute = (int(part) for part in match.groups())
    start, end = from_hour * 3600 + from_minute * 60, to_hour * 3600 + to_minute * 60
    if end > DAY_SECONDS:
        raise HoursError(path, "a day ends at 24:00")
    if start >= end:
        raise HoursError(path, "an interval ends after it begins; cut a night shift at 24:00")
    return start, end


def parse_hours(texts: Sequence[str], path: str) -> Hours:
    """The intervals of one day, merged. An empty list is a closed day."""
    if isinstance(texts, str):
        raise HoursError(path, 'hours are a list, ["09:00-12:00", "13:00-18:00"]')
    return _few(merged(parse_interval(text, f"{path}[{index}]") for index, text in enumerate(texts)), path)


def _few(hours: Hours, path: str) -> Hours:
    if len(hours) > MOST_INTERVALS:
        raise HoursError(path, f"a day has at most {MOST_INTERVALS} intervals")
    return hours


def parse_weekly(weekly: Mapping[str, Sequence[str]], path: str = "weekly") -> tuple[Hours, ...]:
    """Seven days, Monday first. Keys are days or ranges (`sat-mon` wraps); days named twice add up."""
    week: list[list[Interval]] = [[] for _ in DAYS]
    for key, texts in weekly.items():
        hours = parse_hours(texts, f"{path}.{key}")
        for day in _days(key, path):
            week[day].extend(hours)
    return tuple(_few(merged(intervals), f"{path}.{day}") for day, intervals in zip(DAYS, week, strict=True))


def _days(key: str, path: str) -> list[int]:
    first, _, last = key.partition("-")
    if first not in DAYS or (last or first) not in DAYS or key.endswith("-"):
        raise HoursError(
            f"{path}.{key}", "days are mon, tue, wed, thu, fri, sat, sun and ranges like mon-fri"
        )
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return [(begin + offset) % 7 for offset in range((end - begin) % 7 + 1)]


def merged(intervals: Iterable[Interval]) -> Hours:
    """In order, without overlap; intervals that touch become one."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def without(hours: Hours, breaks: Hours) -> Hours:
    """Hours less the breaks in them; with the most of both, twice MOST_INTERVALS less one."""
    result = list(hours)
    for pause_start, pause_end in breaks:
        parts = [((start, min(end, pause_start)), (max(start, pause_end), end)) for start, end in result]
        result = [(start, end) for pair in parts for start, end in pair if start < end]
    return tuple(result)


def total(hours: Hours) -> int:
    """Seconds of work in a day."""
    return sum(end - start for start, end in hours)


def usual_day(week: Sequence[Hours]) -> int:
    """Weekday (0 = Monday) with the most common daily total; the longer of equally common ones; else 0."""
    totals = Counter(total(hours) for hours in week if hours)
    if not totals:
        return 0
    usual = max(totals, key=lambda seconds: (totals[seconds], seconds))
    return next(day for day, hours in enumerate(week) if total(hours) == usual)


def parse_zone(name: str) -> ZoneInfo:
    """A zone by its IANA name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise HoursError("time_zone", "not a zone of the IANA time zone database") from error


def parse_date(value: str | date, path: str) -> date:
    """`"2026-02-14"`; a date stays."""
    if isinstance(value, date):
        return value
    try:
        if len(value) != len("2026-02-14"):
            raise ValueError(path)
        return date.fromisoformat(value)
    except ValueError as error:
        raise HoursError(path, 'a date is written "2026-02-14"') from error
