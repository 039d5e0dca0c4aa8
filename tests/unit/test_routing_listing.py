"""Which index a list of cases walks along; tests/component/test_routing_reads.py shows that MongoDB does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.routing.store import listing
from services.routing.store.listing import Wanted, walks


def walked(wanted: Wanted) -> list[tuple[str | None, int]]:
    """Along which index, and how many departments at a time."""
    return [(walk.hint, len(walk.query["department"]["$in"])) for some in walks(wanted) for walk in some]


@pytest.mark.parametrize(
    ("departments", "fields", "at_a_time"),
    [
        (1, {}, [1]),
        (4, {}, [4]),
        (10, {}, [4, 4, 2]),
        (10, {"status": "new"}, [10]),
        (60, {"priority": "P1"}, [18, 18, 18, 6]),
        (0, {}, []),
    ],
)
def test_so_many_departments_are_asked_at_a_time_that_no_more_walks_are_merged_than_mongodb_merges(
    departments: int, fields: dict[str, str], at_a_time: list[int]
) -> None:
    visible = {"$in": [f"d{n}" for n in range(departments)]}
    index = "department by opened_at and change"
    assert walked(Wanted({"department": visible, **fields}, {})) == [(index, n) for n in at_a_time]


def test_the_narrowest_field_that_is_given_leads() -> None:
    fields = {"department": {"$in": ["a", "b"]}, "owner": "chen", "category": "logistics.damage"}
    assert walked(Wanted(fields, {})) == [("owner by opened_at and change and rest", 2)]
    del fields["owner"]
    assert walked(Wanted(fields, {})) == [("category and department by opened_at and change", 2)]


def test_only_a_list_whose_order_no_index_has_is_counted() -> None:
    span, pair = {"$gte": datetime(2026, 1, 1, tzinfo=UTC)}, {"category": "c", "department": "d"}
    assert listing.counted(Wanted({}, {}, "-updated_at")) is None
    assert listing.counted(Wanted({"owner": "o", "category": "c"}, {}, "-updated_at")) is None
    assert listing.counted(Wanted({"customer.id": "u"}, span, "-updated_at")) is None
    assert listing.counted(Wanted(pair, span, "opened_at")) is None
    for asked in (Wanted({}, span, "-updated_at"), Wanted(pair, {}, "-updated_at")):
        assert listing.counted(asked) is not None


def test_more_months_than_mongodb_merges_are_walked_side_by_side() -> None:
    walks = listing.by_months(Wanted({}, {"$lt": datetime(2026, 1, 1, tzinfo=UTC)}, "-updated_at"), 0, 10**6)
    assert {len(walk.query["month"]["$in"]) for walk in walks[:-1]} == {200}
    assert walks[-1].query["month"]["$in"][-1] == 2026 * 12
