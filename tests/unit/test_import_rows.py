"""Batches of rows hold no more than they may, whatever the rows are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from services.intake.domain.imports import Layout, Mark
from services.intake.domain.signals import Sender
from services.intake.imports import preview as dry_run
from services.intake.imports import rows as import_rows
from services.intake.imports.rows import Batch, RowReader, reject
from services.intake.imports.table import CSV, Line
from shared.mapping import RowError, mapping_of
from tests.support.seals import SEALS

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
MAPPING = b"source: shop\nset: {kind: complaint}\nfields: {text: words}\n"


class Rows:
    """A table of these rows, which it makes as they are asked for."""

    def __init__(self, header: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
        self.layout = Layout(CSV, "utf-8", ",", '"', list(header))
        self._rows, self._mark = rows, Mark()

    def rows(self, after: Mark) -> Iterator[Line]:
        for number, cells in enumerate(self._rows, after.row + 1):
            self._mark = Mark(number)
            yield Line(number, cells)

    def mark(self) -> Mark:
        return self._mark

    def share(self) -> float:
        return 0.5


def reading(*rows: Sequence[str], header: Sequence[str] = ("words",)) -> RowReader:
    return RowReader(Rows(header, iter(rows)), mapping_of(MAPPING, "own.yaml"), Sender("api", ("k",)), SEALS)


def batches(*rows: Sequence[str], header: Sequence[str] = ("words",)) -> list[Batch]:
    return list(reading(*rows, header=header).batches(Mark(1), lambda: NOW))


def test_a_refused_row_that_is_wider_than_the_header_keeps_its_first_cells() -> None:
    (batch,) = batches(["late"] + [""] * 999_999, ["late", ""])
    first, second = batch.rejects
    assert first.cells == ["late"] + [""] * 999
    assert first.reason == "the row has 1000000 cells, the header 1; its first 1,000 cells are kept"
    assert (second.cells, second.reason) == (["late", ""], "the row has 2 cells, the header 1")


def test_a_refused_row_of_a_wide_header_keeps_all_of_it() -> None:
    header = ["words", *(f"c{n}" for n in range(1999))]
    (batch,) = batches([""] * 2000, [""] * 2001, header=header)
    assert [len(one.cells) for one in batch.rejects] == [2000, 2000]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        pytest.param(["words"], [""] * 1000, id="refused, of empty cells"),
        pytest.param(["words", *map(str, range(999))], ["late"] + [""] * 999, id="taken, of empty cells"),
        pytest.param(["words", "more"], ["late", "x" * 16_000], id="taken, with a long cell of no field"),
    ],
)
def test_rows_come_to_a_batch_by_what_is_held_of_them(
    monkeypatch: pytest.MonkeyPatch, header: list[str], row: list[str]
) -> None:
    monkeypatch.setattr(import_rows, "BATCH_BYTES", 64_000)
    found = batches(*[row] * 20, header=header)
    assert sum(batch.accepted + len(batch.rejects) for batch in found) == 20
    assert max(batch.accepted + len(batch.rejects) for batch in found) <= 4


def test_a_refused_row_is_kept_within_the_limits_of_a_cell_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_rows, "KEPT_OF_A_CELL", 5)
    monkeypatch.setattr(import_rows, "KEPT_OF_A_ROW", 12)
    kept = reject(Line(2, ["abc", "abcdefgh", "", "abcdef", "x"]), RowError("words", "does not fit"))
    assert kept.cells == ["abc", "abcde", "", "abcd", ""]


def test_a_dry_run_holds_one_row_at_a_time() -> None:
    """A thousand rows are looked at, each of which may have a million cells."""

    class Cells(list[str]):
        held = most = copied = 0

        def __init__(self) -> None:
            super().__init__(["late", "x"])
            Cells.held += 1
            Cells.most = max(Cells.most, Cells.held)

        def __iter__(self) -> Iterator[str]:
            Cells.copied += 1
            return super().__iter__()

        def __del__(self) -> None:
            Cells.held -= 1

    table = Rows(["words"], (Cells() for _ in range(100)))
    mapping = mapping_of(MAPPING, "own.yaml")
    rows = RowReader(table, mapping, Sender("api", ("k",)), SEALS)
    said = dry_run.preview(table, mapping, rows, Mark(1), NOW)
    assert said["rejects"][0] == {"row": 2, "column": "", "reason": "the row has 2 cells, the header 1"}
    assert (len(said["rejects"]), Cells.copied) == (100, 0)
    assert Cells.most <= 3
