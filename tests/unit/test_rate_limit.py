"""Token buckets: what a caller may take over any span, and that callers do not touch each other."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rate_limit import Bucket, Rate, RateLimiter, fields

RATES = st.floats(0.1, 1000)
BURSTS = st.integers(1, 500)
STEPS = st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), min_size=1, max_size=60)


@given(RATES, BURSTS, STEPS)
def test_over_any_span_no_more_is_taken_than_the_burst_the_rate_and_one_take(
    rate: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    bucket, now = Bucket(rate, burst), 0.0
    granted: list[tuple[float, int]] = []
    for pause, cost in steps:
        now += pause
        if bucket.take(cost, now).granted:
            granted.append((now, cost))
    dearest = max(cost for _, cost in steps)
    for first, (begin, _) in enumerate(granted):
        taken = 0
        for at, cost in granted[first:]:
            taken += cost
            assert taken <= (burst + rate * (at - begin) + dearest) * (1 + 1e-9)


@given(RATES, BURSTS, STEPS)
def test_who_waits_as_told_is_let_in(rate: float, burst: int, steps: list[tuple[float, int]]) -> None:
    bucket, now = Bucket(rate, burst), 0.0
    for pause, cost in steps:
        now += pause
        take = bucket.take(cost, now)
        if not take.granted:
            now += take.wait * (1 + 1e-9) + 1e-9
            assert bucket.take(1, now).granted


@given(RATES, BURSTS, STEPS)
def test_a_refusal_costs_nothing_and_looking_neither(
    rate: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    asked, quiet, now = Bucket(rate, burst), Bucket(rate, burst), 0.0
    for pause, cost in steps:
        now += pause
        asked.take(0, now)
        if asked.take(0, now).granted:
            assert asked.take(cost, now) == pytest.approx(quiet.take(cost, now), abs=1e-6)
        else:
            assert not asked.take(cost, now).granted


@given(st.floats(0.1, 1000), BURSTS, st.integers(1, 200))
def test_a_bucket_is_full_again_after_its_reset(rate: float, burst: int, cost: int) -> None:
    bucket = Bucket(rate, burst)
    reset = bucket.take(cost, 0.0).reset
    assert bucket.take(0, reset * (1 + 1e-9) + 1e-9).remaining >= burst - 1
    assert bucket.take(0, reset + 1e6).remaining == burst


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = Bucket(rate=1, burst=2)
    assert [bucket.take(1, now).granted for now in (10.0, 10.0, 10.0, 9.0)] == [True, True, False, False]


def test_a_batch_larger_than_the_bucket_gets_in_and_is_paid_off_before_the_next() -> None:
    bucket = Bucket(rate=100, burst=50)
    assert bucket.take(1050, 0.0).granted
    later = bucket.take(1, 9.9)
    assert (later.granted, later.remaining, ceil(later.wait)) == (False, 0, 1)
    assert bucket.take(1, 10.02).granted


def test_callers_have_buckets_of_their_own() -> None:
    limiter = RateLimiter(rate=1, burst=1, keys_max=10)
    assert [limiter.take(key, 1, 0.0).granted for key in ("a", "a", "b")] == [True, False, True]


@given(st.lists(st.text(max_size=3), max_size=100), st.integers(1, 5))
def test_no_more_than_so_many_callers_are_remembered(keys: list[str], most: int) -> None:
    limiter = RateLimiter(rate=1, burst=1, keys_max=most)
    for key in keys:
        limiter.take(key, 1, 0.0)
    assert limiter.known == min(most, len(set(keys)))


def test_who_came_last_is_remembered_longest() -> None:
    limiter = RateLimiter(rate=1, burst=1, keys_max=2)
    for key in ("a", "b", "a", "c"):
        limiter.take(key, 1, 0.0)
    assert not limiter.take("a", 1, 0.0).granted
    assert limiter.take("b", 1, 0.0).granted, "b was forgotten for c"


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [
        (50, 100, [b"100", b"99", b"1", b"100;w=2"]),
        (0.1, 1, [b"1", b"0", b"10", b"1;w=10"]),
        (1000, 10, [b"10", b"9", b"1", b"10;w=1"]),
    ],
)
def test_the_answer_says_what_is_left_and_when_more_comes(
    rate: float, burst: int, expected: list[bytes]
) -> None:
    bucket = Bucket(rate, burst)
    said = fields(bucket, bucket.take(1, 0.0))
    assert [value for _, value in said] == expected


def test_the_rest_of_a_batch_is_refused_only_in_debt() -> None:
    bucket = Bucket(rate=1, burst=1)
    assert bucket.take(1, 0.0).granted and bucket.take(99, 0.0, least=0).granted
    second = bucket.take(99, 1.0, least=0)
    assert (second.granted, second.wait) == (False, 99.0)


@pytest.mark.parametrize(("rate", "burst"), [(0.01, 1), (1, 10), (50, 500)])
def test_a_bucket_holds_what_ten_seconds_bring_unless_told(rate: float, burst: int) -> None:
    assert Rate.of(rate) == (rate, burst)
    assert Rate.of(rate, 7) == (rate, 7)
