"""Business time with holes in it: a case that waits for somebody else is not at work (docs/domain.md 3.5).

Moments that come out of here are rounded up to the millisecond, which is what the database keeps: nothing
is due before it is due.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.calendar import Calendar
from shared.events import Hold

_SECOND = 1_000_000


def pauses_of(
    holds: Sequence[Hold], pause_on: Collection[str], stop: datetime | None = None
) -> tuple[Hold, ...]:
    """The holds that pause a clock: those of `pause_on`, and the time between resolved and reopened.

    In order of their start. For a clock that has stopped, what lay before that: a hold that was in progress
    then counts as ended then, whenever it really did.
    """
    counted = sorted(
        (hold for hold in holds if hold.status == "resolved" or hold.status in pause_on),
        key=lambda hold: hold.start,
    )
    if stop is None:
        return tuple(counted)
    return tuple(replace(hold, end=min(hold.end or stop, stop)) for hold in counted if hold.start < stop)


def at_work(start: datetime, pauses: Sequence[Hold]) -> Iterator[tuple[datetime, datetime | None]]:
    """The spans from `start` on in which the clock runs; the last one is open unless a pause still is."""
    at = start
    for pause in pauses:
        if at < pause.start:
            yield at, pause.start
        if pause.end is None:
            return
        at = max(at, pause.end)
    yield at, None


class WorkingTime:
    """The business time of one stretch: from `start` on by a calendar, less the pauses."""

    __slots__ = ("_calendar", "_done", "_spans", "_start")

    def __init__(self, calendar: Calendar, start: datetime, pauses: Sequence[Hold] = ()) -> None:
        self._calendar, self._start = calendar, start
        self._done = calendar.worked(start)
        self._spans = list(at_work(start, pauses)) if pauses else None

    def moment_after(self, seconds: int) -> datetime | None:
        """When `seconds` of work have been done; None while a pause in progress stands before it.

        The end of a working period belongs to it: 60 minutes from 17:00 are over at 18:00. No seconds at
        all are over at the next working moment. Raises NoWorkingTime.
        """
        if self._spans is None:
            if seconds:
                return _kept(self._calendar.reached(self._done + seconds * _SECOND, self._start))
            return _kept(self._calendar.next_working(self._start))
        calendar, left = self._calendar, seconds * _SECOND
        for begin, end in self._spans:
            done = calendar.worked(begin)
            moment = calendar.reached(done + left, begin) if left else calendar.next_working(begin)
            if end is None or moment <= end:
                return _kept(moment)
            left -= calendar.worked(end) - done
        return None

    def moments_after(self, spans: Sequence[int]) -> list[datetime | None]:
        """`moment_after` of several."""
        if self._spans is not None or 0 in spans:
            return [self.moment_after(seconds) for seconds in spans]
        works = [self._done + seconds * _SECOND for seconds in spans]
        return [_kept(moment) for moment in self._calendar.all_reached(works, self._start)]

    def seconds_until(self, end: datetime) -> int:
        """Whole seconds of work up to `end`; 0 when it is not after the start."""
        calendar = self._calendar
        spans = at_work(self._start, ()) if self._spans is None else iter(self._spans)
        return (
            sum(calendar.worked(stop) - calendar.worked(begin) for begin, stop in _until(end, spans))
            // _SECOND
        )


def moment_after(
    calendar: Calendar, start: datetime, seconds: int, pauses: Sequence[Hold] = ()
) -> datetime | None:
    """WorkingTime.moment_after for a single question."""
    return WorkingTime(calendar, start, pauses).moment_after(seconds)


def business_seconds(calendar: Calendar, start: datetime, end: datetime, pauses: Sequence[Hold] = ()) -> int:
    """Whole seconds of work from start to end, less the pauses; 0 when end is not after start."""
    return WorkingTime(calendar, start, pauses).seconds_until(end)


def wall_seconds(start: datetime, end: datetime, pauses: Sequence[Hold] = ()) -> int:
    """Whole seconds as they pass from start to end, less the pauses; 0 when end is not after start."""
    spans = _until(end, at_work(start, pauses))
    return sum((stop - begin for begin, stop in spans), timedelta()) // timedelta(seconds=1)


def _until(
    end: datetime, spans: Iterator[tuple[datetime, datetime | None]]
) -> Iterator[tuple[datetime, datetime]]:
    for begin, stop in spans:
        if begin >= end:
            return
        yield begin, end if stop is None else min(stop, end)


def _kept(moment: datetime) -> datetime:
    beyond = moment.microsecond % 1000
    return moment + timedelta(microseconds=1000 - beyond) if beyond else moment
