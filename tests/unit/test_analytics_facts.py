"""What becomes of an event in analytics: its fact, and what that fact counts for."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from math import ceil, log
from typing import Any

import pytest
from msgspec import structs

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.cases import Known
from services.analytics.domain.facts import Outcome
from services.analytics.domain.feedback import FeedbackFact, answers, effort
from services.analytics.domain.rows import Row, seconds_since_epoch
from services.analytics.store.facts import shares
from shared.events import ActivityRecorded, Change, EscalationRaised, Hold
from tests.support.analytics import NOON, an_id, breached, case_changed, finished, labels, rating
from tests.support.analytics import feedback as said

EARLIER = NOON - timedelta(hours=1)
OTHERS: Any = {}


def bin_of(seconds: float) -> int:
    return ceil(log(seconds, 1.02))


def counted(rows: list[Row], tally: str, dimension: str = "", at: datetime = NOON) -> dict[str, Any]:
    """What the rows say of one tally and dimension at a moment, by value; what cancels out is left out."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if (row.measure.k, row.measure.t) == (tally, at):
            sums = found.setdefault(row.labels.get(dimension, ""), Counter())
            for name, amount in row.measure.c.items():
                sums[name] += row.sign * amount
    sums_of = {value: {name: n for name, n in sums.items() if n} for value, sums in found.items()}
    return {value: sums for value, sums in sums_of.items() if sums}


def n(rows: list[Row], tally: str, dimension: str = "") -> dict[str, int]:
    """How many facts the rows add per value at noon; what cancels out is left out."""
    found = counted(rows, tally, dimension)
    return {value: sums["n"] for value, sums in found.items() if "n" in sums}


def hear_feedback(*events: Any, known: Any = OTHERS) -> Outcome:
    return feedback.take(events, feedback.Known(known, {}), bin_of)


def hear_cases(*events: Any, cases_known: Any = OTHERS, known: Any = OTHERS) -> Outcome:
    return cases.take(events, Known(cases_known, known, {}))


def hear_targets(*events: Any, known: Any = OTHERS) -> Outcome:
    return targets.take(events, targets.Known(known, {}), bin_of)


def stored(event: object) -> dict[object, FeedbackFact]:
    (fact,) = hear_feedback(event).new[feedback.COLLECTION]
    return {fact.id: fact}  # type: ignore[attr-defined]


def test_a_feedback_counts_in_its_hour_under_each_of_its_dimensions() -> None:
    outcome = hear_feedback(said("f", region="Shanghai", category="logistics.late"))
    assert n(outcome.rows, "feedback") == {"": 1}
    assert n(outcome.rows, "feedback", "region") == {"Shanghai": 1}
    assert n(outcome.rows, "feedback", "category") == {"logistics.late": 1}
    assert n(outcome.rows, "feedback", "department") == {"": 1}


def test_a_feedback_seen_before_counts_nothing_within_a_batch_and_across() -> None:
    outcome = hear_feedback(said("f"), said("f"))
    assert len(outcome.new[feedback.COLLECTION]) == 1
    assert n(outcome.rows, "feedback") == {"": 1}
    again = hear_feedback(said("f"), known=stored(said("f")))
    assert not again.rows and not again.new[feedback.COLLECTION] and not again.changed[feedback.COLLECTION]


def test_the_same_feedback_id_with_another_content_is_refused_and_the_first_one_stays() -> None:
    outcome = hear_feedback(said("other"), said("f", fingerprint="new"), known=stored(said("f")))
    ((index, error),) = outcome.refused
    assert (index, error.reason) == (1, "conflict")
    assert [fact.id for fact in outcome.new[feedback.COLLECTION]] == [an_id("other")]
    assert not outcome.changed[feedback.COLLECTION]


def test_a_case_brings_its_department_and_category_to_feedback_that_came_before_it() -> None:
    known = stored(said("f"))
    event = case_changed("c", about=("f",), department="logistics", category="logistics.late")
    outcome = hear_cases(event, known=known)
    assert n(outcome.rows, "feedback", "department") == {"": -1, "logistics": 1}
    assert n(outcome.rows, "feedback", "category") == {
        "": -1,
        "logistics.late": 1,
    }
    assert n(outcome.rows, "feedback", "channel") == {}


def test_feedback_that_comes_after_its_case_finds_the_department_waiting() -> None:
    outcome = hear_cases(case_changed("c", about=("f",), department="logistics"))
    (waiting,) = outcome.new[feedback.COLLECTION]
    assert n(outcome.rows, "feedback") == {}
    outcome = hear_feedback(said("f"), known={an_id("f"): waiting})
    assert n(outcome.rows, "feedback", "department") == {"logistics": 1}
    assert len(outcome.changed[feedback.COLLECTION]) == 1


def test_the_category_that_the_customer_gave_is_not_replaced_by_the_cases_own() -> None:
    known = stored(said("f", category="billing"))
    outcome = hear_cases(case_changed("c", about=("f",), category="logistics"), known=known)
    assert n(outcome.rows, "feedback", "category") == {}


def test_feedback_of_a_merged_case_belongs_to_the_case_that_survived() -> None:
    merged = case_changed("a", 2, about=("f",), status="merged", department="service")
    survivor = case_changed("b", 2, about=("f",), department="logistics")
    for order in ([merged, survivor], [survivor, merged]):
        outcome = hear_cases(*order, known=stored(said("f")))
        assert n(outcome.rows, "feedback", "department") == {
            "": -1,
            "logistics": 1,
        }


def test_an_older_version_of_a_case_changes_nothing() -> None:
    (new,) = hear_cases(case_changed("c", 3, priority="P1")).new[cases.COLLECTION]
    outcome = hear_cases(case_changed("c", 2, priority="P4"), cases_known={an_id("c"): new})
    assert not outcome.rows and not outcome.changed[cases.COLLECTION]


def test_a_case_with_another_priority_takes_its_old_count_back() -> None:
    (old,) = hear_cases(case_changed("c", 1, priority="P3")).new[cases.COLLECTION]
    outcome = hear_cases(case_changed("c", 2, priority="P1"), cases_known={an_id("c"): old})
    assert n(outcome.rows, "opened", "priority") == {"P3": -1, "P1": 1}
    assert n(outcome.rows, "opened") == {}


def test_a_resolved_case_leaves_the_backlog_and_stays_in_the_volume() -> None:
    (old,) = hear_cases(case_changed("c", 1)).new[cases.COLLECTION]
    outcome = hear_cases(case_changed("c", 2, status="resolved"), cases_known={an_id("c"): old})
    assert counted(outcome.rows, "opened") == {"": {"open": -1}}
    assert n(outcome.rows, "opened") == {}


def test_a_new_version_that_says_nothing_new_about_its_feedback_does_not_touch_it() -> None:
    (old,) = hear_cases(case_changed("c", 1, about=("f", "g"))).new[cases.COLLECTION]
    (new,) = cases.newest([case_changed("c", 2, about=("f", "g", "h"), status="in_progress")], {}).values()
    assert cases.touched(old, new) == {an_id("h")}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "score", "low", "high", "counts"),
    [
        ("nps", 9, 0, 10, {"nps": 1, "promoters": 1}),
        ("nps", 8, 0, 10, {"nps": 1}),
        ("nps", 6, 0, 10, {"nps": 1, "detractors": 1}),
        ("nps", 5, 1, 5, {}),
        ("csat", 4, 1, 5, {"csat": 1, "satisfied": 1}),
        ("csat", 3, 1, 5, {"csat": 1}),
        ("csat", 3.9, 1, 5, {"csat": 1}),
        ("csat", 4.5, 1, 5, {"csat": 1, "satisfied": 1}),
        ("csat", 7, 1, 10, {"csat": 1, "satisfied": 1}),
        ("csat", 6, 1, 10, {"csat": 1}),
        ("csat", 1, 0, 1, {"csat": 1, "satisfied": 1}),
        ("csat", 2, 1, 3, {"csat": 1}),
        ("ces", 5, 1, 7, {}),
    ],
)
def test_an_answer_counts_by_its_metric_and_scale(
    metric: str, score: float, low: int, high: int, counts: dict[str, int]
) -> None:
    assert answers(rating(metric, score, low, high)) == counts


@pytest.mark.parametrize(
    ("score", "low", "high", "counts"),
    [
        (5, 1, 7, {"n": 1, "thousandths": 5000, "easy": 1}),
        (4.5, 1, 7, {"n": 1, "thousandths": 4500}),
        (5.5, 1, 7, {"n": 1, "thousandths": 5500, "easy": 1}),
        (4, 1, 7, {"n": 1, "thousandths": 4000}),
        (4, 1, 5, {"n": 1, "thousandths": 4000, "easy": 1}),
        (0, 0, 10, {"n": 1}),
    ],
)
def test_effort_counts_its_score_in_thousandths_and_whether_it_was_easy(
    score: float, low: int, high: int, counts: dict[str, int]
) -> None:
    assert effort(rating("ces", score, low, high)) == counts


def test_a_score_off_its_scale_is_no_answer() -> None:
    outcome = hear_feedback(said("f", rating=rating("nps", 11, 0, 10)))
    assert "nps" not in counted(outcome.rows, "feedback")[""]
    assert n(outcome.rows, "feedback") == {"": 1}


def test_a_breach_counts_when_it_was_due_and_its_end_adds_only_the_time_taken() -> None:
    later = NOON + timedelta(hours=5)
    outcome = hear_targets(breached("c"))
    assert counted(outcome.rows, "judged_first_response") == {"": {"breached": 1}}
    (fact,) = outcome.new[targets.COLLECTION]
    end = finished("c", late=timedelta(hours=5))
    outcome = hear_targets(end, known={fact.id: fact})
    assert counted(outcome.rows, "judged_first_response") == {}
    assert [row.measure.s["business"][0] for row in outcome.rows if row.measure.t == later] == [600]


def test_a_finished_verdict_wins_over_a_breach_in_either_order() -> None:
    for order in ([breached("c"), finished("c")], [finished("c"), breached("c")]):
        outcome = hear_targets(*order)
        assert counted(outcome.rows, "judged_first_response", at=EARLIER) == {"": {"met": 1}}
        assert counted(outcome.rows, "judged_first_response") == {}


def test_another_epoch_of_the_same_target_is_another_promise() -> None:
    events = [finished("c", target="update", epoch=1), finished("c", target="update", epoch=2)]
    outcome = hear_targets(*events)
    assert counted(outcome.rows, "judged_update", at=EARLIER) == {"": {"met": 2}}
    assert counted(outcome.rows, "answered", at=EARLIER) == {}


def test_what_departments_owe_each_other_counts_apart_from_what_customers_were_promised() -> None:
    outcome = hear_targets(breached("c", target="ola"), finished("d", target="ola"), finished("e"))
    assert counted(outcome.rows, "judged_ola") == {"": {"breached": 1}}
    assert counted(outcome.rows, "judged_ola", at=EARLIER) == {"": {"met": 1}}
    assert set(shares(outcome.rows)) == {"judged_ola", "judged_first_response", "answered"}


def test_spans_are_counted_in_whole_seconds_and_bins_and_zero_has_a_bin_of_its_own() -> None:
    outcome = hear_targets(finished("c", business=0, wall=1200))
    (spans,) = [row.measure.s for row in outcome.rows if row.measure.k == "answered"]
    assert spans == {"business": (0, -1), "wall": (1200, bin_of(1200))}


def test_a_negative_span_is_refused_by_its_name() -> None:
    outcome = hear_targets(finished("c", business=-1))
    ((index, error),) = outcome.refused
    assert (index, error.reason) == (0, "out_of_range") and "business_seconds" in error.detail
    assert not outcome.rows


def test_escalations_are_no_facts() -> None:
    at = NOON
    raised = EscalationRaised(
        id=an_id("e"), case_id=an_id("c"), case_version=1, target="resolution", epoch=1, step=0,
        action="remind_owner", due_at=at, step_at=at, at=at, labels=labels(),
    )  # fmt: skip
    outcome = hear_targets(raised)
    assert not outcome.rows and not outcome.new[targets.COLLECTION]


def test_an_activity_is_kept_once_and_another_content_is_refused() -> None:
    order = ActivityRecorded(
        id=an_id("o"), source="shop", kind="order", occurred_at=NOON, received_at=NOON, quantity=3
    )
    other = structs.replace(order, fingerprint="other")
    outcome = activity.take([order, order, other], activity.Known({}, {}))
    assert len(outcome.new[activity.COLLECTION]) == 1
    assert [(index, error.reason) for index, error in outcome.refused] == [(2, "conflict")]


def test_a_quantity_that_cannot_be_counted_with_is_refused() -> None:
    order = ActivityRecorded(
        id=an_id("o"), source="shop", kind="order", occurred_at=NOON, received_at=NOON, quantity=2**80
    )
    outcome = activity.take([order], activity.Known({}, {}))
    assert outcome.refused[0][1].reason == "out_of_range" and not outcome.new[activity.COLLECTION]


def test_seconds_before_1970_are_counted_downwards() -> None:
    assert seconds_since_epoch(NOON.replace(year=1969, month=12, day=31, hour=23, minute=59, second=59)) == -1


def test_an_owner_takes_the_feedback_of_the_case_along() -> None:
    event = case_changed("c", about=("f",), owner="chen", priority="P1")
    outcome = hear_cases(event, known=stored(said("f")))
    assert n(outcome.rows, "feedback", "owner") == {"": -1, "chen": 1}
    assert n(outcome.rows, "feedback", "priority") == {"": -1, "P1": 1}


def test_handling_time_counts_where_the_source_gives_it() -> None:
    given = {"talk_seconds": 60, "hold_seconds": 5.4, "wrap_up_seconds": "no number"}
    (row,) = [r for r in hear_feedback(said("f", attributes=given)).rows if r.measure.k == "feedback"]
    assert row.measure.c["handled"] == 1 and row.measure.s["handling"][0] == 65
    (row,) = [r for r in hear_feedback(said("g")).rows if r.measure.k == "feedback"]
    assert "handled" not in row.measure.c and not row.measure.s


def test_a_reopened_case_counts_at_its_first_resolution() -> None:
    resolved, back = NOON + timedelta(hours=1), NOON + timedelta(days=2)
    hold = Hold(status="resolved", start=resolved, end=back)
    outcome = hear_cases(case_changed("c", 3, status="reopened", holds=(hold,), reopened=1))
    assert counted(outcome.rows, "resolved", at=resolved) == {"": {"n": 1, "reopened": 1}}
    late = Hold(status="resolved", start=resolved, end=resolved + timedelta(days=31))
    outcome = hear_cases(case_changed("c", 3, status="reopened", holds=(late,), reopened=1))
    assert counted(outcome.rows, "resolved", at=resolved) == {"": {"n": 1}}


def test_a_transfer_counts_once_in_whatever_order_its_version_is_heard() -> None:
    moved = structs.replace(case_changed("c", 2), change=Change(type="transferred", actor="x", at=NOON))
    for order in ([moved, case_changed("c", 3)], [case_changed("c", 3), moved, moved]):
        outcome = hear_cases(*order)
        assert counted(outcome.rows, "opened") == {"": {"n": 1, "open": 1, "transferred": 1}}


def test_a_transfer_that_is_told_with_a_later_version_counts_once() -> None:
    earlier = (Change(type="transferred", actor="x", at=NOON),)
    given = structs.replace(case_changed("c", 3), earlier=earlier)
    for order in ([given], [given, given], [case_changed("c", 4), given]):
        outcome = hear_cases(*order)
        assert counted(outcome.rows, "opened") == {"": {"n": 1, "open": 1, "transferred": 1}}
        assert outcome.new[cases.COLLECTION][0].transfers == (2,)


def test_a_case_is_escalated_once_and_a_reminder_is_no_escalation() -> None:
    def raised(action: Any) -> EscalationRaised:
        return EscalationRaised(
            id=an_id(action), case_id=an_id("c"), case_version=1, target="resolution", epoch=1, step=0,
            action=action, due_at=NOON, step_at=NOON, at=NOON, labels=labels(),
        )  # fmt: skip

    assert not hear_targets(raised("remind_owner")).new[cases.COLLECTION]
    outcome = hear_targets(raised("notify_supervisor"), raised("reassign"))
    (waiting,) = outcome.new[cases.COLLECTION]
    assert not outcome.rows
    outcome = hear_cases(case_changed("c"), cases_known={an_id("c"): waiting})
    assert counted(outcome.rows, "opened") == {"": {"n": 1, "open": 1, "escalated": 1}}


def test_a_rated_closing_counts_for_recovery_and_a_cancelled_case_does_not() -> None:
    outcome = hear_cases(case_changed("c", 5, status="closed", closed_at=NOON, satisfied=True))
    assert counted(outcome.rows, "closed") == {"": {"n": 1, "rated": 1, "satisfied": 1}}
    outcome = hear_cases(case_changed("c", 5, status="cancelled", closed_at=NOON))
    assert counted(outcome.rows, "closed") == {}
