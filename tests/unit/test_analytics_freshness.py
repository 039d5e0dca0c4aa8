"""As of when a figure is: the moment up to which all partitions behind it are in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.freshness import Look, Reached, complete_up_to
from services.analytics.store.positions import topics_of
from shared.handler import Partition

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
A, B, OTHER = Partition("cases", 0), Partition("cases", 1), Partition("sla", 0)
LONG_AGO = NOON - timedelta(days=3)


def at(second: int) -> datetime:
    return NOON + timedelta(seconds=second)


def look(second: int, **ends: int) -> Look:
    """What was seen then; partitions that are not named are empty."""
    names = {"a": A, "b": B, "other": OTHER}
    return Look(
        at(second),
        dict.fromkeys(names.values(), 0),
        {partition: ends.get(name, 0) for name, partition in names.items()},
    )


def test_what_is_read_to_its_end_is_complete_up_to_the_last_look() -> None:
    looks = [look(1, a=5, b=7), look(2, a=5, b=7)]
    assert complete_up_to({"cases"}, looks, {A: Reached(5, LONG_AGO), B: Reached(7, LONG_AGO)}) == at(2)


def test_an_empty_partition_holds_nothing_back() -> None:
    assert complete_up_to({"cases"}, [look(1, a=5)], {A: Reached(5, LONG_AGO)}) == at(1)
    assert complete_up_to({"cases"}, [look(1)], {}) == at(1)


def test_a_partition_that_retention_has_emptied_before_anything_was_counted_is_empty() -> None:
    emptied = Look(at(1), {A: 40}, {A: 40})
    assert complete_up_to({"cases"}, [emptied], {}) == at(1)


def test_the_partition_furthest_behind_decides_and_is_as_far_as_the_look_that_it_has_reached() -> None:
    looks = [look(1, a=5, b=7), look(2, a=6, b=7), look(3, a=9, b=7)]
    assert complete_up_to({"cases"}, looks, {A: Reached(5, NOON), B: Reached(7, NOON)}) == at(1)
    assert complete_up_to({"cases"}, looks, {A: Reached(8, NOON), B: Reached(7, NOON)}) == at(2)
    assert complete_up_to({"cases"}, looks, {A: Reached(9, NOON), B: Reached(7, NOON)}) == at(3)


def test_one_that_is_behind_all_looks_is_as_far_as_the_events_counted_of_it() -> None:
    looks = [look(1, a=5, b=7), look(2, a=5, b=7)]
    assert complete_up_to({"cases"}, looks, {A: Reached(4, LONG_AGO), B: Reached(7, NOON)}) == LONG_AGO


def test_nothing_is_said_before_the_first_look_or_while_of_a_partition_with_records_none_is_counted() -> None:
    assert complete_up_to({"cases"}, [], {A: Reached(4, NOON)}) is None
    assert complete_up_to({"cases"}, [look(1, a=5, b=7)], {A: Reached(5, NOON)}) is None


def test_other_topics_do_not_matter() -> None:
    assert complete_up_to({"cases"}, [look(1, other=9)], {}) == at(1)
    assert complete_up_to({"sla"}, [look(1, other=9)], {}) is None


def test_a_partition_that_was_added_counts_from_the_look_that_saw_it() -> None:
    before = Look(at(1), {A: 0}, {A: 5})
    after = Look(at(2), {A: 0, B: 0}, {A: 5, B: 1})
    assert complete_up_to({"cases"}, [before, after], {A: Reached(5, NOON)}) is None
    assert complete_up_to({"cases"}, [before, after], {A: Reached(5, NOON), B: Reached(1, NOON)}) == at(2)


def test_a_figure_asks_for_the_topics_that_it_is_counted_from() -> None:
    assert topics_of(KPIS["sla_attainment"]) == {"cqm.sla.v1"}
    assert topics_of(KPIS["feedback_volume"]) == {"cqm.feedback.v1", "cqm.cases.v1"}
