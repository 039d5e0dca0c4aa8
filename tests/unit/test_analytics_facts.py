"""What becomes of an event in analytics: its fact, and what that fact counts for."""

from __future__ import annotations

from datetime import timedelta
from math import ceil, log

import pytest
from msgspec import structs

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.cases import Known
from services.analytics.domain.feedback import FeedbackFact, answers
from services.analytics.domain.rollups import Deltas, RollupKey, hour_of, without_zeros
from shared.events import ActivityRecorded, EscalationRaised
from tests.support.analytics import NOON, an_id, breached, case_changed, finished, labels, rating
from tests.support.analytics import feedback as said

HOUR = hour_of(NOON)


def bin_of(seconds: float) -> int:
    return ceil(log(seconds, 1.02))


def counted(deltas: Deltas, kpi: str, dimension: str = "", hour: int = HOUR) -> dict[str, dict[str, int]]:
    """What the deltas say of one KPI and dimension in an hour, by value."""
    return {
        key.value: sums
        for key, sums in without_zeros(deltas).items()
        if (key.kpi, key.dimension, key.hour) == (kpi, dimension, hour)
    }


def stored(event: object) -> dict[object, FeedbackFact]:
    (fact,) = feedback.take([event], {}).new[feedback.COLLECTION]  # type: ignore[list-item]
    return {fact.id: fact}  # type: ignore[attr-defined]


def test_a_feedback_counts_in_its_hour_under_each_of_its_dimensions() -> None:
    outcome = feedback.take([said("f", region="Shanghai", category="logistics.late")], {})
    assert counted(outcome.deltas, "feedback_volume") == {"": {"n": 1}}
    assert counted(outcome.deltas, "feedback_volume", "region") == {"Shanghai": {"n": 1}}
    assert counted(outcome.deltas, "feedback_volume", "category") == {"logistics.late": {"n": 1}}
    assert counted(outcome.deltas, "feedback_volume", "department") == {"": {"n": 1}}


def test_a_feedback_seen_before_counts_nothing_within_a_batch_and_across() -> None:
    outcome = feedback.take([said("f"), said("f")], {})
    assert len(outcome.new[feedback.COLLECTION]) == 1
    assert counted(outcome.deltas, "feedback_volume") == {"": {"n": 1}}
    again = feedback.take([said("f")], stored(said("f")))
    assert not again.deltas and not again.new[feedback.COLLECTION] and not again.changed[feedback.COLLECTION]


def test_the_same_feedback_id_with_another_content_is_refused_and_the_first_one_stays() -> None:
    outcome = feedback.take([said("other"), said("f", fingerprint="new")], stored(said("f")))
    ((index, error),) = outcome.refused
    assert (index, error.reason) == (1, "conflict")
    assert [fact.id for fact in outcome.new[feedback.COLLECTION]] == [an_id("other")]
    assert not outcome.changed[feedback.COLLECTION]


def test_a_case_brings_its_department_and_category_to_feedback_that_came_before_it() -> None:
    known = stored(said("f"))
    event = case_changed("c", about=("f",), department="logistics", category="logistics.late")
    outcome = cases.take([event], Known({}, known))
    assert counted(outcome.deltas, "feedback_volume", "department") == {"": {"n": -1}, "logistics": {"n": 1}}
    assert counted(outcome.deltas, "feedback_volume", "category") == {
        "": {"n": -1},
        "logistics.late": {"n": 1},
    }
    assert counted(outcome.deltas, "feedback_volume", "channel") == {}


def test_feedback_that_comes_after_its_case_finds_the_department_waiting() -> None:
    outcome = cases.take([case_changed("c", about=("f",), department="logistics")], Known({}, {}))
    (waiting,) = outcome.new[feedback.COLLECTION]
    assert counted(outcome.deltas, "feedback_volume") == {}
    outcome = feedback.take([said("f")], {an_id("f"): waiting})  # type: ignore[dict-item]
    assert counted(outcome.deltas, "feedback_volume", "department") == {"logistics": {"n": 1}}
    assert len(outcome.changed[feedback.COLLECTION]) == 1


def test_the_category_that_the_customer_gave_is_not_replaced_by_the_cases_own() -> None:
    known = stored(said("f", category="billing"))
    outcome = cases.take([case_changed("c", about=("f",), category="logistics")], Known({}, known))
    assert counted(outcome.deltas, "feedback_volume", "category") == {}


def test_feedback_of_a_merged_case_belongs_to_the_case_that_survived() -> None:
    merged = case_changed("a", 2, about=("f",), status="merged", department="service")
    survivor = case_changed("b", 2, about=("f",), department="logistics")
    for order in ([merged, survivor], [survivor, merged]):
        outcome = cases.take(order, Known({}, stored(said("f"))))
        assert counted(outcome.deltas, "feedback_volume", "department") == {
            "": {"n": -1},
            "logistics": {"n": 1},
        }


def test_an_older_version_of_a_case_changes_nothing() -> None:
    (new,) = cases.take([case_changed("c", 3, priority="P1")], Known({}, {})).new[cases.COLLECTION]
    outcome = cases.take([case_changed("c", 2, priority="P4")], Known({an_id("c"): new}, {}))  # type: ignore[dict-item]
    assert not outcome.deltas and not outcome.changed[cases.COLLECTION]


def test_a_case_with_another_priority_takes_its_old_count_back() -> None:
    (old,) = cases.take([case_changed("c", 1, priority="P3")], Known({}, {})).new[cases.COLLECTION]
    outcome = cases.take([case_changed("c", 2, priority="P1")], Known({an_id("c"): old}, {}))  # type: ignore[dict-item]
    assert counted(outcome.deltas, "case_volume", "priority") == {"P3": {"n": -1}, "P1": {"n": 1}}
    assert counted(outcome.deltas, "case_volume") == {}


def test_a_resolved_case_leaves_the_backlog_and_stays_in_the_volume() -> None:
    (old,) = cases.take([case_changed("c", 1)], Known({}, {})).new[cases.COLLECTION]
    outcome = cases.take([case_changed("c", 2, status="resolved")], Known({an_id("c"): old}, {}))  # type: ignore[dict-item]
    assert counted(outcome.deltas, "backlog") == {"": {"n": -1}}
    assert counted(outcome.deltas, "case_volume") == {}


def test_a_new_version_that_says_nothing_new_about_its_feedback_does_not_touch_it() -> None:
    (old,) = cases.take([case_changed("c", 1, about=("f", "g"))], Known({}, {})).new[cases.COLLECTION]
    (new,) = cases.newest([case_changed("c", 2, about=("f", "g", "h"), owner="chen")], {}).values()
    assert cases.touched(old, new) == {an_id("h")}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "score", "low", "high", "counts"),
    [
        ("nps", 9, 0, 10, {"nps": {"answered": 1, "promoters": 1, "detractors": 0}}),
        ("nps", 8, 0, 10, {"nps": {"answered": 1, "promoters": 0, "detractors": 0}}),
        ("nps", 6, 0, 10, {"nps": {"answered": 1, "promoters": 0, "detractors": 1}}),
        ("nps", 5, 1, 5, {}),
        ("csat", 4, 1, 5, {"csat": {"answered": 1, "satisfied": 1}}),
        ("csat", 3, 1, 5, {"csat": {"answered": 1, "satisfied": 0}}),
        ("csat", 7, 1, 10, {"csat": {"answered": 1, "satisfied": 1}}),
        ("csat", 6, 1, 10, {"csat": {"answered": 1, "satisfied": 0}}),
        ("csat", 1, 0, 1, {"csat": {"answered": 1, "satisfied": 1}}),
        ("csat", 2, 1, 3, {"csat": {"answered": 1, "satisfied": 0}}),
        ("ces", 5, 1, 7, {}),
    ],
)
def test_an_answer_counts_by_its_metric_and_scale(
    metric: str, score: int, low: int, high: int, counts: dict[str, dict[str, int]]
) -> None:
    assert answers(rating(metric, score, low, high)) == counts


def test_a_score_off_its_scale_is_no_answer() -> None:
    outcome = feedback.take([said("f", rating=rating("nps", 11, 0, 10))], {})
    assert counted(outcome.deltas, "nps") == {}
    assert counted(outcome.deltas, "feedback_volume") == {"": {"n": 1}}


def test_a_breach_counts_when_it_was_due_and_its_end_adds_only_the_time_taken() -> None:
    later = NOON + timedelta(hours=5)
    outcome = targets.take([breached("c")], {}, bin_of)
    assert counted(outcome.deltas, "sla_attainment") == {"": {"breached": 1}}
    (fact,) = outcome.new[targets.COLLECTION]
    end = finished("c", late=timedelta(hours=5))
    outcome = targets.take([end], {fact.id: fact}, bin_of)  # type: ignore[attr-defined,dict-item]
    assert counted(outcome.deltas, "sla_attainment") == {}
    assert counted(outcome.deltas, "first_response_time", hour=hour_of(later))[""]["business"] == 600


def test_a_finished_verdict_wins_over_a_breach_in_either_order() -> None:
    for order in ([breached("c"), finished("c")], [finished("c"), breached("c")]):
        outcome = targets.take(order, {}, bin_of)
        assert counted(outcome.deltas, "sla_attainment", hour=HOUR - 1) == {"": {"met": 1}}
        assert counted(outcome.deltas, "sla_attainment") == {}


def test_another_epoch_of_the_same_target_is_another_promise() -> None:
    events = [finished("c", target="update", epoch=1), finished("c", target="update", epoch=2)]
    outcome = targets.take(events, {}, bin_of)
    assert counted(outcome.deltas, "sla_attainment", hour=HOUR - 1) == {"": {"met": 2}}
    assert counted(outcome.deltas, "first_response_time", hour=HOUR - 1) == {}


def test_spans_are_counted_in_whole_seconds_and_bins_and_zero_has_a_bin_of_its_own() -> None:
    outcome = targets.take([finished("c", business=0, wall=1200)], {}, bin_of)
    assert counted(outcome.deltas, "first_response_time", hour=HOUR - 1)[""] == {
        "n": 1,
        "business:-1": 1,
        "wall": 1200,
        f"wall:{bin_of(1200)}": 1,
    }


def test_a_negative_span_is_refused_by_its_name() -> None:
    outcome = targets.take([finished("c", business=-1)], {}, bin_of)
    ((index, error),) = outcome.refused
    assert (index, error.reason) == (0, "out_of_range") and "business_seconds" in error.detail
    assert not outcome.deltas


def test_escalations_are_no_facts() -> None:
    at = NOON
    raised = EscalationRaised(
        id=an_id("e"), case_id=an_id("c"), case_version=1, target="resolution", epoch=1, step=0,
        action="remind_owner", due_at=at, step_at=at, at=at, labels=labels(),
    )  # fmt: skip
    outcome = targets.take([raised], {}, bin_of)
    assert not outcome.deltas and not outcome.new[targets.COLLECTION]


def test_an_activity_is_kept_once_and_another_content_is_refused() -> None:
    order = ActivityRecorded(
        id=an_id("o"), source="shop", kind="order", occurred_at=NOON, received_at=NOON, quantity=3
    )
    other = structs.replace(order, fingerprint="other")
    outcome = activity.take([order, order, other], {})
    assert len(outcome.new[activity.COLLECTION]) == 1
    assert [(index, error.reason) for index, error in outcome.refused] == [(2, "conflict")]


def test_a_quantity_that_cannot_be_counted_with_is_refused() -> None:
    order = ActivityRecorded(
        id=an_id("o"), source="shop", kind="order", occurred_at=NOON, received_at=NOON, quantity=2**80
    )
    outcome = activity.take([order], {})
    assert outcome.refused[0][1].reason == "out_of_range" and not outcome.new[activity.COLLECTION]


def test_hours_before_1970_are_counted_downwards() -> None:
    assert hour_of(NOON.replace(year=1969, month=12, day=31, hour=23, minute=59)) == -1
    assert RollupKey("k", "", "", -1, "").hour == -1
