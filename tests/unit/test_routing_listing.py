"""Which index a list of cases walks along; tests/component/test_routing_reads.py shows that MongoDB does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from services.routing.store import listing
from services.routing.store.listing import Place, Wanted, walks
from shared.events import Case
from tests.support import archive


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


def opened_on(*days: int) -> list[Case]:
    (some,) = archive.cases(1)
    return [replace(some, opened_at=datetime(2026, 3, day, 12, tzinfo=UTC)) for day in days]


def test_a_long_span_has_the_days_between_its_first_case_and_its_last() -> None:
    wanted = Wanted({}, {"$gte": datetime(2020, 1, 1, tzinfo=UTC)}, "-updated_at")
    first = datetime(2026, 3, 2, tzinfo=UTC).toordinal()
    assert listing.days(wanted, opened_on(9, 2)) == range(first, first + 8)
    assert not listing.days(wanted, [])


def test_what_was_opened_after_the_place_did_not_change_before_it() -> None:
    place = Place.of(opened_on(4)[0], "-updated_at")
    wanted = Wanted({}, {}, "-updated_at", place._replace(at=datetime(2026, 3, 4, 23, tzinfo=UTC)))
    days = listing.days(wanted, opened_on(2, 9))
    assert days[-1] == datetime(2026, 3, 4, tzinfo=UTC).toordinal()
    assert not listing.days(wanted, opened_on(5, 9))
