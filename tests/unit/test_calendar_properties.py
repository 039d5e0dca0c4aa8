"""Laws of business time over random calendars in all zones, and an oracle that looks at every minute."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calendar import Calendar
from tests.support.slow_calendar import DAY, MINUTE, NAMES, SlowCalendar, clock_changes

ZONES = sorted(available_timezones())
SECOND = 1_000_000


def times(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


minutes_of_a_day = st.one_of(st.integers(0, 1440), st.sampled_from([0, 60, 120, 150, 180, 1440]))
intervals = (
    st.tuples(minutes_of_a_day, minutes_of_a_day)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: f"{times(min(pair))}-{times(max(pair))}")
)
keys = st.one_of(
    st.sampled_from(NAMES), st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).map("-".join)
)
weeks = st.dictionaries(keys, st.lists(intervals, min_size=1, max_size=3), min_size=1, max_size=3)
zones = st.sampled_from(ZONES)
years = st.integers(1990, 2099)


@st.composite
def written(draw: st.DrawFn, near: date | None = None, zone: str | None = None) -> SlowCalendar:
    """A calendar whose special days lie about `near`."""
    day = near or draw(st.dates(date(1990, 1, 5), date(2099, 12, 20)))
    days = st.integers(-4, 9).map(lambda n: (day + timedelta(days=n)).isoformat())
    return SlowCalendar(
        zone or draw(zones),
        draw(weeks),
        draw(st.lists(days, max_size=3)),
        draw(st.dictionaries(days, st.lists(intervals, max_size=2), max_size=2)),
        draw(st.dictionaries(keys, st.lists(intervals, max_size=2), max_size=1)),
    )


def built(slow: SlowCalendar) -> Calendar:
    return Calendar(**asdict(slow))


@st.composite
def calendars_and_moments(draw: st.DrawFn, count: int) -> tuple[Calendar, list[datetime]]:
    """Without breaks, so that there is always work, and moments in order within half a year."""
    day = draw(st.dates(date(1990, 2, 1), date(2099, 5, 1)))
    slow = draw(written(day))
    slow.breaks = {}
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    offsets = draw(st.lists(st.integers(0, 180 * 86_400 * SECOND), min_size=count, max_size=count))
    return built(slow), [begin + timedelta(microseconds=offset) for offset in sorted(offsets)]


laws = settings(max_examples=60, deadline=None)
spans = st.integers(0, 10 * 86_400)


@laws
@given(calendars_and_moments(1), spans)
def test_elapsed_until_the_due_is_the_duration_and_no_earlier_moment_is_due(given, seconds):
    calendar, (start,) = given
    due = calendar.due(start, seconds)
    assert calendar.elapsed_microseconds(start, due) == seconds * SECOND
    if seconds:
        assert calendar.elapsed_microseconds(start, due - timedelta(microseconds=1)) == seconds * SECOND - 1


@laws
@given(calendars_and_moments(2), spans, spans)
def test_neither_a_longer_duration_nor_a_later_start_is_due_earlier(given, one, other):
    calendar, (first, second) = given
    less, more = sorted((one, other))
    assert calendar.due(first, less) <= calendar.due(first, more)
    assert calendar.due(first, more) <= calendar.due(second, more)


@laws
@given(calendars_and_moments(3))
def test_elapsed_time_adds_up(given):
    calendar, (a, b, c) = given
    parts = calendar.elapsed_microseconds(a, b) + calendar.elapsed_microseconds(b, c)
    assert parts == calendar.elapsed_microseconds(a, c) == calendar.worked(c) - calendar.worked(a)


@laws
@given(calendars_and_moments(1), st.integers(1, 86_400), st.integers(1, 86_400))
def test_one_duration_after_the_other_is_both_at_once(given, one, other):
    calendar, (start,) = given
    assert calendar.due(calendar.due(start, one), other) == calendar.due(start, one + other)


@laws
@given(calendars_and_moments(1))
def test_the_next_working_moment_is_worked_and_has_no_work_before_it(given):
    calendar, (start,) = given
    opening = calendar.next_working(start)
    assert calendar.is_working(opening) and opening >= start
    assert calendar.elapsed_microseconds(start, opening) == 0


@laws
@given(written(), st.permutations([-3, -1, 0, 2, 5]))
def test_the_order_of_questions_changes_no_answer(slow, years):
    """Years are laid out as they are asked for, before and after those that are there."""
    slow.breaks = {}
    straight, crooked = built(slow), built(slow)
    moments = {year: datetime(2040 + year, 12, 30, 12, tzinfo=UTC) for year in years}
    asked = {year: straight.due(moments[year], 100_000) for year in sorted(years)}
    assert {year: crooked.due(moments[year], 100_000) for year in years} == {y: asked[y] for y in years}
    for one, other in pairwise(sorted(years)):
        span = (moments[one], moments[other])
        assert crooked.elapsed_microseconds(*span) == straight.elapsed_microseconds(*span)


@lru_cache(maxsize=512)
def changes(zone: str, year: int) -> list[datetime]:
    return clock_changes(zone, year)


@st.composite
def days_to_look_at(draw: st.DrawFn) -> tuple[SlowCalendar, datetime]:
    """A calendar and a midnight, that before a change of its zone's clock where there is one that year."""
    zone, year = draw(zones), draw(years)
    found = changes(zone, year)
    plain = datetime(year, 1, 5, tzinfo=UTC) + DAY * draw(st.integers(0, 340))
    day = draw(st.sampled_from(found)) if found else plain
    return draw(written(day.date(), zone)), day


@settings(max_examples=120, deadline=None)
@given(days_to_look_at(), st.integers(0, 1440), st.integers(1, 2 * 1440), st.data())
def test_every_answer_is_that_of_the_minutes_one_by_one(given, offset, minutes, data):
    slow, day = given
    calendar = built(slow)
    start = day + MINUTE * offset
    worked = slow.minutes(start, minutes)
    end = start + MINUTE * minutes
    assert calendar.elapsed(start, end) == 60 * sum(worked)
    place = data.draw(st.integers(0, minutes - 1))
    assert calendar.is_working(start + MINUTE * place) == worked[place]
    if True in worked:
        assert calendar.next_working(start) == start + MINUTE * worked.index(True)
        wanted = data.draw(st.integers(1, sum(worked)))
        reached = [n for n, is_worked in enumerate(worked) if is_worked][wanted - 1] + 1
        assert calendar.due(start, 60 * wanted) == start + MINUTE * reached


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)),  # a whole day that never was
        ("Pacific/Kwajalein", datetime(1993, 8, 20, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),  # half an hour
        ("Antarctica/Troll", datetime(2026, 3, 28, tzinfo=UTC)),  # two hours
        ("America/Sao_Paulo", datetime(2017, 10, 14, tzinfo=UTC)),  # midnight itself is skipped
        ("America/Havana", datetime(2026, 10, 31, tzinfo=UTC)),  # midnight comes twice
        ("Africa/Casablanca", datetime(2026, 2, 14, tzinfo=UTC)),  # standard time is summer time
        ("Asia/Pyongyang", datetime(2015, 8, 14, tzinfo=UTC)),
        ("Europe/Dublin", datetime(2026, 10, 24, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize(
    "week", [{"mon-sun": ["00:00-24:00"]}, {"mon-sun": ["00:30-02:15", "09:00-18:00", "23:30-24:00"]}]
)
def test_the_odd_clock_changes_of_the_world(zone, day, week):
    slow = SlowCalendar(zone, week)
    calendar = built(slow)
    worked = slow.minutes(day, 3 * 1440)
    for offset in range(0, 2880, 97):
        start, minutes = day + MINUTE * offset, worked[offset : offset + 1440]
        assert calendar.elapsed(start, start + DAY) == 60 * sum(minutes)
        assert calendar.is_working(start) == minutes[0]


def test_the_oracle_notices_a_minute_that_is_lost():
    """A calendar one minute shorter than the one that is written."""
    slow = SlowCalendar("Europe/Berlin", {"mon-sun": ["09:00-18:00"]})
    short = Calendar("Europe/Berlin", {"mon-sun": ["09:00-17:59"]})
    start = datetime(2026, 3, 2, tzinfo=UTC)
    assert short.elapsed(start, start + DAY) == 60 * (sum(slow.minutes(start, 1440)) - 1)
