"""Which form an answer has, and what stands in a file."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pandas as pd
import pytest
from fastapi import FastAPI, Response

from services.analytics.api import exports
from services.analytics.api.exports import MOST_AT_A_TIME, PARQUET, Exports, Format, chosen
from services.analytics.api.sheets import Column, Rows, Sheet
from shared import problem
from shared.http_protocol import protocol
from shared.spreadsheet import safe
from tests.support.raw_http import serving
from tests.support.spine import eventually

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


async def test_who_stops_reading_is_cut_off_and_gives_the_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "TAKE_SECONDS", 0.2)
    app, writing, closed = FastAPI(), Exports(), list[bool]()
    problem.install(app)

    async def endless() -> AsyncGenerator[Rows]:
        try:
            while True:
                yield [("x" * 1000, NOON, 1, None, None)] * 1000
        finally:
            closed.append(True)

    @app.get("/endless")
    async def file() -> Response:
        return await writing.download(Sheet("s", COLUMNS, endless(), {}, None), "csv", bom=False)

    ask = b"GET /endless HTTP/1.1\r\nHost: cqm\r\n\r\n"
    async with serving(app, {"http": protocol(10.0), "ws": "none", "log_config": None}) as where:
        stalled = [socket.create_connection(("127.0.0.1", where.port)) for _ in range(MOST_AT_A_TIME)]
        for one in stalled:
            one.sendall(ask)
        await eventually(lambda: writing._turns.locked(), what="all turns taken")
        assert (await where.exchange(ask)).status == 503
        await eventually(lambda: len(closed) == len(stalled), what="both are ended")
        assert not writing._turns.locked()
        async with where.connection() as reads:
            await reads.send(ask)
            assert b"200" in await reads.reader.readline()
            assert len(await reads.reader.readexactly(1_000_000)) == 1_000_000, "who reads gets the file"
        for one in stalled:
            one.settimeout(10)
            got = b""
            while piece := one.recv(1_000_000):
                got = got[-10:] + piece
            assert not got.endswith(b"0\r\n\r\n"), "a file that is not whole does not end as one that is"
            one.close()
