"""Which form an answer has, and what stands in a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pandas as pd
import pytest

from services.analytics.api.exports import PARQUET, Exports, Format, chosen
from services.analytics.api.sheets import Column, Rows, Sheet
from shared.spreadsheet import safe

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("given", "accept", "form"),
    [
        (None, "", "json"),
        (None, "*/*", "json"),
        (None, BROWSER, "json"),
        (None, "text/csv", "csv"),
        (None, "Text/CSV; header=present", "csv"),
        (None, "application/json;q=0.5, text/csv", "csv"),
        (None, "text/csv;q=0.5, application/json", "json"),
        (None, f"{PARQUET}, text/csv;q=0.9", "parquet"),
        (None, "text/csv;q=0", "json"),
        (None, "text/csv;q=much", "json"),
        ("json", "text/csv", "json"),
        ("parquet", "text/csv", "parquet"),
    ],
)
def test_the_parameter_decides_else_what_the_caller_likes_best(
    given: Format | None, accept: str, form: Format
) -> None:
    assert chosen(given, accept) == form


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd", "-1+2", "@SUM(A1)", "\tx", "\rx", " =x", "＝x", "＋x", "－x", "＠x", "|x", "\n=x"],
)
def test_a_cell_that_would_run_is_shown(cell: str) -> None:
    assert safe(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "-5", "+1.5", "1e-3", "a=b", "plain", "破损", "x@y.example"])
def test_other_cells_stay_what_they_are(cell: str) -> None:
    assert safe(cell) == cell


COLUMNS = [
    Column("label", "text"), Column("at", "time"), Column("n", "integer"), Column("value", "number"),
    Column("flag", "flag"),
]  # fmt: skip
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROWS: list[Rows] = [[("=x", NOON, 3, 0.1, True)], [], [('say "hi", 破损', NOON, None, None, False)]]


async def file_of(rows: list[Rows], form: Format, *, bom: bool = False) -> tuple[Any, bytes]:
    async def some() -> AsyncGenerator[Rows]:
        for one in rows:
            yield one

    answer: Any = await Exports().download(Sheet("s", COLUMNS, some(), {"unit": "x"}, None), form, bom=bom)
    return answer, b"".join([piece async for piece in answer.body_iterator])


async def test_csv_is_utf8_with_a_mark_only_when_asked_for() -> None:
    answer, plain = await file_of(ROWS, "csv")
    _, marked = await file_of(ROWS, "csv", bom=True)
    assert answer.headers["content-disposition"] == 'attachment; filename="s.csv"'
    assert plain.decode() == (
        "label,at,n,value,flag\r\n'=x,2026-03-02T12:00:00Z,3,0.1,true\r\n"
        '"say ""hi"", 破损",2026-03-02T12:00:00Z,,,false\r\n'
    )
    assert marked == b"\xef\xbb\xbf" + plain


async def test_parquet_has_types_and_the_cells_as_they_are() -> None:
    answer, content = await file_of(ROWS, "parquet")
    assert answer.media_type == PARQUET
    frame = pd.read_parquet(BytesIO(content), dtype_backend="numpy_nullable")
    assert frame["label"].tolist() == ["=x", 'say "hi", 破损']
    assert frame["at"].tolist() == [NOON, NOON]
    assert frame["n"].tolist() == [3, pd.NA] and frame["flag"].tolist() == [True, False]
    assert frame["value"][0] == 0.1 and frame["value"].isna()[1]


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_a_file_without_rows_has_its_columns(form: Format) -> None:
    _, content = await file_of([], form)
    frame = pd.read_csv(BytesIO(content)) if form == "csv" else pd.read_parquet(BytesIO(content))
    assert (list(frame.columns), len(frame)) == ([column.name for column in COLUMNS], 0)
