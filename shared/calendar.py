"""Business time: working hours of a week, less holidays, plus exceptions, in the calendar's own zone.

Source: docs/domain.md 3.1 to 3.4, docs/policy.md (calendars). Pure: no clock, no I/O; UTC integers inside.
Rules that the examples leave open:
- Moments are kept to the microsecond; durations go in as whole seconds; `elapsed` rounds down to whole
  seconds, `elapsed_microseconds` is exact and adds up.
- A wall time that a clock change skips is moved forward by the length of the gap (02:30 is 03:30), for a
  closing time too; an ambiguous one is the first. What then overlaps counts once.
- Which rule decides a day: an override, else a holiday given as a date, else a make-up working day of a
  country (the hours of the weekday it stands for), else a public holiday, else `weekly` less `breaks`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from typing import NamedTuple

from shared.opening_hours import (
    DAY_SECONDS,
    Hours,
    HoursError,
    merged,
    parse_date,
    parse_hours,
    parse_weekly,
    parse_zone,
    total,
    usual_day,
    without,
)
from shared.public_holidays import parse_holidays, year_off

__all__ = ["FIRST_YEAR", "LAST_YEAR", "Calendar", "CalendarError", "NoWorkingTime"]

FIRST_YEAR, LAST_YEAR = 1970, 2199
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_HORIZON = 366 * DAY_SECONDS * _SECOND

CalendarError = HoursError


class NoWorkingTime(ValueError):
    """The calendar has no working time in the 366 days after a moment, or its years (1970-2199) end."""

    def __init__(self) -> None:
        super().__init__("the calendar has no working time in the next 366 days")


class _Year(NamedTuple):
    """Working time of one local year, in microseconds since 1970 UTC; `done[i]` is the work up to ends[i]."""

    begin: int
    end: int
    starts: list[int]
    ends: list[int]
    done: list[int]

    @property
    def work(self) -> int:
        return self.done[-1] if self.done else 0

    def before(self, at: int) -> int:
        """Work of this year before `at`."""
        index = bisect_right(self.starts, at) - 1
        return self.done[index] - max(self.ends[index] - at, 0) if index >= 0 else 0


class Calendar:
    """Working time of one team. Years are laid out when first asked for; after that all is a bisection.

    `day` is the length of one business day (`1bd`) in seconds, else the most common daily total of
    `weekly`. Raises CalendarError (with the path of the part) for what cannot be read.
    """

    def __init__(
        self,
        time_zone: str,
        weekly: Mapping[str, Sequence[str]],
        holidays: Iterable[str | date] = (),
        overrides: Mapping[str, Sequence[str]] | None = None,
        breaks: Mapping[str, Sequence[str]] | None = None,
        day: int | None = None,
    ) -> None:
        self.time_zone = time_zone
        self._zone = parse_zone(time_zone)
        pauses = parse_weekly(breaks or {}, "breaks")
        self._week = tuple(map(without, parse_weekly(weekly), pauses))
        self._usual = self._week[usual_day(self._week)]
        self._off, self.countries = parse_holidays(holidays)
        self._overrides = {
            parse_date(key, f"overrides.{key}"): parse_hours(hours, f"overrides.{key}")
            for key, hours in (overrides or {}).items()
        }
        self.day_seconds = total(self._usual) if day is None else day
        self._years: dict[int, _Year] = {}

    @property
    def works_weekly(self) -> bool:
        """Whether an ordinary week has working time."""
        return any(self._week)

    def due(self, start: datetime, seconds: int) -> datetime:
        """First moment with `seconds` of work since `start`; 0 is the next working moment. UTC."""
        if seconds < 0:
            raise ValueError("a business duration is not negative")
        if seconds == 0:
            return self.next_working(start)
        at = _microseconds(start)
        number, year = self._year_of(start, at)
        need, idle_since = seconds * _SECOND + year.before(at), at
        while need > year.work:
            need -= year.work
            idle_since = max(idle_since, year.ends[-1]) if year.ends else idle_since
            number, year = number + 1, self._year(number + 1)
            if year.begin - idle_since > _HORIZON or (
                year.starts and max(year.starts[0] - idle_since, 0) > _HORIZON
            ):
                raise NoWorkingTime
        index = bisect_left(year.done, need)
        return _moment(year.ends[index] - (year.done[index] - need))

    def elapsed(self, start: datetime, end: datetime) -> int:
        """Whole seconds of work from start to end, rounded down; 0 when end is not after start."""
        return self.elapsed_microseconds(start, end) // _SECOND

    def elapsed_microseconds(self, start: datetime, end: datetime) -> int:
        """Work from start to end, exact; 0 when end is not after start."""
        begin, until = _microseconds(start), _microseconds(end)
        if until <= begin:
            return 0
        first, year = self._year_of(start, begin)
        last, last_year = self._year_of(end, until)
        done = last_year.before(until) - year.before(begin)
        if first == last:
            return done
        return done + sum(self._year(number).work for number in range(first, last))

    def next_working(self, at: datetime) -> datetime:
        """`at` itself when it is worked, else the next opening; UTC. Raises NoWorkingTime."""
        moment = _microseconds(at)
        number, year = self._year_of(at, moment)
        while True:
            index = bisect_right(year.ends, moment)
            if index < len(year.ends):
                opening = max(year.starts[index], moment)
                if opening - moment > _HORIZON:
                    raise NoWorkingTime
                return _moment(opening)
            if year.end - moment > _HORIZON:
                raise NoWorkingTime
            number, year = number + 1, self._year(number + 1)

    def is_working(self, at: datetime) -> bool:
        """Whether `at` lies in working time; openings belong to it, closings do not."""
        moment = _microseconds(at)
        _, year = self._year_of(at, moment)
        index = bisect_right(year.starts, moment) - 1
        return index >= 0 and moment < year.ends[index]

    def hours_on(self, day: date) -> Hours:
        """Working intervals of one local date, in seconds since its midnight."""
        if (override := self._overrides.get(day)) is not None:
            return override
        if day in self._off:
            return ()
        for country in self.countries:
            makeup = year_off(country, day.year).makeup
            if day in makeup:
                weekday = makeup[day]
                return (self._week[weekday] if weekday is not None else ()) or self._usual
        if any(day in year_off(country, day.year).days_off for country in self.countries):
            return ()
        return self._week[day.weekday()]

    def _year_of(self, at: datetime, moment: int) -> tuple[int, _Year]:
        """The local year that holds a moment; the zone moves it by one from the year that is written."""
        number = at.year
        year = self._year(number)
        while moment >= year.end:
            number, year = number + 1, self._year(number + 1)
        while moment < year.begin:
            number, year = number - 1, self._year(number - 1)
        return number, year

    def _year(self, number: int) -> _Year:
        year = self._years.get(number)
        if year is None:
            year = self._years[number] = self._laid_out(number)
        return year

    def _laid_out(self, number: int) -> _Year:
        if not FIRST_YEAR - 1 <= number <= LAST_YEAR + 1:
            raise NoWorkingTime if number > LAST_YEAR else CalendarError("start", "times begin in 1970")
        begin, end = self._utc(date(number, 1, 1), 0), self._utc(date(number + 1, 1, 1), 0)
        pieces = []
        day = date(number, 1, 1)
        while day.year == number:
            pieces += [(self._utc(day, open_), self._utc(day, close)) for open_, close in self.hours_on(day)]
            day += timedelta(days=1)
        spans = merged((max(start, begin), min(stop, end)) for start, stop in pieces if start < stop)
        starts, ends = [span[0] for span in spans], [span[1] for span in spans]
        done = list(accumulate(stop - start for start, stop in spans))
        return _Year(begin, end, starts, ends, done)

    def _utc(self, day: date, seconds: int) -> int:
        """A local wall time in UTC. fold=0 is the rule for clock changes: later in a gap, first of two."""
        days, rest = divmod(seconds, DAY_SECONDS)
        wall = datetime.combine(day + timedelta(days=days), time(rest // 3600, rest // 60 % 60))
        return _microseconds(wall.replace(tzinfo=self._zone).astimezone(UTC))


def _microseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    since = at - _EPOCH
    return (since.days * DAY_SECONDS + since.seconds) * _SECOND + since.microseconds


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
