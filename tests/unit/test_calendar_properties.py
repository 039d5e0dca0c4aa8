"""Laws of business time, and a slow oracle that walks minute by minute through the local clock."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calendar import Calendar

MINUTE = timedelta(minutes=1)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
WEEKS = {
    "office": {"mon-fri": ["09:00-12:00", "13:00-18:00"]},
    "always": {"mon-sun": ["00:00-24:00"]},
    "nights": {"mon-sun": ["00:00-02:30", "22:00-24:00"]},
    "early": {"sat-sun": ["01:30-03:15"], "mon": ["02:00-02:45"]},
}
ZONES = ["Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu"]


@lru_cache
def calendar(zone: str, week: str) -> Calendar:
    return Calendar(zone, WEEKS[week], ["2026-03-09"], {"2026-03-14": ["10:00-11:00"]})


calendars = st.builds(calendar, st.sampled_from(ZONES), st.sampled_from(sorted(WEEKS)))
moments = st.integers(0, 4 * 366 * 86_400_000_000).map(lambda n: BEGIN + timedelta(microseconds=n))
spans = st.integers(0, 30 * 86_400)


@given(calendars, moments, spans)
def test_elapsed_until_the_due_is_the_duration(cal, start, seconds):
    assert cal.elapsed_microseconds(start, cal.due(start, seconds)) == seconds * 1_000_000


@given(calendars, moments, st.integers(1, 30 * 86_400))
def test_a_due_is_the_first_such_moment(cal, start, seconds):
    earlier = cal.due(start, seconds) - timedelta(microseconds=1)
    assert cal.elapsed_microseconds(start, earlier) == seconds * 1_000_000 - 1


@given(calendars, moments, spans, spans)
def test_more_time_is_never_due_earlier(cal, start, one, other):
    less, more = sorted((one, other))
    assert cal.due(start, less) <= cal.due(start, more)


@given(calendars, moments, moments, spans)
def test_a_later_start_is_never_due_earlier(cal, one, other, seconds):
    first, second = sorted((one, other))
    assert cal.due(first, seconds) <= cal.due(second, seconds)


@given(calendars, moments, moments, moments)
def test_elapsed_time_adds_up(cal, one, two, three):
    a, b, c = sorted((one, two, three))
    parts = cal.elapsed_microseconds(a, b) + cal.elapsed_microseconds(b, c)
    assert parts == cal.elapsed_microseconds(a, c)


@given(calendars, moments, st.integers(1, 86_400), st.integers(1, 86_400))
def test_one_duration_after_the_other_is_both_at_once(cal, start, one, other):
    assert cal.due(cal.due(start, one), other) == cal.due(start, one + other)


@given(calendars, moments)
def test_the_next_working_moment_is_worked_and_has_no_work_before_it(cal, start):
    opening = cal.next_working(start)
    assert cal.is_working(opening)
    assert cal.elapsed_microseconds(start, opening) == 0


@lru_cache(maxsize=64)
def local_minutes(zone: str, day: datetime) -> list[tuple[datetime, datetime]]:
    """(UTC, local wall time) of every minute from the day before to the day after."""
    begin = day - timedelta(days=2)
    moments = [begin + MINUTE * n for n in range(5 * 1440)]
    return [(at, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for at in moments]


def instant(zone: str, wall: datetime) -> datetime:
    """First moment that shows this wall time; in a gap, the wall time later by the gap."""
    minutes = local_minutes(zone, wall.replace(hour=0, minute=0, tzinfo=UTC))
    for (_, before), (at, after) in pairwise(minutes):
        if after == wall:
            return at
        if before < wall < after:
            return instant(zone, wall + (after - before - MINUTE))
    raise AssertionError(wall)


@lru_cache(maxsize=512)
def worked(zone: str, week: str, day: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """Opening and closing moments of a local day."""
    hours = calendar(zone, week).hours_on(day.date())
    return tuple(
        (instant(zone, day + timedelta(seconds=open_)), instant(zone, day + timedelta(seconds=close)))
        for open_, close in hours
    )


def oracle(zone: str, week: str, start: datetime, minutes: int) -> int:
    """Worked minutes, each looked at by itself."""
    first = start.astimezone(ZoneInfo(zone)).replace(tzinfo=None, hour=0, minute=0)
    spans = [span for offset in range(-1, 4) for span in worked(zone, week, first + timedelta(days=offset))]
    return sum(any(a <= start + MINUTE * n < b for a, b in spans) for n in range(minutes))


# Around the changes of the clock in each zone, and a plain week.
DAYS = [
    (2026, 3, 7),
    (2026, 3, 28),
    (2026, 4, 4),
    (2026, 10, 3),
    (2026, 10, 24),
    (2026, 10, 31),
    (2026, 3, 13),
]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(sorted(WEEKS)),
    st.sampled_from(DAYS),
    st.integers(0, 2 * 1440),
    st.integers(0, 1440),
)
def test_elapsed_agrees_with_the_clock_on_the_wall(zone, week, day, offset, minutes):
    start = datetime(*day, tzinfo=UTC) + MINUTE * offset
    cal = calendar(zone, week)
    assert cal.elapsed(start, start + MINUTE * minutes) == 60 * oracle(zone, week, start, minutes)
