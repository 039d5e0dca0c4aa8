"""docs/domain.md 3.1 to 3.4, by name. Calendars are Mon-Fri 09:00-18:00 Asia/Shanghai unless said."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.calendar import Calendar, CalendarError, NoWorkingTime

SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
OFFICE = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-18:00"]})
SPLIT = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-12:00", "13:00-18:00"]})
ALWAYS = Calendar("America/New_York", {"mon-sun": ["00:00-24:00"]})
MINUTE, HOUR = 60, 3600


def at(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    """2026-03-02 is a Monday."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("start", "seconds", "due"),
    [
        pytest.param("03-06 17:50", HOUR, "03-09 09:50", id="an hour from Friday 17:50 is Monday 09:50"),
        pytest.param("03-06 17:00", HOUR, "03-06 18:00", id="the end of the period, not Monday 09:00"),
        pytest.param("03-06 18:00", MINUTE, "03-09 09:01", id="a minute from Friday 18:00 is Monday 09:01"),
        pytest.param("03-06 18:00", 0, "03-09 09:00", id="a zero target is due at the next working moment"),
        pytest.param("03-06 10:00", 0, "03-06 10:00", id="a zero target in working time is due at once"),
        pytest.param("03-07 12:00", 0, "03-09 09:00", id="a zero target on a weekend is due on Monday"),
    ],
)
def test_business_time_of_one_period_a_day(start, seconds, due):
    assert OFFICE.due(at(start), seconds) == at(due)


@pytest.mark.parametrize(
    ("start", "minutes", "due"), [("03-02 11:30", 60, "03-02 13:30"), ("03-02 12:30", 30, "03-02 13:30")]
)
def test_a_split_shift_leaves_out_noon(start, minutes, due):
    assert SPLIT.due(at(start), minutes * MINUTE) == at(due)


def test_breaks_are_taken_out_of_the_week():
    calendar = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-18:00"]}, breaks={"mon-sun": ["12:00-13:00"]})
    assert calendar.due(at("03-02 11:30"), HOUR) == at("03-02 13:30")
    assert calendar.day_seconds == 8 * HOUR


def test_a_holiday_is_skipped():
    calendar = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-18:00"]}, ["2026-03-06"])
    assert calendar.due(at("03-05 17:30"), HOUR) == at("03-09 09:30")


def test_a_make_up_saturday_given_as_an_override_works():
    calendar = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-18:00"]}, (), {"2026-03-07": ["09:00-18:00"]})
    assert calendar.due(at("03-06 17:30"), HOUR) == at("03-07 09:30")


def test_an_override_beats_a_holiday_and_can_close_a_day():
    weekly = {"mon-fri": ["09:00-18:00"]}
    overrides = {"2026-03-03": ["10:00-11:00"], "2026-03-04": []}
    calendar = Calendar("Asia/Shanghai", weekly, ["2026-03-03"], overrides)
    assert calendar.elapsed(at("03-03 00:00"), at("03-05 00:00")) == HOUR


def test_round_the_clock_loses_no_minute_at_midnight():
    calendar = Calendar("UTC", {"mon-sun": ["00:00-24:00"]})
    start = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert calendar.due(start, 2 * MINUTE) == datetime(2027, 1, 1, 0, 1, tzinfo=UTC)
    assert (
        calendar.elapsed(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)) == 366 * 86_400
    )


def test_round_the_clock_counts_real_hours_over_both_clock_changes():
    spring = ALWAYS.due(at("03-07 22:00", NEW_YORK), 6 * HOUR).astimezone(NEW_YORK)
    assert spring.isoformat() == "2026-03-08T05:00:00-04:00"
    autumn = ALWAYS.due(at("10-31 22:00", NEW_YORK), 4 * HOUR).astimezone(NEW_YORK)
    assert autumn.isoformat() == "2026-11-01T01:00:00-05:00"


def test_an_opening_that_does_not_exist_moves_forward_by_the_gap():
    calendar = Calendar("America/New_York", {"sun": ["02:30-12:00"]})
    opening = calendar.next_working(at("03-08 00:00", NEW_YORK)).astimezone(NEW_YORK)
    assert opening.isoformat() == "2026-03-08T03:30:00-04:00"


def test_an_ambiguous_opening_is_the_first():
    calendar = Calendar("America/New_York", {"sun": ["01:30-12:00"]})
    opening = calendar.next_working(at("11-01 00:00", NEW_YORK)).astimezone(NEW_YORK)
    assert opening.isoformat() == "2026-11-01T01:30:00-04:00"
    assert calendar.elapsed(opening, at("11-02 00:00", NEW_YORK)) == 11 * HOUR + 30 * MINUTE


def test_overlapping_intervals_and_holidays_count_once():
    weekly = {"mon-fri": ["09:00-12:00", "11:00-13:00"], "mon": ["12:30-14:00"]}
    calendar = Calendar("Asia/Shanghai", weekly, ["2026-05-01", "2026-05-01", "CN"])
    assert calendar.elapsed(at("03-02 00:00"), at("03-04 00:00")) == 9 * HOUR
    assert calendar.elapsed(at("05-01 00:00"), at("05-02 00:00")) == 0


@pytest.mark.parametrize("weekly", [{}, {"mon-fri": []}])
def test_no_working_time_in_366_days_is_refused(weekly):
    calendar = Calendar("Asia/Shanghai", weekly, (), {"2026-01-05": ["09:00-10:00"]})
    assert calendar.due(at("01-01 00:00"), HOUR) == at("01-05 10:00")
    with pytest.raises(NoWorkingTime):
        calendar.due(at("01-01 00:00"), 2 * HOUR)
    with pytest.raises(NoWorkingTime):
        calendar.next_working(at("02-01 00:00"))


def test_working_time_366_days_away_is_still_found():
    calendar = Calendar("UTC", {}, (), {"2028-01-01": ["00:00-01:00"]})
    start = datetime(2026, 12, 31, tzinfo=UTC)
    assert calendar.due(start, HOUR) == datetime(2028, 1, 1, 1, tzinfo=UTC)
    with pytest.raises(NoWorkingTime):
        calendar.due(datetime(2026, 12, 30, tzinfo=UTC), HOUR)


def test_chinas_make_up_days_work_with_the_hours_of_the_day_they_stand_for():
    calendar = Calendar("Asia/Shanghai", {"mon-thu": ["09:00-18:00"], "fri": ["09:00-15:00"]}, ["CN"])
    assert calendar.hours_on(date(2026, 2, 14)) == ((9 * HOUR, 15 * HOUR),)  # for Friday, 20 February
    assert calendar.hours_on(date(2026, 2, 20)) == ()
    assert calendar.hours_on(date(2026, 2, 28)) == ((9 * HOUR, 18 * HOUR),)  # for Monday, 23 February
    assert calendar.hours_on(date(2026, 2, 17)) == ()


def test_every_make_up_day_and_holiday_of_chinas_decree_for_2026():
    """The State Council's: days off by first and last day, and the weekend days that pay for them."""
    calendar = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-18:00"]}, ["CN"])
    off = [("01-01", "01-03"), ("02-15", "02-23"), ("04-04", "04-06"), ("05-01", "05-05"),
           ("06-19", "06-21"), ("09-25", "09-27"), ("10-01", "10-07")]  # fmt: skip
    made_up = {"01-04", "02-14", "02-28", "05-09", "09-20", "10-10"}
    for number in range(365):
        day = date(2026, 1, 1) + timedelta(days=number)
        text = f"{day:%m-%d}"
        is_off = any(first <= text <= last for first, last in off)
        works = text in made_up or (day.weekday() < 5 and not is_off)
        assert bool(calendar.hours_on(day)) == works, day


def test_what_decided_a_day_is_told():
    calendar = Calendar(
        "Asia/Shanghai", {"mon-fri": ["09:00-18:00"]}, ["CN", "2026-03-03"], {"2026-02-17": ["10:00-12:00"]}
    )
    days = [date(2026, 2, 14), date(2026, 2, 16), date(2026, 2, 17), date(2026, 3, 3), date(2026, 3, 4)]
    assert [calendar.rule_on(day)[0] for day in days] == [
        "make-up", "public holiday", "override", "holiday", "weekly",
    ]  # fmt: skip


def test_a_leap_day_is_a_day_like_any_other_and_only_where_there_is_one():
    weekly = {"mon-fri": ["09:00-18:00"]}
    calendar = Calendar("UTC", weekly, ["2028-02-29"])
    assert calendar.due(datetime(2028, 2, 28, 17, tzinfo=UTC), 2 * HOUR) == datetime(
        2028, 3, 1, 10, tzinfo=UTC
    )
    with pytest.raises(CalendarError, match="a date is written"):
        Calendar("UTC", weekly, ["2027-02-29"])
    with pytest.raises(CalendarError, match="a date is written"):
        Calendar("UTC", weekly, (), {"2027-02-29": []})


@pytest.mark.parametrize("year", [1990, 2000, 2038, 2100])
def test_the_years_1990_to_2100_are_all_there(year):
    start = datetime(year, 1, 1, tzinfo=UTC)
    calendar = Calendar("Europe/Berlin", {"mon-sun": ["09:00-10:00"]})
    assert calendar.elapsed(start, start.replace(year=year + 1)) == (366 if year in (2000,) else 365) * HOUR


def test_more_than_366_idle_days_are_refused_wherever_they_lie():
    calendar = Calendar("UTC", {}, (), {"2026-01-05": ["09:00-10:00"], "2028-01-05": ["09:00-10:00"]})
    before, between = datetime(2026, 1, 5, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC)
    assert calendar.due(between, HOUR) == datetime(2028, 1, 5, 10, tzinfo=UTC)
    with pytest.raises(NoWorkingTime):
        calendar.due(before, 2 * HOUR)
    assert calendar.due(before, HOUR) == datetime(2026, 1, 5, 10, tzinfo=UTC)


def test_an_override_beats_a_make_up_day():
    calendar = Calendar("Asia/Shanghai", {"mon-fri": ["09:00-18:00"]}, ["CN"], {"2026-02-14": []})
    assert calendar.hours_on(date(2026, 2, 14)) == ()


def test_other_countries_have_their_own_holidays():
    calendar = Calendar("America/New_York", {"mon-fri": ["09:00-17:00"]}, ["US"])
    assert calendar.due(at("12-24 16:00", NEW_YORK), 2 * HOUR) == at("12-28 10:00", NEW_YORK)


def test_microseconds_are_kept_and_elapsed_rounds_down():
    start = at("03-02 10:00:00.400000")
    assert OFFICE.due(start, 1) == at("03-02 10:00:01.400000")
    assert OFFICE.elapsed(start, at("03-02 10:00:02.300000")) == 1
    assert OFFICE.elapsed_microseconds(start, at("03-02 10:00:02.300000")) == 1_900_000


def test_an_end_before_the_start_is_no_work():
    assert OFFICE.elapsed(at("03-03 10:00"), at("03-02 10:00")) == 0


def test_openings_belong_to_working_time_and_closings_do_not():
    assert OFFICE.is_working(at("03-02 09:00"))
    assert not OFFICE.is_working(at("03-02 18:00"))
    assert not OFFICE.is_working(at("03-07 12:00"))


def test_a_business_day_is_the_most_common_daily_total_unless_said():
    weekly = {"mon-thu": ["08:00-17:00"], "fri": ["08:00-14:00"]}
    assert Calendar("UTC", weekly).day_seconds == 9 * HOUR
    assert Calendar("UTC", weekly, day=7 * HOUR).day_seconds == 7 * HOUR


def test_a_range_of_days_may_wrap_around_the_week():
    calendar = Calendar("UTC", {"sat-mon": ["10:00-11:00"]})
    assert (
        calendar.elapsed(at("03-02 00:00", ZoneInfo("UTC")), at("03-09 00:00", ZoneInfo("UTC"))) == 3 * HOUR
    )


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"time_zone": "Mars/Olympus", "weekly": {}}, "time_zone"),
        ({"time_zone": "../etc/passwd", "weekly": {}}, "time_zone"),
        ({"time_zone": "UTC", "weekly": {"monday": ["09:00-10:00"]}}, "weekly.monday"),
        ({"time_zone": "UTC", "weekly": {"mon-": ["09:00-10:00"]}}, "weekly.mon-"),
        ({"time_zone": "UTC", "weekly": {"mon": ["9-10"]}}, "weekly.mon[0]"),
        ({"time_zone": "UTC", "weekly": {"mon": ["09:00-24:01"]}}, "weekly.mon[0]"),
        ({"time_zone": "UTC", "weekly": {"mon": ["22:00-06:00"]}}, "weekly.mon[0]"),
        ({"time_zone": "UTC", "weekly": {"mon": "09:00-10:00"}}, "weekly.mon"),
        ({"time_zone": "UTC", "weekly": {}, "holidays": ["ZZ"]}, "holidays[0]"),
        ({"time_zone": "UTC", "weekly": {}, "holidays": ["2026-02-30"]}, "holidays[0]"),
        ({"time_zone": "UTC", "weekly": {}, "overrides": {"2026-2-3": []}}, "overrides.2026-2-3"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_path(arguments, path):
    with pytest.raises(CalendarError) as caught:
        Calendar(**arguments)
    assert caught.value.path == path


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        OFFICE.due(datetime(2026, 3, 2, 10), 60)  # noqa: DTZ001


def test_a_negative_duration_is_refused():
    with pytest.raises(ValueError, match="not negative"):
        OFFICE.due(at("03-02 10:00"), -1)


def test_times_before_1970_are_refused():
    with pytest.raises(CalendarError):
        OFFICE.elapsed(datetime(1900, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


TOO_MANY = [
    f"{minute // 60:02d}:{minute % 60:02d}-{minute // 60:02d}:{minute % 60 + 1:02d}"
    for minute in range(0, 75, 3)
]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("weekly.mon", {"weekly": {"mon": TOO_MANY}}),
        ("weekly.mon", {"weekly": {"mon": TOO_MANY[:13], "mon-fri": TOO_MANY[13:]}}),
        ("breaks.sat-sun", {"weekly": {"mon": []}, "breaks": {"sat-sun": TOO_MANY}}),
        ("overrides.2026-02-14", {"weekly": {"mon": []}, "overrides": {"2026-02-14": TOO_MANY}}),
    ],
)
def test_a_day_has_at_most_24_intervals(path, given):
    """720 of them and a due in 40 years held a replica for half a minute, and 1.7 GB."""
    with pytest.raises(CalendarError) as caught:
        Calendar("UTC", **given)
    assert (caught.value.path, caught.value.reason) == (path, "a day has at most 24 intervals")


def test_intervals_that_touch_are_one():
    hours = [
        f"{minute // 60:02d}:{minute % 60:02d}-{minute // 60:02d}:{minute % 60 + 1:02d}"
        for minute in range(59)
    ]
    assert Calendar("UTC", {"mon": hours}).hours_on(date(2026, 3, 2)) == ((0, 3540),)


def test_years_are_laid_out_onwards():
    """Backwards each year moved all that were there: 228 years took minutes."""
    calendar = Calendar("UTC", {"mon-sun": ["00:00-24:00"]})
    put_before: list[int] = []
    calendar._prepend = put_before.append
    begin, end = datetime(1971, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    assert calendar.elapsed(begin, end) == (end - begin).total_seconds()
    assert not put_before
