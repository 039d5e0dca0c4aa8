"""What several events say together: goods and what comes back, surveys, cases of one customer."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from services.analytics.domain import activity, cases, feedback, joints
from services.analytics.domain.joints import JointFact
from services.analytics.domain.rows import Row
from shared.events import ActivityKind, ActivityRecorded, Change, Customer, Hold, Product
from tests.support.analytics import NOON, an_id, case_changed, rating
from tests.support.analytics import feedback as said


def done(kind: ActivityKind, sku: str, day: int, *, order: str = "", who: str = "ann") -> ActivityRecorded:
    at = NOON + timedelta(days=day)
    return ActivityRecorded(
        id=an_id((kind, sku, day, order)), source="shop", kind=kind, occurred_at=at, received_at=at,
        customer=Customer(id=who), product=Product(sku=sku), quantity=1,
        attributes={"order_id": order} if order else {},
    )  # fmt: skip


def units(*events: ActivityRecorded) -> dict[str, tuple[int, int]]:
    """By sku how many were shipped, and how many of them came back."""
    outcome = activity.take(events, activity.Known({}, {}))
    shipped, back = Counter[str](), Counter[str]()
    for row in outcome.rows:
        if row.measure.k == "units":
            shipped[row.labels["sku"]] += row.sign * row.measure.c.get("shipped", 0)
            back[row.labels["sku"]] += row.sign * row.measure.c.get("returned", 0)
    return {sku: (n, back[sku]) for sku, n in shipped.items()}


def test_of_an_order_with_two_products_the_one_that_came_back_counts_as_returned() -> None:
    assert units(
        done("shipment", "A1", 0, order="O-1"), done("shipment", "B2", 1, order="O-1"),
        done("return", "A1", 5, order="O-1"),
    ) == {"A1": (1, 1), "B2": (1, 0)}  # fmt: skip


def test_a_return_that_names_its_order_but_no_product_belongs_to_the_last_shipment_before_it() -> None:
    assert units(
        done("shipment", "A1", 0, order="O-1"), done("shipment", "B2", 1, order="O-1"),
        done("return", "", 5, order="O-1", who=""),
    ) == {"A1": (1, 0), "B2": (1, 1)}  # fmt: skip


def test_a_return_that_names_no_order_is_found_by_customer_and_sku_and_its_shipment_counts_once() -> None:
    assert units(done("shipment", "A1", 0, order="O-1"), done("return", "A1", 5)) == {"A1": (1, 1)}
    assert units(done("return", "A1", 5), done("shipment", "A1", 0, order="O-1")) == {"A1": (1, 1)}
    assert units(done("shipment", "A1", 0, order="O-1"), done("return", "A1", 5, who="bob")) == {"A1": (1, 0)}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(joints, "MOST_PARTS", 5)
    return 5


@pytest.mark.parametrize("size", [1, 3, 12])
@pytest.mark.parametrize("order", [1, -1])
def test_of_too_many_events_of_one_customer_the_earliest_count_however_they_come_in_batches(
    few: int, size: int, order: int
) -> None:
    """Each is a fact of its own all the same, and none is refused."""
    answers = [said(n, at=NOON + timedelta(minutes=n), rating=rating("csat", 5, 1, 5)) for n in range(12)]
    events = [structs.replace(one, customer=Customer(id="guest")) for one in answers][::order]
    known: dict[str, JointFact] = {}
    rows: list[Row] = []
    facts = 0
    for start in range(0, 12, size):
        outcome = feedback.take(events[start : start + size], feedback.Known({}, known), lambda _: 0)
        assert not outcome.refused
        facts += len(outcome.new[feedback.COLLECTION])
        for group in (outcome.new, outcome.changed):
            known |= {fact.id: fact for fact in group[joints.JOINT_FACTS]}  # type: ignore[misc,attr-defined]
        rows += outcome.rows
    assert facts == 12
    assert set(known["survey/guest"].parts) == {joints.name_of(an_id(n)) for n in range(few)}


def first(*events: Any) -> int:
    """How many of the cases were solved at the first contact, once all was heard."""
    outcome = cases.take(events, cases.Known({}, {}, {}))
    return sum(row.sign * row.measure.c.get("first", 0) for row in outcome.rows)


RESOLVED = NOON + timedelta(hours=1)


def reopened_after(days: int, who: str) -> list[Any]:
    """A case of one feedback that was resolved, and reopened by a second one."""
    back: datetime = RESOLVED + timedelta(days=days)
    shared: dict[str, Any] = {"customer": Customer(id=who)}
    again = Change(type="reopened", actor="routing", at=back, feedback_id=an_id("second"))
    return [
        case_changed("c", 1, about=("first",), status="resolved", resolved_at=RESOLVED, **shared),
        case_changed(
            "c", 2, about=("first", "second"), status="reopened", change=again,
            holds=(Hold(status="resolved", start=RESOLVED, end=back),), **shared,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("who", ["ann", ""])
@pytest.mark.parametrize(("days", "solved"), [(3, 0), (7, 0), (8, 1), (20, 1)])
def test_only_a_reopening_within_7_days_takes_the_first_contact_back(
    who: str, days: int, solved: int
) -> None:
    """Later the figure has been said to be final."""
    assert first(*reopened_after(days, who)) == solved
    assert first(*reversed(reopened_after(days, who))) == solved


@pytest.mark.parametrize("who", ["ann", ""])
def test_a_second_contact_before_the_resolution_is_no_first_contact_whatever_comes_later(who: str) -> None:
    one, two = reopened_after(20, who)
    joined = Change(type="joined", actor="routing", at=NOON, feedback_id=an_id("early"))
    three = case_changed(
        "c", 3, about=("first", "early", "second"), status="assigned", holds=two.case.holds,
        customer=two.case.customer, change=two.change,
    )  # fmt: skip
    early = case_changed("c", 2, about=("first", "early"), change=joined, customer=two.case.customer)
    assert first(one, early, three) == 0
