"""Whatever the order, however often: rollups moved by deltas equal a recomputation (promise P6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import ceil, log
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.domain import cases, feedback, targets
from services.analytics.domain.cases import Known
from services.analytics.domain.facts import Outcome
from services.analytics.domain.rollups import Deltas, Fact, correct, without_zeros
from shared.events import CaseChanged, Event, FeedbackReceived
from tests.support.analytics import NOON, breached, case_changed, finished, labels, rating
from tests.support.analytics import feedback as said

NAMES = range(4)
departments = st.sampled_from(["service", "logistics", "a.b"])
hours = st.integers(0, 3).map(lambda n: NOON + timedelta(hours=n, minutes=20 * n))


def bin_of(seconds: float) -> int:
    return ceil(log(seconds, 1.02))


class Analytics:
    """Facts and rollups in memory, changed only by what the domain decides."""

    def __init__(self) -> None:
        self.facts: dict[str, dict[Any, Fact]] = {
            name: {} for name in (feedback.COLLECTION, cases.COLLECTION, targets.COLLECTION)
        }
        self.rollups: Deltas = {}

    def hear(self, events: list[Event]) -> None:
        """One batch per topic, as the streams would see them."""
        told, moved, judged = self.facts.values()
        batches: dict[str, list[Any]] = {"told": [], "moved": [], "judged": []}
        for event in events:
            topic = "told" if isinstance(event, FeedbackReceived) else "judged"
            batches["moved" if isinstance(event, CaseChanged) else topic].append(event)
        self.save(feedback.take(batches["told"], told))  # type: ignore[arg-type]
        self.save(cases.take(batches["moved"], Known(moved, told)))  # type: ignore[arg-type]
        self.save(targets.take(batches["judged"], judged, bin_of))  # type: ignore[arg-type]

    def save(self, outcome: Outcome) -> None:
        for group in (outcome.new, outcome.changed):
            for collection, facts in group.items():
                self.facts[collection] |= {fact.id: fact for fact in facts}  # type: ignore[attr-defined]
        for key, sums in outcome.deltas.items():
            mine = self.rollups.setdefault(key, {})
            for name, amount in sums.items():
                mine[name] = mine.get(name, 0) + amount

    def recomputed(self) -> Deltas:
        deltas: Deltas = {}
        for facts in self.facts.values():
            for fact in facts.values():
                correct(deltas, None, fact)
        return without_zeros(deltas)


@st.composite
def feedbacks(draw: st.DrawFn) -> FeedbackReceived:
    name = draw(st.sampled_from(NAMES))
    answered = [None, rating("nps", 10, 0, 10), rating("csat", 2, 1, 5), rating("nps", 3, 0, 10)]
    categories = ["", "x", "", "y"]
    return said(name, at=NOON + timedelta(hours=name), rating=answered[name], category=categories[name])


@st.composite
def histories(draw: st.DrawFn) -> list[CaseChanged]:
    """All versions of one case: it moves, is merged, and gains feedback, and loses some too."""
    name = draw(st.sampled_from(["a", "b", "c"]))
    opened = draw(hours)
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
    told: list[Event] = list(once.values())
    return told + [event for some in (*by_case.values(), *by_promise.values()) for event in some]


def batches_of(events: list[Event], data: st.DataObject) -> list[list[Event]]:
    """The events with repetitions, in any order, cut anywhere."""
    doubled = events + (data.draw(st.lists(st.sampled_from(events), max_size=6)) if events else [])
    shuffled = data.draw(st.permutations(doubled))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    return [shuffled[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


def documents(facts: Mapping[Any, Fact]) -> dict[str, Any]:
    """Facts as values; those that no event made, only an absent link, are left out."""
    kept = {str(key): msgspec.to_builtins(fact) for key, fact in facts.items()}
    return {key: fact for key, fact in kept.items() if fact.get("said", 1) or fact["links"]}


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_rollups_equal_a_recomputation_from_the_facts(events: list[Event], data: st.DataObject) -> None:
    analytics = Analytics()
    for batch in batches_of(events, data):
        analytics.hear(batch)
        assert without_zeros(analytics.rollups) == analytics.recomputed()


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_facts_end_the_same_under_duplicates_and_any_order(events: list[Event], data: st.DataObject) -> None:
    ordered, shuffled = Analytics(), Analytics()
    ordered.hear(events)
    for batch in batches_of(events, data):
        shuffled.hear(batch)
    for collection, facts in ordered.facts.items():
        assert documents(shuffled.facts[collection]) == documents(facts)
    assert without_zeros(shuffled.rollups) == without_zeros(ordered.rollups)


def test_a_fact_that_did_not_change_moves_nothing() -> None:
    (fact,) = feedback.take([said("f")], {}).new[feedback.COLLECTION]
    deltas: Deltas = {}
    correct(deltas, fact, fact)
    assert deltas == {}
