"""The line of a department gives each case to whom a search through everybody would have found."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.pool import Member, Pool, Seat
from tests.support.cases import NOW

NAMES = ("chen", "he", "liu", "wang", "zhao")
WANTED = {"any": (), "glass": ("glass",)}
members = st.builds(
    lambda name, capacity, skills, hours: Member(
        name, capacity, skills, frozenset(), NOW + timedelta(hours=hours)
    ),
    st.sampled_from(NAMES), st.integers(0, 6), st.frozensets(st.just("glass")), st.integers(-1, 2),
)  # fmt: skip
rosters = st.lists(members, unique_by=lambda one: one.id, max_size=5)
asked = st.tuples(
    st.just("give"), st.sampled_from(sorted(WANTED)), st.integers(1, 3), st.sampled_from(("", *NAMES))
)
ended = st.tuples(st.just("end"), st.sampled_from(NAMES), st.integers(1, 3), st.just(""))


def searched(pool: Pool, able: list[Member], weight: int, avoid: str) -> str:
    """Whoever works first, carries least, was given a case longest ago."""
    found = [
        (max(one.starts, NOW), pool.seat(one.id).load, pool.seat(one.id).last_assigned, one.id)
        for one in able
        if pool.seat(one.id).load + weight <= one.capacity and one.id != avoid
    ]
    return min(found)[-1] if found else ""


@given(rosters, st.lists(st.one_of(asked, asked, ended), max_size=40))
def test_the_first_in_line_is_the_one_a_search_would_have_found(
    there: list[Member], course: list[tuple[str, str, int, str]]
) -> None:
    pool = Pool({"chen": Seat(2, NOW)})
    for step, (what, which, weight, avoid) in enumerate(course):
        if what == "end":
            pool.add(which, -weight)
            continue
        skills = WANTED[which]
        able = [one for one in there if one.skills.issuperset(skills)]
        owner = pool.first((skills, "zh"), able, weight, avoid=avoid, now=NOW)
        assert owner == searched(pool, able, weight, avoid)
        if owner:
            pool.add(owner, weight)
            pool.given(owner, NOW + timedelta(seconds=step))
