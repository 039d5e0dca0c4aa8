"""How many requests are let in at a time: as many as get their answer in time, and never none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.intake.api.admission import FIRST, LEAST, MOST, Crowd

SECONDS = 0.25


def room(crowd: Crowd) -> int:
    """Requests under way at which nothing more is let in."""
    return next(n for n in range(MOST + 1) if crowd.is_full(n))


def used(crowd: Crowd, under_way: int, waited: float) -> None:
    crowd.is_full(under_way)
    crowd.waited(waited)


def test_a_crowd_that_waits_too_long_becomes_smaller_at_once() -> None:
    crowd = Crowd(SECONDS)
    used(crowd, FIRST, SECONDS * 2)
    assert room(crowd) == FIRST * 3 // 4


def test_one_that_is_served_in_time_grows_only_while_its_room_is_used() -> None:
    idle, busy = Crowd(SECONDS), Crowd(SECONDS)
    for _ in range(20):
        used(idle, 3, 0.001)
        used(busy, FIRST, 0.001)
    assert room(idle) == FIRST
    assert room(busy) > 2 * FIRST


def test_between_half_of_the_time_and_all_of_it_nothing_changes() -> None:
    crowd = Crowd(SECONDS)
    used(crowd, FIRST, SECONDS * 0.75)
    assert room(crowd) == FIRST


def test_a_kafka_that_is_slow_in_itself_still_gets_its_share() -> None:
    crowd = Crowd(SECONDS)
    for _ in range(100):
        used(crowd, FIRST, 10.0)
    assert room(crowd) == LEAST


@given(st.lists(st.tuples(st.integers(0, 2 * MOST), st.floats(0, 100)), max_size=200))
def test_whatever_happens_somebody_is_let_in_and_never_everybody(seen: list[tuple[int, float]]) -> None:
    crowd = Crowd(SECONDS)
    for under_way, waited in seen:
        used(crowd, under_way, waited)
    assert not crowd.is_full(LEAST - 1)
    assert crowd.is_full(MOST)


@given(st.integers(LEAST, MOST - 1), st.integers(1, 50))
def test_a_model_of_a_queue_comes_to_rest_at_what_is_served_in_time(fits: int, rounds: int) -> None:
    """A machine that serves `fits` requests within SECONDS, and more than there is room for at its door."""
    crowd = Crowd(SECONDS)
    for _ in range(100 + rounds):
        under_way = room(crowd)
        used(crowd, under_way, SECONDS * under_way / fits)
    assert min(fits / 2, MOST) * 0.7 <= room(crowd) <= max(fits, LEAST)
