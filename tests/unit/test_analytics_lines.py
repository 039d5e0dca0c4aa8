"""Rows summed the plain way, and how it is said that MongoDB no longer keeps a moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from services.analytics.domain.lines import Cell, Cells, Lines, differing
from services.analytics.domain.rows import DAY, Measure, Row, seconds_since_epoch
from services.analytics.domain.tallies import TALLIES
from services.analytics.store.snapshots import snapshot
from shared.errors import Unavailable
from tests.support.analytics import NOON

ANSWERED, HALF_HOUR = TALLIES["answered"], 1800
AT, MIDNIGHT = seconds_since_epoch(NOON), seconds_since_epoch(NOON) // DAY * DAY


def row(minutes: int, seconds: int, number: int, sign: int = 1, **labels: str) -> Row:
    measure = Measure(
        "answered", NOON + timedelta(minutes=minutes), {"n": 1, "x": 5}, {"wall": (seconds, number)}
    )
    return Row(sign, measure, labels)


def test_lines_are_summed_by_moments_labels_counters_seconds_and_bins() -> None:
    lines = Lines(ANSWERED)
    for one in (
        row(0, 60, 7, owner="a", kind="k"), row(29, 61, 7, owner="a", kind="l"), row(30, 0, -1, owner="b"),
        row(0, 9, 3, owner="c"), row(0, 9, 3, -1, owner="c"),
    ):  # fmt: skip
        lines.add(one)
    by_owner = +lines.sums(("owner",), HALF_HOUR)
    assert by_owner == Cells({
        Cell(AT, ("a",), "n"): 2, Cell(AT, ("a",), "wall"): 121, Cell(AT, ("a",), "wall in bin 7"): 2,
        Cell(AT + HALF_HOUR, ("b",), "n"): 1, Cell(AT + HALF_HOUR, ("b",), "wall in bin -1"): 1,
    })  # fmt: skip
    assert (+lines.sums((), DAY))[Cell(MIDNIGHT, (), "n")] == 3
    assert lines.sums(("kind", "owner"), DAY)[Cell(MIDNIGHT, ("l", "a"), "wall")] == 61


def test_sums_differ_where_one_of_them_has_something_else_or_nothing() -> None:
    n, other = Cell(0, ("a",), "n"), Cell(1800, ("b",), "n")
    assert differing(Cells({n: 2, other: 0}), Cells({n: 2})) == []
    assert differing(Cells({n: 2}), Cells({n: 1, other: 1})) == [n, other]


@pytest.mark.parametrize(("code", "raised"), [(239, Unavailable), (1, OperationFailure)])
async def test_a_moment_that_is_kept_no_more_is_no_fault_of_the_service(code: int, raised: Any) -> None:
    class Session:
        async def end_session(self) -> None: ...

    class Client:
        async def start_session(self, *, snapshot: bool) -> Session:
            return Session()

    database: Any = type("Database", (), {"client": Client()})
    with pytest.raises(raised):
        async with snapshot(database):
            raise OperationFailure("SnapshotTooOld", code)
