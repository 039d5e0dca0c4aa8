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


def moment_after(
    calendar: Calendar, start: datetime, seconds: int, pauses: Sequence[Hold] = ()
) -> datetime | None:
    """When `seconds` of work have been done since `start`; None while a pause in progress stands before it.

    The end of a working period belongs to it: 60 minutes from 17:00 are over at 18:00. No seconds at all
    are over at the next working moment. Raises NoWorkingTime.
    """
    if not pauses:
        return _kept(calendar.due(start, seconds))
    left = seconds * _SECOND
    for begin, end in at_work(start, pauses):
        moment = _due(calendar, begin, left)
        if end is None or moment <= end:
            return _kept(moment)
        left -= calendar.elapsed_microseconds(begin, end)
    return None


def business_seconds(calendar: Calendar, start: datetime, end: datetime, pauses: Sequence[Hold] = ()) -> int:
    """Whole seconds of work from start to end, less the pauses; 0 when end is not after start."""
    spans = _until(end, at_work(start, pauses))
    return sum(calendar.elapsed_microseconds(begin, stop) for begin, stop in spans) // _SECOND


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


def _due(calendar: Calendar, start: datetime, microseconds: int) -> datetime:
    """Like Calendar.due, to the microsecond: pauses end within a second, and all of them count."""
    seconds, rest = divmod(microseconds, _SECOND)
    moment = calendar.due(start, seconds)
    while rest:
        begin = calendar.next_working(moment)
        moment = begin + timedelta(microseconds=rest)
        rest -= calendar.elapsed_microseconds(begin, moment)
    return moment


def _kept(moment: datetime) -> datetime:
    beyond = moment.microsecond % 1000
    return moment + timedelta(microseconds=1000 - beyond) if beyond else moment
