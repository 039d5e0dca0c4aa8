"""From counted rows to points: periods of a time zone, values, percentiles, empty periods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ddsketch.mapping import LogarithmicMapping

from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Point, Question, Row, TooManyPoints, answer
from services.analytics.domain.periods import Grain, TooManyPeriods, seconds_since_epoch, starts
from services.analytics.domain.targets import seconds_bin

SKETCH = LogarithmicMapping(0.01)
NEW_YORK = ZoneInfo("America/New_York")
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def hours_between(begin: str, end: str, grain: Grain, zone: str) -> list[float]:
    moments = [*starts(at(begin), at(end), grain, ZoneInfo(zone), 1000), at(end)]
    return [(b - a) / timedelta(hours=1) for a, b in pairwise(moments)]


def question(name: str, *, days: int = 1, grain: Grain = "all", **given: Any) -> Question:
    zone, end = ZoneInfo("UTC"), BEGIN + timedelta(days=days)
    return Question(KPIS[name], BEGIN, end, grain, zone, starts(BEGIN, end, grain, zone, 1000), **given)


def row(counters: dict[str, int], key: tuple[str, ...] = (), hour: int = 0) -> Row:
    return Row(seconds_since_epoch(BEGIN) + 3600 * hour, key, counters)


def total(asked: Question, *rows: Row) -> Point:
    return answer(asked, rows, SKETCH.value, 1000)[0]


def spans(*seconds: int) -> Row:
    counters: dict[str, int] = {"n": len(seconds), "business": sum(seconds)}
    for one in seconds:
        name = f"business:{seconds_bin(one, SKETCH.key)}"
        counters[name] = counters.get(name, 0) + 1
    return row(counters)


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
    ("grain", "zone", "begin", "in_rollups"),
    [
        ("day", "America/New_York", BEGIN, True),
        ("day", "Asia/Kolkata", BEGIN, False),
        ("all", "Asia/Kolkata", BEGIN, True),
        ("all", "UTC", BEGIN + timedelta(minutes=30), False),
        ("all", "UTC", BEGIN + timedelta(microseconds=1), False),
    ],
)
def test_rollups_answer_whole_utc_hours_only(
    grain: Grain, zone: str, begin: datetime, in_rollups: bool
) -> None:
    end, where = BEGIN + timedelta(days=3), ZoneInfo(zone)
    asked = Question(KPIS["nps"], begin, end, grain, where, starts(begin, end, grain, where, 99))
    assert asked.in_rollups is in_rollups


def test_rollups_know_one_dimension_and_the_target_beside_it() -> None:
    one = question("sla_attainment", by=("department", "target"), where={"department": ("a",)})
    assert one.in_rollups
    assert not question("nps", by=("channel",), where={"kind": ("survey",)}).in_rollups
    assert question("sla_attainment", where={"target": ("update",)}).parts == ("update",)


def test_nps_is_promoters_less_detractors_in_points() -> None:
    found = total(
        question("nps"), row({"answered": 4, "promoters": 3}), row({"answered": 1, "detractors": 1})
    )
    assert (found.value, found.n, found.numerator, found.denominator) == (40.0, 5, 2, 5)


def test_a_ratio_is_met_over_judged_and_a_count_has_no_denominator() -> None:
    assert total(question("sla_attainment"), row({"met": 3, "breached": 1})).value == 0.75
    found = total(question("feedback_volume"), row({"n": 2}), row({"n": 3}, hour=5))
    assert (found.value, found.n, found.numerator, found.denominator) == (5, 5, 5, None)


@pytest.mark.parametrize("name", KPIS)
def test_every_figure_is_null_at_n_0(name: str) -> None:
    found = total(question(name))
    assert (found.value, found.n) == (None, 0)


def test_percentiles_are_the_nearest_rank_to_1_percent() -> None:
    values = [0, 1, 2, 30, 600, 3600, 7200, 86_400, 864_000, 5_000_000]
    for statistic, exact in (("p50", 600), ("p90", 864_000), ("p99", 5_000_000)):
        found = total(question("first_response_time", statistic=statistic), spans(*values))
        assert found.value == pytest.approx(exact, rel=0.011)
        assert (found.n, found.numerator, found.denominator) == (10, None, None)
    assert total(question("first_response_time"), spans(0, 0, 5)).value == 0


def test_the_mean_is_exact() -> None:
    found = total(question("first_response_time", statistic="mean"), spans(1, 2, 4))
    assert (found.value, found.numerator, found.denominator) == (7 / 3, 7, 3)


def test_empty_periods_stand_in_the_series_and_values_without_counts_do_not() -> None:
    asked = question("feedback_volume", days=3, grain="day", by=("channel",))
    rows = [row({"n": 1}, ("web",)), row({"n": 4}, ("phone",), hour=49), row({"n": 0}, ("app",))]
    _, series = answer(asked, rows, SKETCH.value, 1000)
    assert [one.key for one in series] == [{"channel": "phone"}, {"channel": "web"}]
    assert [point.n for point in series[0].points] == [0, 0, 4]
    assert [point.value for point in series[1].points] == [1, None, None]


def test_a_figure_without_dimensions_has_one_series_even_when_nothing_was_counted() -> None:
    _, series = answer(question("csat", days=2, grain="day"), [], SKETCH.value, 1000)
    assert [(one.key, len(one.points)) for one in series] == [({}, 2)]


def test_values_times_periods_are_bounded() -> None:
    asked = question("feedback_volume", days=3, grain="day", by=("channel",))
    with pytest.raises(TooManyPoints):
        answer(asked, [row({"n": 1}, (str(n),)) for n in range(4)], SKETCH.value, 11)
