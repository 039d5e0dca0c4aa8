"""Which index a list of cases walks along; tests/component/test_routing_reads.py shows that MongoDB does."""

from __future__ import annotations

import pytest

from services.routing.store.listing import Wanted, walks


@pytest.mark.parametrize(
    ("departments", "index"),
    [
        (1, "department by opened_at and change"),
        (4, "department by opened_at and change"),
        (5, "all by opened_at and change"),
    ],
)
def test_a_caller_of_many_departments_walks_along_all_cases_before_anything_is_sorted_in_memory(
    departments: int, index: str
) -> None:
    visible = {"$in": [f"d{n}" for n in range(departments)]}
    (walk,) = walks(Wanted({"department": visible}, {}))
    assert walk.hint == index


def test_the_narrowest_field_that_is_given_leads() -> None:
    fields = {"department": {"$in": ["a", "b"]}, "owner": "chen", "category": "logistics.damage"}
    (walk,) = walks(Wanted(fields, {}))
    assert walk.hint == "owner by opened_at and change"
