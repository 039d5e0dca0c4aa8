"""From counted rows to points: periods of a time zone, values, percentiles, empty periods."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ddsketch.mapping import LogarithmicMapping
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Counted, Point, Question, TooManyPoints, answer
from services.analytics.domain.periods import WEEKDAYS, Grain, TooManyPeriods, starts, week_of
from services.analytics.domain.recompute import Recount
from services.analytics.domain.rows import Measure, Row, seconds_since_epoch
from services.analytics.domain.spans import middle, span
from services.analytics.settings import first_weekday
from services.analytics.store.figures import Plan, planned
from shared.errors import SetupError
from shared.policy import load_policy
from shared.settings import DEMO_POLICY

SKETCH = LogarithmicMapping(0.01)
NEW_YORK = ZoneInfo("America/New_York")
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
DAY = seconds_since_epoch(BEGIN) // 86_400


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def hours_between(begin: str, end: str, grain: Grain, zone: str) -> list[float]:
    moments = [*starts(at(begin), at(end), grain, ZoneInfo(zone), 1000), at(end)]
    return [(b - a) / timedelta(hours=1) for a, b in pairwise(moments)]


def question(name: str, *, days: int = 1, grain: Grain = "all", **given: Any) -> Question:
    zone, end = ZoneInfo("UTC"), BEGIN + timedelta(days=days)
    return Question(KPIS[name], BEGIN, end, grain, zone, starts(BEGIN, end, grain, zone, 1000), **given)


def row(counters: dict[str, int], key: str = "", hour: int = 0) -> Row:
    """A row of one tally, whose counters are written as in the catalogue; `key` is its channel."""
    tally = {name.partition(".")[0] for name in counters}.pop()
    at = BEGIN + timedelta(hours=hour)
    amounts = {name.partition(".")[2]: n for name, n in counters.items()}
    return Row(1, Measure(PARTS.get(tally, tally), at, amounts), {"channel": key})


PARTS = {"judged": "judged_update"}


def recounted(asked: Question, *rows: Row) -> Counted:
    recount = Recount(asked)
    recount.add(rows)
    return recount.counted()


def total(asked: Question, *rows: Row) -> Point:
    return answer(asked, recounted(asked, *rows), SKETCH.value, BEGIN, 1000)[0]


def spans(*seconds: int) -> list[Row]:
    return [
        Row(1, Measure("answered", BEGIN, {"n": 1}, {"business": span(one, SKETCH.key)}), {})
        for one in seconds
    ]


def test_days_have_23_and_25_hours_where_the_clock_changes() -> None:
    spring = hours_between("2026-03-07T00:00-05:00", "2026-03-10T00:00-04:00", "day", "America/New_York")
    autumn = hours_between("2026-10-31T00:00-04:00", "2026-11-03T00:00-05:00", "day", "America/New_York")
    assert (spring, autumn) == ([24, 23, 24], [24, 25, 24])


def test_a_repeated_hour_is_two_periods_and_a_skipped_one_none() -> None:
    spring = hours_between("2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", "hour", "America/New_York")
    autumn = hours_between("2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00", "hour", "America/New_York")
    assert (spring, autumn) == ([1.0] * 23, [1.0] * 25)


def test_a_day_whose_midnight_is_skipped_starts_at_the_change() -> None:
    # Beirut goes from 00:00 to 01:00 on 29 March 2026
    found = starts(
        at("2026-03-28T00:00+02:00"), at("2026-03-31T00:00+03:00"), "day", ZoneInfo("Asia/Beirut"), 9
    )
    assert found[1] == at("2026-03-29T01:00+03:00")


def test_weeks_start_on_monday_and_months_on_the_first() -> None:
    weeks = starts(
        at("2026-03-01T00:00+08:00"), at("2026-03-17T00:00+08:00"), "week", ZoneInfo("Asia/Shanghai"), 9
    )
    months = starts(
        at("2025-12-15T00:00+08:00"), at("2026-02-02T00:00+08:00"), "month", ZoneInfo("Asia/Shanghai"), 9
    )
    assert weeks[1:] == [at(f"2026-03-{day}T00:00+08:00") for day in ("02", "09", "16")]
    assert months[1:] == [at("2026-01-01T00:00+08:00"), at("2026-02-01T00:00+08:00")]


@pytest.mark.parametrize("first", range(7))
@pytest.mark.parametrize(
    ("zone", "begin", "hours"),
    [
        ("UTC", "2026-03-02T00:00+00:00", 168),
        ("Asia/Kolkata", "2026-03-02T00:00+05:30", 168),
        ("Australia/Lord_Howe", "2026-04-01T00:00+11:00", 168.5),  # the clock goes back by half an hour
        ("America/New_York", "2026-03-04T00:00-05:00", 167),
        ("America/New_York", "2026-10-28T00:00-04:00", 169),
    ],
)
def test_weeks_start_at_midnight_of_the_policys_day_also_where_a_day_has_23_or_25_hours(
    first: int, zone: str, begin: str, hours: float
) -> None:
    where, start = ZoneInfo(zone), at(begin)
    found = starts(start, start + timedelta(days=29), "week", where, 99, first)
    for moment in found[1:]:
        local = moment.astimezone(where)
        assert (local.weekday(), local.hour, local.minute) == (first, 0, 0)
    lengths = [(b - a) / timedelta(hours=1) for a, b in pairwise(found[1:])]
    first_whole = week_of(start.astimezone(where).date(), first) == start.astimezone(where).date()
    if first_whole:
        lengths.insert(0, (found[1] - start) / timedelta(hours=1))
    assert len(lengths) >= 3 and set(lengths) <= {168, hours}
    assert found[1] - start <= timedelta(days=7, hours=1)


def test_the_week_of_a_day_is_the_last_seven_days_that_began_on_the_first_weekday() -> None:
    for day in (date(2026, 3, 1) + timedelta(days=n) for n in range(20)):
        for first in range(7):
            start = week_of(day, first)
            assert start.weekday() == first and timedelta() <= day - start < timedelta(days=7)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.yaml": "organisation: {name: x, week_starts: sun}"}, 6),
        ({"a.yaml": "departments: {}", "b.yml": "organisation:\n  week_starts: thu\n"}, 3),
        ({"a.yaml": "organisation: {name: x}"}, 0),
        ({"a.yaml": ""}, 0),
        ({}, 0),
    ],
)
def test_the_policy_says_on_which_day_weeks_start(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert first_weekday(tmp_path) == expected


@pytest.mark.parametrize(
    "text",
    ["organisation: {week_starts: someday}", "a: [", "organisation: {week_starts: [mon]}", "\x00"],
)
def test_a_policy_that_says_no_weekday_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SetupError):
        first_weekday(tmp_path)


def test_the_demos_policy_is_read_as_it_is_loaded() -> None:
    assert first_weekday(DEMO_POLICY) == WEEKDAYS.index(load_policy(DEMO_POLICY).organisation.week_starts)


def test_the_first_period_is_cut_off_at_from() -> None:
    assert hours_between("2026-03-02T18:00+00:00", "2026-03-04T00:00+00:00", "day", "UTC") == [6, 24]


def test_hours_of_a_half_hour_zone_start_at_its_own_full_hours() -> None:
    found = starts(
        at("2026-03-02T00:00+05:30"), at("2026-03-02T03:00+05:30"), "hour", ZoneInfo("Asia/Kolkata"), 9
    )
    assert [moment.minute for moment in found] == [30, 30, 30]


def test_a_list_of_periods_that_is_too_long_is_refused_before_it_is_made() -> None:
    with pytest.raises(TooManyPeriods):
        starts(at("1900-01-02T00:00+00:00"), at("2200-01-01T00:00+00:00"), "hour", ZoneInfo("UTC"), 10_000)
    with pytest.raises(TooManyPeriods):
        starts(BEGIN, BEGIN + timedelta(hours=25), "hour", ZoneInfo("UTC"), 24)


@pytest.mark.parametrize(
    ("grain", "zone", "begin", "plan"),
    [
        ("all", "Asia/Kolkata", BEGIN, ([(DAY, DAY + 2)], [], [])),
        ("day", "UTC", BEGIN, ([(DAY, DAY + 2)], [], [])),
        ("day", "America/New_York", BEGIN, ([], [(DAY, DAY + 2)], [])),
        ("day", "Asia/Kolkata", BEGIN, ([], [(DAY, DAY + 2)], [])),
        ("day", "Asia/Kathmandu", BEGIN, ([], [], [(DAY, DAY + 2)])),
        ("all", "UTC", BEGIN + timedelta(minutes=30), ([(DAY + 1, DAY + 2)], [(DAY, DAY)], [])),
        ("all", "UTC", BEGIN + timedelta(seconds=1), ([(DAY + 1, DAY + 2)], [], [(DAY, DAY)])),
    ],
)
def test_a_day_is_read_as_coarsely_as_its_borders_allow(
    grain: Grain, zone: str, begin: datetime, plan: tuple[Any, Any, Any]
) -> None:
    end, where = datetime(2026, 3, 5, tzinfo=UTC), ZoneInfo(zone)
    asked = Question(KPIS["nps"], begin, end, grain, where, starts(begin, end, grain, where, 99))
    assert planned(asked) == Plan([], *plan)


MONDAY = DAY  # 2026-03-02 is one


def plan_of(grain: Grain, zone: str, begin: str, end: str, kpi: str = "nps") -> Plan:
    """Of all from `begin` to `end`, days of 2026."""
    span, where = (at(f"2026-{begin}T00:00+00:00"), at(f"2026-{end}T00:00+00:00")), ZoneInfo(zone)
    return planned(Question(KPIS[kpi], *span, grain, where, starts(*span, grain, where, 400)))


def test_weeks_are_read_instead_of_their_days_where_there_are_some_in_a_row() -> None:
    assert MONDAY % 7 == 4  # 1970-01-01 was a Thursday
    assert plan_of("all", "UTC", "03-02", "03-23") == Plan([(MONDAY, MONDAY + 14)], [], [], [])
    assert plan_of("all", "UTC", "03-03", "03-23") == Plan([], [(MONDAY + 1, MONDAY + 20)], [], [])
    assert plan_of("all", "UTC", "02-26", "03-25") == Plan(
        [(MONDAY, MONDAY + 14)], [(MONDAY - 4, MONDAY - 1), (MONDAY + 21, MONDAY + 22)], [], []
    )
    assert plan_of("day", "UTC", "03-02", "04-27").weeks == []
    assert plan_of("week", "UTC", "03-04", "04-28") == Plan(
        [(MONDAY + 7, MONDAY + 49)], [(MONDAY + 2, MONDAY + 6), (MONDAY + 56, MONDAY + 56)], [], []
    )


def test_no_week_is_read_in_which_a_period_begins() -> None:
    assert plan_of("month", "UTC", "03-02", "05-04") == Plan(
        [(MONDAY, MONDAY + 21), (MONDAY + 35, MONDAY + 49)],
        [(MONDAY + 28, MONDAY + 34), (MONDAY + 56, MONDAY + 62)], [], []
    )  # fmt: skip
    shanghai = plan_of("month", "Asia/Shanghai", "03-02", "05-04")
    assert shanghai.slots == [(MONDAY + 29, MONDAY + 29), (MONDAY + 59, MONDAY + 59)]
    assert shanghai.weeks == [(MONDAY, MONDAY + 21), (MONDAY + 35, MONDAY + 49)]


def test_a_stock_is_read_by_all_weeks_that_there_ever_were() -> None:
    plan = plan_of("all", "UTC", "03-04", "03-05", kpi="churn_rate")
    ((first, last),) = plan.weeks
    assert first < -700_000 and last == MONDAY - 7 and plan.days[-1] == (MONDAY, MONDAY + 2)


@given(st.integers(-60, 60), st.integers(1, 90), st.sampled_from(["all", "day", "week", "month"]),
       st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]))  # fmt: skip
def test_each_day_is_read_once_however_it_is_cut(start: int, length: int, grain: Grain, zone: str) -> None:
    begin = BEGIN + timedelta(days=start)
    end, where = begin + timedelta(days=length), ZoneInfo(zone)
    plan = planned(Question(KPIS["nps"], begin, end, grain, where, starts(begin, end, grain, where, 400)))
    weeks = [
        monday + n for first, last in plan.weeks for monday in range(first, last + 1, 7) for n in range(7)
    ]
    parts = [day for rows in (plan.days, plan.slots, plan.lines) for first, last in rows
             for day in range(first, last + 1)]  # fmt: skip
    assert sorted(weeks + parts) == list(range(DAY + start, DAY + start + length))


def test_one_dimension_and_the_listed_pairs_are_kept_ready_and_the_target_beside_them() -> None:
    one = question("sla_attainment", by=("department", "target"), where={"department": ("a",)})
    assert one.is_kept_ready
    assert question("nps", by=("kind",), where={"channel": ("web",)}).is_kept_ready
    assert not question("nps", by=("channel",), where={"tier": ("gold",)}).is_kept_ready
    assert question("sla_attainment", where={"target": ("update",)}).parts == ("update",)


def test_scales_of_effort_are_never_mixed() -> None:
    assert question("ces").parts == ("1-7",)
    assert question("ces", by=("scale",)).parts == ("1-7", "1-5", "1-10", "0-10")


def test_a_rate_of_a_stock_divides_by_what_was_there_at_the_start_of_each_period() -> None:
    joined, lost = {"customers.joined": [[10, 2, 0]]}, {"customers.lost": [[1, 3, 2]]}
    asked = question("churn_rate", days=2, grain="day")
    whole, series = answer(asked, Counted([()], joined | lost), float, BEGIN, 99)
    assert [(p.numerator, p.n) for p in series[0].points] == [(3, 9), (2, 8)]
    assert (whole.numerator, whole.n) == (5, 9)
    sums = {"customers.joined": [[10, 2]], "customers.lost": [[1, 3]]}
    kept, _ = answer(question("retention_rate"), Counted([()], sums), float, BEGIN, 99)
    assert (kept.numerator, kept.n) == (6, 9)


WINDOWS = {
    "first_contact_resolution": 7, "reopen_rate": 30, "response_rate": 30, "complaint_rate": 30,
    "return_rate": 30, "repair_rate": 30, "repurchase_rate": 90,
}  # fmt: skip


@pytest.mark.parametrize("name", KPIS)
def test_a_figure_is_provisional_until_its_days_have_passed(name: str) -> None:
    kpi, days = KPIS[name], WINDOWS.get(name, 0)
    assert kpi.window == timedelta(days=days) and kpi.document().get("provisional_days", 0) == days
    if not days:
        assert "Provisional" not in kpi.definition["en"] and "暂定" not in kpi.definition["zh"]
        assert not total(question(name)).provisional
        return
    assert f"rovisional until {days} days" in kpi.definition["en"]
    assert f"满 {days} 天前为暂定值" in kpi.definition["zh"]
    asked = question(name, days=3, grain="day")
    for passed, still in ((0, 3), (days + 1, 2), (days + 2, 1), (days + 3, 0)):
        now = BEGIN + timedelta(days=passed)
        whole, series = answer(asked, Counted([], {}), float, now, 99)
        assert [point.provisional for point in series[0].points] == [False] * (3 - still) + [True] * still
        assert whole.provisional is bool(still), "a total is done when its last day is"
    almost = BEGIN + timedelta(days=days + 3) - timedelta(seconds=1)
    assert answer(asked, Counted([], {}), float, almost, 99)[0].provisional


def test_nps_is_promoters_less_detractors_in_points() -> None:
    found = total(
        question("nps"),
        row({"feedback.nps": 4, "feedback.promoters": 3}),
        row({"feedback.nps": 1, "feedback.detractors": 1}),
    )
    assert (found.value, found.n, found.numerator, found.denominator) == (40.0, 5, 2, 5)


def test_a_ratio_is_met_over_judged_and_a_count_has_no_denominator() -> None:
    assert total(question("sla_attainment"), row({"judged.met": 3, "judged.breached": 1})).value == 0.75
    found = total(question("feedback_volume"), row({"feedback.n": 2}), row({"feedback.n": 3}, hour=5))
    assert (found.value, found.n, found.numerator, found.denominator) == (5, 5, 5, None)


@pytest.mark.parametrize("name", KPIS)
def test_every_figure_is_null_at_n_0(name: str) -> None:
    found = total(question(name))
    assert (found.value, found.n) == (None, 0)


def test_percentiles_are_the_nearest_rank_to_1_percent() -> None:
    values = [0, 1, 2, 30, 600, 3600, 7200, 86_400, 864_000, 5_000_000]
    for statistic, exact in (("p50", 600), ("p90", 864_000), ("p99", 5_000_000)):
        found = total(question("first_response_time", statistic=statistic), *spans(*values))
        assert found.value == pytest.approx(exact, rel=0.01)
        assert (found.n, found.numerator, found.denominator) == (10, None, None)
    assert total(question("first_response_time"), *spans(0, 0, 5)).value == 0


@given(st.integers(1, 2**40))
def test_whole_seconds_come_back_within_1_percent_and_few_seconds_exactly(seconds: int) -> None:
    value = middle(SKETCH.key, SKETCH.value)(SKETCH.key(seconds))
    assert abs(value - seconds) <= 0.01 * seconds
    assert value == seconds or seconds > 50


def test_a_percentile_of_58_seconds_is_not_rounded_out_of_its_1_percent() -> None:
    value = answer(
        question("first_response_time"), recounted(question("first_response_time"), *spans(58)),
        middle(SKETCH.key, SKETCH.value), BEGIN, 1000,
    )[0].value  # fmt: skip
    assert value == pytest.approx(58, rel=0.01)


def test_the_mean_is_exact() -> None:
    found = total(question("first_response_time", statistic="mean"), *spans(1, 2, 4))
    assert (found.value, found.numerator, found.denominator) == (7 / 3, 7, 3)


def test_empty_periods_stand_in_the_series_and_values_without_counts_do_not() -> None:
    asked = question("feedback_volume", days=3, grain="day", by=("channel",))
    rows = [row({"feedback.n": 1}, "web"), row({"feedback.n": 4}, "phone", 49), row({"feedback.n": 0}, "app")]
    _, series = answer(asked, recounted(asked, *rows), SKETCH.value, BEGIN, 1000)
    assert [one.key for one in series] == [{"channel": "phone"}, {"channel": "web"}]
    assert [point.n for point in series[0].points] == [0, 0, 4]
    assert [point.value for point in series[1].points] == [1, None, None]


def test_a_figure_without_dimensions_has_one_series_even_when_nothing_was_counted() -> None:
    _, series = answer(question("csat", days=2, grain="day"), Counted([], {}), SKETCH.value, BEGIN, 1000)
    assert [(one.key, len(one.points)) for one in series] == [({}, 2)]


def test_values_times_periods_are_bounded() -> None:
    asked = question("feedback_volume", days=3, grain="day", by=("channel",))
    with pytest.raises(TooManyPoints):
        answer(
            asked,
            recounted(asked, *(row({"feedback.n": 1}, str(n)) for n in range(4))),
            SKETCH.value,
            BEGIN,
            11,
        )
