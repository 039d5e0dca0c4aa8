"""Percentiles out of bins: the nearest rank of each key and period, however many there are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.store import gathering
from services.analytics.store.gathering import ALL, Bins, ranked

LINE = st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(-1, 9), st.integers(1, 4))
"""Key, period, bin, how many."""


def bins_of(lines: list[tuple[int, int, int, int]], periods: int) -> Bins:
    key, period, place, n = np.array(lines, np.int64).T
    return Bins(key * periods + period, place, n)


@pytest.mark.parametrize("at_once", [1, 30, 10_000])
@given(st.lists(LINE, min_size=1, max_size=40), st.sampled_from([1, 50, 90, 100]))
def test_it_is_the_first_bin_up_to_which_so_many_lie(
    at_once: int, lines: list[tuple[int, int, int, int]], share: int
) -> None:
    spread: dict[tuple[int, int], Counter[int]] = {}
    for key, period, place, n in lines:
        for cell in ((key, period), ALL):
            spread.setdefault(cell, Counter())[place] += n
    expected = {}
    for cell, counts in spread.items():
        each = sorted(counts.elements())
        expected[cell] = each[-(-len(each) * share // 100) - 1]
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(gathering, "_MOST_SUMS", at_once)
        assert ranked([bins_of(lines, 4)], 4, share) == expected


def test_what_was_taken_back_has_no_percentile() -> None:
    assert ranked([bins_of([(0, 0, 5, 2), (0, 0, 5, -2), (1, 0, 3, 1)], 1)], 1, 50) == {(1, 0): 3, ALL: 3}
