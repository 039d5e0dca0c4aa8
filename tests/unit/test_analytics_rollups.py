"""Whatever the order, however often: what was counted equals a recount of the facts (promise P6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil, log
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.domain import activity, cases, feedback, targets
from services.analytics.domain.facts import Outcome
from services.analytics.domain.rows import Fact, Row, rows
from services.analytics.domain.tallies import COLLECTIONS
from shared.events import (
    ActivityKind,
    ActivityRecorded,
    CaseChanged,
    Change,
    ChangeType,
    Customer,
    Event,
    FeedbackReceived,
    Hold,
    Product,
)
from tests.support.analytics import NOON, an_id, breached, case_changed, finished, labels, rating
from tests.support.analytics import feedback as said

NAMES = range(4)
departments = st.sampled_from(["service", "logistics", "a.b"])
hours = st.integers(0, 3).map(lambda n: NOON + timedelta(hours=n, minutes=20 * n))


def bin_of(seconds: float) -> int:
    return ceil(log(seconds, 1.02))


Lines = Counter[tuple[object, ...]]
"""How often each thing is counted."""


class Analytics:
    """Facts and counts in memory, changed only by what the domain decides."""

    def __init__(self) -> None:
        self.facts: dict[str, dict[Any, Any]] = {name: {} for name in COLLECTIONS}
        self.lines: Lines = Counter()

    def hear(self, events: list[Event]) -> None:
        """One batch per topic, as the streams would see them."""
        told, done, moved, judged, joints = (self.facts[name] for name in COLLECTIONS)
        batches: dict[str, list[Any]] = {"told": [], "done": [], "moved": [], "judged": []}
        topics = {FeedbackReceived: "told", ActivityRecorded: "done", CaseChanged: "moved"}
        for event in events:
            batches[topics.get(type(event), "judged")].append(event)
        self.save(feedback.take(batches["told"], feedback.Known(told, joints), bin_of))
        self.save(activity.take(batches["done"], activity.Known(done, joints)))
        self.save(cases.take(batches["moved"], cases.Known(moved, told, joints)))
        self.save(targets.take(batches["judged"], targets.Known(judged, moved), bin_of))

    def save(self, outcome: Outcome) -> None:
        assert not outcome.refused
        for group in (outcome.new, outcome.changed):
            for collection, facts in group.items():
                self.facts[collection] |= {fact.id: fact for fact in facts}  # type: ignore[attr-defined]
        self.lines.update(added(outcome.rows))

    def recounted(self) -> Lines:
        facts: Iterable[Fact] = (fact for of in self.facts.values() for fact in of.values())
        return added(row for fact in facts for row in rows(fact))


def added(some: Iterable[Row]) -> Lines:
    lines: Lines = Counter()
    for row in some:
        measure = row.measure
        spans = tuple(sorted(measure.s.items()))
        key = (
            measure.k,
            measure.t,
            tuple(sorted(measure.c.items())),
            spans,
            tuple(sorted(row.labels.items())),
        )
        lines[key] += row.sign
    return lines


def left(lines: Lines) -> dict[Any, int]:
    return {key: n for key, n in lines.items() if n}


CUSTOMERS = ["", "ann", "bob"]


@st.composite
def feedbacks(draw: st.DrawFn) -> FeedbackReceived:
    name = draw(st.sampled_from(NAMES))
    answered = [None, rating("nps", 10, 0, 10), rating("csat", 2, 1, 5), rating("nps", 3, 0, 10)]
    categories = ["", "x", "", "y"]
    event = said(name, at=NOON + timedelta(hours=name), rating=answered[name], category=categories[name])
    return msgspec.structs.replace(
        event, customer=Customer(id=CUSTOMERS[name % 3]), order_id=["", "o1"][name % 2]
    )


@st.composite
def activities(draw: st.DrawFn) -> ActivityRecorded:
    """Orders, shipments and what comes of them, of few customers and at few moments."""
    name = draw(st.integers(0, 11))
    kinds: list[ActivityKind] = [
        "order", "shipment", "return", "repair", "signup", "renewal", "churn", "survey_sent",
    ]  # fmt: skip
    at = NOON + timedelta(days=(name * 5) % 7)
    return ActivityRecorded(
        id=an_id(("activity", name)), source="shop", external_id=f"o{name}", kind=kinds[name % 8],
        occurred_at=at, received_at=at, customer=Customer(id=CUSTOMERS[name % 3]),
        product=Product(sku=["A1", "B2"][name % 5 % 2]), quantity=name % 4,
        attributes=draw(st.sampled_from([{}, {}, {"order_id": "O-1"}])),
    )  # fmt: skip


@st.composite
def changes(
    draw: st.DrawFn, version: int, opened: datetime, resolved: datetime, back: timedelta | None
) -> Change:
    """Of the third version a reopening, by feedback perhaps; after it feedback may join."""
    came = draw(st.sampled_from([None, an_id(0)]))
    if version > 2 and back is not None:
        kind: ChangeType = "reopened" if version == 3 else "joined"
        return Change(type=kind, actor="test", at=resolved + back, feedback_id=came)
    return Change(type="joined" if came else "noted", actor="test", at=opened, feedback_id=came)


@st.composite
def histories(draw: st.DrawFn) -> list[CaseChanged]:
    """All versions of one case: it moves, is merged, and gains feedback, and loses some too."""
    name = draw(st.sampled_from(["a", "b", "c"]))
    opened, customer = draw(hours), Customer(id=draw(st.sampled_from(CUSTOMERS)))
    back = draw(st.sampled_from([None, timedelta(days=2), timedelta(days=40)]))
    resolved = opened + timedelta(hours=draw(st.integers(1, 100)))
    holds = (Hold(status="resolved", start=resolved, end=resolved + back),) if back else ()
    return [
        case_changed(
            name,
            version,
            about=tuple(sorted(draw(st.sets(st.sampled_from(NAMES))))),
            department=draw(departments),
            category=draw(st.sampled_from(["", "late"])),
            status=draw(st.sampled_from(["assigned", "in_progress", "resolved", "merged"])),
            priority=draw(st.sampled_from(["P1", "P4"])),
            opened_at=opened,
            customer=customer,
            resolved_at=None if holds and version > 2 else resolved if version > 1 else None,
            holds=holds if version > 2 else (),
            change=draw(changes(version, opened, resolved, back)),
        )
        for version in range(1, draw(st.integers(1, 4)) + 1)
    ]


@st.composite
def promises(draw: st.DrawFn) -> list[Event]:
    name, epoch, due = draw(st.sampled_from(["a", "b", "c"])), draw(st.integers(1, 2)), draw(hours)
    target = draw(st.sampled_from(["first_response", "resolution"]))
    shared: dict[str, Any] = {
        "due": due,
        "epoch": epoch,
        "target": target,
        "labels": labels(draw(departments)),
    }
    late = timedelta(minutes=draw(st.integers(-90, 90)))
    end = finished(name, late=late, business=draw(st.integers(0, 9999)), case_version=2, **shared)
    return [breached(name, **shared), end][draw(st.integers(0, 1)) :]


@st.composite
def worlds(draw: st.DrawFn) -> list[Event]:
    """Every event once, in the order in which it happened; one history per case and promise."""
    by_case = {one[0].case.id: one for one in draw(st.lists(histories(), max_size=3))}
    by_promise = {targets.identity(one[-1]): one for one in draw(st.lists(promises(), max_size=3))}  # type: ignore[arg-type]
    once = {event.id: event for event in draw(st.lists(feedbacks(), max_size=4))}
    done = {event.id: event for event in draw(st.lists(activities(), max_size=8))}
    told: list[Event] = [*once.values(), *done.values()]
    return told + [event for some in (*by_case.values(), *by_promise.values()) for event in some]


def batches_of(events: list[Event], data: st.DataObject) -> list[list[Event]]:
    """The events with repetitions, in any order, cut anywhere."""
    doubled = events + (data.draw(st.lists(st.sampled_from(events), max_size=6)) if events else [])
    shuffled = data.draw(st.permutations(doubled))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    return [shuffled[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


def documents(facts: dict[Any, Any]) -> dict[str, Any]:
    """Facts as values; those that no event made, only an absent part, are left out."""
    kept = {str(key): msgspec.to_builtins(fact) for key, fact in facts.items()}
    return {key: fact for key, fact in kept.items() if fact.get("said", 1) or fact["links"]}


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_rollups_equal_a_recomputation_from_the_facts(events: list[Event], data: st.DataObject) -> None:
    analytics = Analytics()
    for batch in batches_of(events, data):
        analytics.hear(batch)
        assert left(analytics.lines) == left(analytics.recounted())


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_facts_end_the_same_under_duplicates_and_any_order(events: list[Event], data: st.DataObject) -> None:
    ordered, shuffled = Analytics(), Analytics()
    ordered.hear(events)
    for batch in batches_of(events, data):
        shuffled.hear(batch)
    for collection, facts in ordered.facts.items():
        if collection != "joint_facts":
            assert documents(shuffled.facts[collection]) == documents(facts)
    assert left(shuffled.lines) == left(ordered.lines)
