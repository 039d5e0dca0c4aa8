"""Business time: working hours of a week, less holidays, plus exceptions, in the calendar's own zone.

Source: docs/domain.md 3.1 to 3.4, docs/policy.md (calendars). Pure: no clock, no I/O; UTC integers inside.
Rules that the examples leave open:
- Moments are kept to the microsecond; durations go in as whole seconds; `elapsed` rounds down to whole
  seconds, `elapsed_microseconds` is exact and adds up.
- A wall time that a clock change skips is moved forward by the length of the gap (02:30 is 03:30), for a
  closing time too; an ambiguous one is the first. What then overlaps counts once.
- Years are laid out when first asked for, in one unbroken run; after that every question is a bisection.
- Which rule decides a day: an override, else a holiday given as a date, else a make-up working day of a
  country (the hours of the weekday it stands for), else a public holiday, else `weekly` less `breaks`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from typing import Literal

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

__all__ = ["FIRST_YEAR", "LAST_YEAR", "Calendar", "CalendarError", "NoWorkingTime", "Rule"]

FIRST_YEAR, LAST_YEAR = 1970, 2199
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_SECOND = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_HORIZON = 366 * DAY_SECONDS * _SECOND

CalendarError = HoursError
Rule = Literal["override", "holiday", "make-up", "public holiday", "weekly"]


class NoWorkingTime(ValueError):
    """The calendar has no working time in the 366 days after a moment, or its years (1970-2199) end."""

    def __init__(self) -> None:
        super().__init__("the calendar has no working time in the next 366 days")


class Calendar:
    """Working time of one team.

    `day` is the length of one business day (`1bd`) in seconds, else the most common daily total of
    `weekly`. Raises CalendarError (with the path of the part) for what cannot be read. Not for several
    threads at once.
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
        self.zone = parse_zone(time_zone)
        pauses = parse_weekly(breaks or {}, "breaks")
        self._week = tuple(map(without, parse_weekly(weekly), pauses))
        self._usual = self._week[usual_day(self._week)]
        self._off, self.countries = parse_holidays(holidays)
        self._overrides = {
            parse_date(key, f"overrides.{key}"): parse_hours(hours, f"overrides.{key}")
            for key, hours in (overrides or {}).items()
        }
        self.day_seconds = total(self._usual) if day is None else day
        # The local years that are laid out, and the UTC microseconds from the first one's begin to the
        # last one's end. Interval n is worked from starts[n] to ends[n], and done[n] is the work up to its
        # end, counted from an origin that stays; _far are the intervals after more than 366 idle days.
        self._years = range(0)
        self._begin = self._end = self._origin = 0
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._done: list[int] = []
        self._far: list[int] = []

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
        moment = _microseconds(start)
        return self._reached(self._worked(moment) + seconds * _SECOND, moment)

    def elapsed(self, start: datetime, end: datetime) -> int:
        """Whole seconds of work from start to end, rounded down; 0 when end is not after start."""
        return self.elapsed_microseconds(start, end) // _SECOND

    def elapsed_microseconds(self, start: datetime, end: datetime) -> int:
        """Work from start to end, exact; 0 when end is not after start."""
        begin, until = _microseconds(start), _microseconds(end)
        if until <= begin:
            return 0
        before = self._worked(begin)  # first: a year put behind costs the year, one put before costs them all
        return self._worked(until) - before

    def worked(self, at: datetime) -> int:
        """Microseconds of work before `at`, from an origin of this object's own: differences are work."""
        return self._worked(_microseconds(at))

    def reached(self, work: int, since: datetime) -> datetime:
        """First moment at which `worked` is `work`, more than at `since`. Raises NoWorkingTime."""
        return self._reached(work, _microseconds(since))

    def all_reached(self, works: Iterable[int], since: datetime) -> list[datetime]:
        """`reached` of several, for what is promised many times a second."""
        moment, ends, done = _microseconds(since), self._ends, self._done
        found = []
        for work in works:
            if not done or done[-1] < work or self._far:
                found.append(self._reached(work, moment))
            else:
                index = bisect_left(done, work)
                found.append(_EPOCH + timedelta(0, 0, ends[index] - done[index] + work))
        return found

    def next_working(self, at: datetime) -> datetime:
        """`at` itself when it is worked, else the next opening; UTC. Raises NoWorkingTime."""
        moment = _microseconds(at)
        self._lay_out(moment)
        while (index := bisect_right(self._ends, moment)) == len(self._ends):
            self._lay_out_another(moment)
        opening = max(self._starts[index], moment)
        if opening - moment > _HORIZON:
            raise NoWorkingTime
        return _moment(opening)

    def is_working(self, at: datetime) -> bool:
        """Whether `at` lies in working time; openings belong to it, closings do not."""
        moment = _microseconds(at)
        self._lay_out(moment)
        index = bisect_right(self._starts, moment) - 1
        return index >= 0 and moment < self._ends[index]

    def hours_on(self, day: date) -> Hours:
        """Working intervals of one local date, in seconds since its midnight."""
        return self.rule_on(day)[1]

    def rule_on(self, day: date) -> tuple[Rule, Hours]:
        """What decides a local date, and its working intervals."""
        if (override := self._overrides.get(day)) is not None:
            return "override", override
        if day in self._off:
            return "holiday", ()
        for country in self.countries:
            makeup = year_off(country, day.year).makeup
            if day in makeup:
                weekday = makeup[day]
                return "make-up", (self._week[weekday] if weekday is not None else ()) or self._usual
        if any(day in year_off(country, day.year).days_off for country in self.countries):
            return "public holiday", ()
        return "weekly", self._week[day.weekday()]

    def _worked(self, moment: int) -> int:
        if not self._begin <= moment < self._end:
            self._lay_out(moment)
        index = bisect_right(self._starts, moment) - 1
        if index < 0:
            return self._origin
        left = self._ends[index] - moment
        return self._done[index] - left if left > 0 else self._done[index]

    def _reached(self, work: int, since: int) -> datetime:
        done = self._done
        while not done or done[-1] < work:
            self._lay_out_another(since)
        index = bisect_left(done, work)
        if self._far:
            self._refuse_idle_year(since, index)
        return _moment(self._ends[index] - done[index] + work)

    def _refuse_idle_year(self, since: int, last: int) -> None:
        for far in self._far:
            if far <= last and self._starts[far] > since:
                idle_since = max(since, self._ends[far - 1]) if far else since
                if self._starts[far] - idle_since > _HORIZON:
                    raise NoWorkingTime

    def _lay_out(self, moment: int) -> None:
        """All years from those that are there to the one that holds the moment."""
        if not self._years:
            self._append(_moment(moment).year)
        while moment >= self._end:
            self._append(self._years.stop)
        while moment < self._begin:
            self._prepend(self._years.start - 1)

    def _lay_out_another(self, since: int) -> None:
        """The year after the last one, unless more than 366 days since `since` were idle up to there."""
        idle_since = max(since, self._ends[-1]) if self._ends else since
        if self._end - idle_since > _HORIZON:
            raise NoWorkingTime
        self._append(self._years.stop)

    def _append(self, number: int) -> None:
        begin, end, spans = self._laid_out(number)
        if not self._years:
            self._begin, self._years = begin, range(number, number)
        known, done = len(self._starts), self._done[-1] if self._done else self._origin
        self._starts += [start for start, _ in spans]
        self._ends += [stop for _, stop in spans]
        self._done += list(accumulate((stop - start for start, stop in spans), initial=done))[1:]
        self._years, self._end = range(self._years.start, number + 1), end
        self._far += self._after_an_idle_year(known)

    def _prepend(self, number: int) -> None:
        begin, _, spans = self._laid_out(number)
        self._origin -= sum(stop - start for start, stop in spans)
        done = accumulate((stop - start for start, stop in spans), initial=self._origin)
        self._starts[:0] = [start for start, _ in spans]
        self._ends[:0] = [stop for _, stop in spans]
        self._done[:0] = list(done)[1:]
        self._years, self._begin = range(number, self._years.stop), begin
        self._far = self._after_an_idle_year(0)

    def _after_an_idle_year(self, first: int) -> list[int]:
        starts, ends = self._starts, self._ends
        return [
            index
            for index in range(first, len(starts))
            if starts[index] - (ends[index - 1] if index else self._begin) > _HORIZON
        ]

    def _laid_out(self, number: int) -> tuple[int, int, Hours]:
        """When a local year begins and ends, and its working time in order."""
        if not FIRST_YEAR - 1 <= number <= LAST_YEAR + 1:
            raise NoWorkingTime if number > LAST_YEAR else CalendarError("start", "times begin in 1970")
        begin, end = self._utc(date(number, 1, 1), 0), self._utc(date(number + 1, 1, 1), 0)
        spans: list[tuple[int, int]] = []
        day = date(number, 1, 1)
        offset = self._offset(day)
        while day.year == number:
            following = day + timedelta(days=1)
            before, offset = offset, self._offset(following)
            if before == offset:  # no clock change on this day
                midnight = (day.toordinal() - _EPOCH_DAY) * DAY_SECONDS * _SECOND - offset
                spans += [
                    (midnight + opens * _SECOND, midnight + closes * _SECOND)
                    for opens, closes in self.hours_on(day)
                ]
            else:
                spans += [
                    (self._utc(day, opens), self._utc(day, closes)) for opens, closes in self.hours_on(day)
                ]
            day = following
        clipped = ((max(start, begin), min(stop, end)) for start, stop in spans)
        return begin, end, merged(span for span in clipped if span[0] < span[1])

    def _offset(self, day: date) -> int:
        """Microseconds that the local clock is ahead of UTC at the first midnight of a day."""
        ahead = datetime.combine(day, time(), self.zone).utcoffset()
        assert ahead is not None, "a zone of the IANA database has an offset"
        return ahead // _MICROSECOND

    def _utc(self, day: date, seconds: int) -> int:
        """A local wall time in UTC. fold=0 is the rule for clock changes: later in a gap, first of two."""
        days, rest = divmod(seconds, DAY_SECONDS)
        wall = datetime.combine(day + timedelta(days=days), time(rest // 3600, rest // 60 % 60))
        return _microseconds(wall.replace(tzinfo=self.zone).astimezone(UTC))


def _microseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    since = at - _EPOCH
    return (since.days * DAY_SECONDS + since.seconds) * _SECOND + since.microseconds


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(0, 0, microseconds)
