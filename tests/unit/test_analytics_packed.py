"""The packed form: what goes in comes out, corrections leave nothing, equal keys belong together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.store.packed import (
    WEIGHT,
    Table,
    grouped,
    netted,
    pack_numbers,
    unpack,
    unpack_numbers,
)

numbers = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(numbers))
def test_a_column_comes_out_as_it_went_in(column: list[int]) -> None:
    assert unpack_numbers(pack_numbers(np.array(column, np.int64))).tolist() == column


@pytest.mark.parametrize(("largest", "size"), [(127, 1), (128, 2), (32_768, 4), (2**31, 8)])
def test_a_column_is_as_narrow_as_its_numbers_allow(largest: int, size: int) -> None:
    assert len(pack_numbers(np.array([0, largest], np.int64))) == 1 + 2 * size


small = st.integers(-3, 3)
huge = st.sampled_from([-(2**62), 0, 2**62])


@given(st.lists(st.tuples(st.one_of(small, huge), st.one_of(small, huge), small), max_size=30))
def test_lines_with_equal_keys_are_one_group_in_the_order_of_their_keys(
    lines: list[tuple[int, int, int]],
) -> None:
    keys = [np.array([line[n] for line in lines], np.int64) for n in range(3)]
    groups, inverse, first = grouped(keys)
    assert [lines[place] for place in first] == sorted(set(lines))
    assert groups == len(set(lines))
    assert [sorted(set(lines))[group] for group in inverse] == lines


def table(lines: list[tuple[int, int, int]]) -> Table:
    """Lines of (moment, code, weight), each of which counts for two."""
    at, code, weight = (np.array([line[n] for line in lines], np.int64) for n in range(3))
    return Table(at, {"kind": code}, {"n": 2 * weight, WEIGHT: weight}, {})


def test_a_line_that_is_taken_back_leaves_nothing_behind() -> None:
    assert len(netted(table([(5, 1, 1), (5, 1, -1)]))) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([-1, 1])), max_size=20))
def test_netting_changes_no_sum_and_netting_again_changes_nothing(lines: list[tuple[int, int, int]]) -> None:
    once = netted(table(lines))
    assert once.counters["n"].sum() == 2 * sum(line[2] for line in lines)
    twice = netted(once)
    assert twice.at.tolist() == once.at.tolist()
    assert twice.counters["n"].tolist() == once.counters["n"].tolist()
    again = unpack(once.pack(3), 3, ["kind"], ["n"], [])
    assert again.at.tolist() == once.at.tolist()
    assert again.counters["n"].tolist() == once.counters["n"].tolist()
