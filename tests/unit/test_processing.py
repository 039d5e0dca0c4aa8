"""How a poll is cut into transactions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.handler import Partition
from shared.processing import Polled, split, take

polls = st.dictionaries(
    st.integers(0, 11).map(lambda number: Partition("t", number)),
    st.integers(1, 40).map(lambda count: list(range(count))),
    min_size=1,
)


def everything(parts: list[Polled]) -> dict[Partition, list[int]]:
    whole: dict[Partition, list[int]] = {}
    for part in parts:
        for partition, records in part.items():
            whole.setdefault(partition, []).extend(records)
    return whole


@given(polls, st.integers(1, 100))
def test_a_poll_is_taken_in_pieces_in_order_and_nothing_is_left_out(
    poll: dict[Partition, list[int]], most: int
) -> None:
    parts, left = [], poll
    while left:
        now, left = take(left, most)
        assert sum(map(len, now.values())) <= max(most, len(now))
        parts.append(now)
    assert everything(parts) == poll


@given(polls)
def test_a_failed_poll_is_split_in_order_down_to_single_records(poll: dict[Partition, list[int]]) -> None:
    parts: list[Polled] = [poll]
    while any(len(part) > 1 or len(next(iter(part.values()))) > 1 for part in parts):
        parts = [smaller for part in parts for smaller in split(part)]
    assert everything(parts) == poll
