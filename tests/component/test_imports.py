"""Imports on a real Kafka and MongoDB: each row of a file is on the topic once, or told with its reason."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from openpyxl import Workbook

from services.intake.api import import_upload
from services.intake.app import build
from services.intake.imports import csv_table
from services.intake.imports.worker import Worker
from services.intake.settings import IntakeSettings
from shared import ids
from shared.mapping import Mapping, mapping_of
from tests.support.apps import Running, running_app
from tests.support.imports import (
    MAPPING,
    NYC311,
    WITHOUT_ID,
    csv_of,
    ended,
    feedback_from_now,
    imported,
    many,
    posted,
    refused_rows,
)
from tests.support.servers import Servers
from tests.support.spine import eventually

HEADER = ("id", "words", "at")
CELL = 131_072


@pytest.fixture
async def intake(servers: Servers, prefix: str) -> AsyncIterator[Running]:
    settings = IntakeSettings(
        kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text", import_bytes=64 << 20
    )
    async with running_app(build(settings)) as running:
        yield running


@pytest.fixture
def shop() -> str:
    """A source of the test's own."""
    return f"shop-{uuid4().hex}"


FORGED = [
    base64.urlsafe_b64encode(json.dumps([moment, str(uuid4())]).encode()).decode()
    for moment in ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "2026-03-02T00:00:00")
]


async def test_each_row_is_on_the_topic_once_and_a_second_import_has_the_same_ids(
    intake: Running, servers: Servers, shop: str
) -> None:
    wanted = {str(ids.signal_id("feedback", shop, str(n))) for n in range(5000)}
    async with feedback_from_now(servers.kafka) as feedback:
        job = await imported(intake.http, many(5000), MAPPING.format(source=shop))
        assert (job["state"], job["rows"], job["accepted"], job["rejected"]) == ("done", 5000, 5000, 0)
        assert (job["percent"], job["encoding"], job["delimiter"]) == (100, "utf-8", ",")
        once = await feedback.ids(shop)
        assert once == dict.fromkeys(wanted, 1)
        again = await imported(intake.http, many(5000), MAPPING.format(source=shop))
        assert again["id"] != job["id"]
        assert (await feedback.ids(shop)).keys() == wanted


async def test_an_import_is_counted_as_signals_of_every_door_are(intake: Running, shop: str) -> None:
    """Of bytes a constant was counted for each file, and of Kafka's acknowledgements none."""

    async def counts() -> dict[str, float]:
        page = (await intake.http.get("/metrics")).text
        found = dict(line.rsplit(" ", 1) for line in page.splitlines() if 'door="imports"' in line)
        return {name.removeprefix("cqm_intake_"): float(value) for name, value in found.items()}

    def said(noun: str, **labels: str) -> str:
        every = {"door": "imports", "source": "api"} | labels
        pairs = {f'{name}="{every[name]}"' for name in every}
        return f"{noun}{{{','.join(sorted(pairs))}}}"

    before, content = await counts(), many(100) + b"bad,,\n"
    job = await imported(intake.http, content, MAPPING.format(source=shop))
    assert (job["accepted"], job["rejected"]) == (100, 1)
    now = await counts()
    risen = {name: now[name] - before.get(name, 0) for name in now}
    assert risen[said("accepted_total", kind_of_signal="feedback")] == 100
    assert risen[said("rejected_total", reason="invalid")] == 1
    assert risen[said("received_bytes_total")] == len(content)
    assert risen[said("acknowledged_seconds_count")] >= 1
    assert now[said("in_flight_bytes")] == 0


async def test_a_row_without_an_id_of_its_own_is_known_by_file_and_number(
    intake: Running, servers: Servers, shop: str
) -> None:
    content = csv_of([["words"], *[["the same words"]] * 3000]).encode()
    async with feedback_from_now(servers.kafka) as feedback:
        for times in (1, 2):
            job = await imported(intake.http, content, WITHOUT_ID.format(source=shop))
            assert job["accepted"] == 3000
            found = await feedback.ids(shop)
            assert len(found) == 3000
            assert set(found.values()) == {times}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_encoding_and_delimiter_are_found(
    intake: Running, shop: str, encoding: str, delimiter: str
) -> None:
    rows = [HEADER, ("1", "箱子坏了,真的;\t|", "2026-03-02"), ("2", "第二", "03.04.2026")]
    content = csv_of(rows, delimiter).encode(encoding)
    if encoding == "utf-16-be":
        content = b"\xfe\xff" + content
    answer = await posted(intake.http, content, MAPPING.format(source=shop), dry_run=True)
    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert found["delimiter"] == delimiter
    assert found["encoding"] == {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
    assert [row["feedback"]["text"] for row in found["rows"]] == ["箱子坏了,真的;\t|", "第二"]
    assert found["rows"][1]["feedback"]["occurred_at"] == "2026-04-02T16:00:00+00:00"


async def test_a_dry_run_shows_rows_unmapped_columns_and_rejects_and_keeps_nothing(
    intake: Running, servers: Servers, shop: str
) -> None:
    rows = [
        (*HEADER, "note"),
        *((n, "words", "yesterday" if n % 100 == 7 else "2026-03-02", "x") for n in range(2000)),
    ]
    async with feedback_from_now(servers.kafka) as feedback:
        answer = await posted(intake.http, csv_of(rows).encode(), MAPPING.format(source=shop), dry_run=True)
        found = answer.json()
        assert answer.status_code == 200
        assert found["unmapped"] == ["note"]
        assert (len(found["rows"]), found["looked_at"], len(found["rejects"])) == (20, 1000, 10)
        reason = "is not a time in the format of the mapping"
        assert found["rejects"][0] == {"row": 9, "column": "at", "reason": reason}
        assert not await feedback.ids(shop)
    assert (await intake.http.get("/v1/imports")).json()["items"] == []
    for name in ("imports", "imports.files", "imports.chunks"):
        assert await intake.service.database[name].count_documents({}) == 0


BAD_ROWS: list[tuple[str, bytes, str, str]] = [
    ("unclosed quote", b'3,"never closed,2026-03-02', "", "is not CSV"),
    ("quote within a cell", b'3,"a"b,2026-03-02', "", "is not CSV"),
    ("NUL", b"3,a\0b,2026-03-02", "words", "must not contain NUL"),
    ("more cells than the header", b"3,a,2026-03-02,x", "", "the row has 4 cells, the header 3"),
    ("fewer cells", b"3,a", "at", "the row has no such column"),
    ("a long cell", b"3," + b"x" * (CELL + 1) + b",2026-03-02", "", f"over the limit of {CELL} characters"),
    ("a long text", b"3," + b"x" * 20_001 + b",2026-03-02", "words", "(limit 20000)"),
    ("a long line", b"3," + b"x" * (6 << 20), "", "does not end within the limit of 1048576 characters"),
    ("another date", b"3,a,2nd of March", "at", "is not a time in the format of the mapping"),
    ("a date of the future", b"3,a,2090-03-02", "at", "lies in the future"),
    ("no text", b"3,,2026-03-02", "words", "one of text, subject and rating is required"),
    ("a contradiction", b"1,another text,2026-03-02", "", "an earlier row has this identity"),
]


@pytest.mark.parametrize(
    ("bad", "column", "reason"), [row[1:] for row in BAD_ROWS], ids=[r[0] for r in BAD_ROWS]
)
async def test_a_bad_row_is_told_and_its_neighbours_are_taken(
    intake: Running, shop: str, bad: bytes, column: str, reason: str
) -> None:
    content = b"id,words,at\r\n1,a,2026-03-02\r\n" + bad + b'\r\n4,"d",02.03.2026\r\n'
    job = await imported(intake.http, content, MAPPING.format(source=shop))
    assert (job["state"], job["accepted"], job["rejected"]) == ("done", 2, 1), job
    (row,) = await refused_rows(intake.http, job["id"])
    assert (row["rejected_row"], row["rejected_column"]) == ("3", column)
    assert reason in row["rejected_reason"]


def workbook_of(rows: list[tuple[Any, ...]]) -> bytes:
    book, buffer = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(buffer)
    return buffer.getvalue()


async def test_a_workbook_is_read_with_its_dates_and_numbers(intake: Running, shop: str) -> None:
    nine = datetime.fromisoformat("2026-03-02T09:00:00")
    content = workbook_of([HEADER, (17, "破损", nine), (18.5, "b", "02.03.2026"), (19, None, "x")])
    answer = await posted(intake.http, content, MAPPING.format(source=shop), name="some.xlsx", dry_run=True)
    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert [row["feedback"] for row in found["rows"]] == [
        {"source": shop, "kind": "complaint", "external_id": "17", "text": "破损",
         "occurred_at": "2026-03-02T01:00:00+00:00"},
        {"source": shop, "kind": "complaint", "external_id": "18.5", "text": "b",
         "occurred_at": "2026-03-01T16:00:00+00:00"},
    ]  # fmt: skip
    assert [(one["row"], one["column"]) for one in found["rejects"]] == [(4, "at")]
    job = await imported(intake.http, content, MAPPING.format(source=shop), name="some.xlsx")
    assert (job["format"], job["accepted"], job["rejected"]) == ("xlsx", 2, 1)


async def test_the_raw_body_by_a_mapping_of_the_service(intake: Running) -> None:
    answer = await intake.http.post(
        "/v1/imports?mapping=nyc311&name=nyc311.csv", content=NYC311.read_bytes(),
        headers={"content-type": "text/csv"},
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    job = await ended(intake.http, answer.json()["id"])
    assert answer.headers["location"] == f"/v1/imports/{job['id']}"
    assert (job["name"], job["mapping"], job["accepted"]) == ("nyc311.csv", "nyc311", 1000)


REFUSED: list[tuple[str, bytes, dict[str, Any], str, str]] = [
    ("empty", b"", {}, "/file", "the file is empty"),
    ("no header", b"\n\n1,2,3\n", {}, "/file", "no header row"),
    ("a column is missing", b"id,words\n1,a\n", {}, "/file", "the file has no column at"),
    ("a column twice", b"id,words,id,at\n", {}, "/file", "two columns of the name id"),
    ("neither encoding", b"id,words,at\n1,\xff\xff\xff,2026-03-02\n", {}, "/file", "not UTF-8 (byte 14)"),
    (
        "not the encoding given",
        "id,words,at\n1,中,x\n".encode("gb18030"),
        {"encoding": "utf-8"},
        "/file",
        "not UTF-8",
    ),
    ("an unknown encoding", many(1), {"encoding": "latin-1"}, "?encoding", "must be one of utf-8"),
    ("an encoding that no name can be", many(1), {"encoding": "\0"}, "?encoding", "must be one of utf-8"),
    ("a long delimiter", many(1), {"delimiter": "::"}, "?delimiter", "must be one character"),
    (
        "a quote that is the delimiter",
        many(1),
        {"quote": ",", "delimiter": ","},
        "?quote",
        "must be one character",
    ),
    ("no workbook", b"PK\x03\x04 and nothing else", {}, "/file", "is not a workbook"),
    ("an old workbook", b"\xd0\xcf\x11\xe0 and so on", {}, "/file", "Excel 97-2003"),
    ("an unknown mapping", many(1), {"mapping": "nope"}, "?mapping", "mappings by name: nyc311"),
    ("two mappings", many(1), {"mapping": "nyc311"}, "?mapping", "not both"),
]


@pytest.mark.parametrize(
    ("content", "options", "pointer", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_a_file_that_cannot_be_imported_is_refused_and_not_kept(
    intake: Running, shop: str, content: bytes, options: dict[str, Any], pointer: str, reason: str
) -> None:
    answer = await posted(intake.http, content, MAPPING.format(source=shop), **options)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["pointer"], reason in error["message"]) == (pointer, True), error
    assert await intake.service.database["imports.chunks"].count_documents({}) == 0


async def test_a_mapping_that_does_not_fit_is_told_by_its_lines(intake: Running) -> None:
    answer = await posted(intake.http, many(1), "source: shop\nfields: {txt: words}\n")
    assert answer.status_code == 422
    told = [error["message"] for error in answer.json()["errors"]]
    assert any("own.yaml:2:" in line and "did you mean text" in line for line in told)


async def test_a_mapping_is_read_aside_and_is_no_longer_than_can_be_read_soon(
    intake: Running, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of a megabyte of YAML took eleven seconds, in which nobody else was answered."""
    threads: list[int] = []

    def read(content: bytes, file: str) -> Mapping:
        threads.append(threading.get_ident())
        return mapping_of(content, file)

    monkeypatch.setattr(import_upload, "mapping_of", read)
    own = MAPPING.format(source=shop)
    assert (await posted(intake.http, many(1), own, dry_run=True)).status_code == 200
    assert len(threads) == 1 and threading.get_ident() not in threads
    answer = await posted(intake.http, many(1), own + "#" * (32 * 1024), dry_run=True)
    assert (answer.status_code, answer.json()["errors"]) == (
        413, [{"pointer": "/mapping", "message": "is too large", "limit": 32 * 1024}]
    )  # fmt: skip
    assert len(threads) == 1


async def test_a_file_that_stops_being_a_table_is_refused_in_a_dry_run(
    intake: Running, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_table, "MAX_IN_VAIN", 1000)
    content = b"id,words,at\n" + b'x","y\n' * 1000
    answer = await posted(
        intake.http, content, MAPPING.format(source=shop), dry_run=True, delimiter=",", quote='"'
    )
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["pointer"], "opened and not closed" in error["message"]) == ("/file", True)


async def test_a_header_alone_is_an_import_of_nothing(intake: Running, shop: str) -> None:
    job = await imported(intake.http, b"id,words,at\r\n", MAPPING.format(source=shop))
    assert (job["state"], job["rows"], job["percent"]) == ("done", 0, 100)


async def test_bodies_that_are_no_import(intake: Running) -> None:
    path = "/v1/imports?mapping=nyc311"
    form = {"content-type": "multipart/form-data; boundary=x"}
    cases = [
        (b"{}", {"content-type": "application/json"}, 415),
        (b"x", {"content-type": "text/csv", "content-encoding": "gzip"}, 415),
        (b"x", {"content-type": "multipart/form-data"}, 400),
        (b"x", form, 400),
        (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nid', form, 400),
        (b'--x\r\nContent-Disposition: form-data; name="mapping"\r\n\r\nid\r\n--x--\r\n', form, 422),
        (b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nid\r\n--x--\r\n', form, 422),
        (b"x" * ((64 << 20) + 1), {"content-type": "text/csv"}, 413),
    ]
    for body, headers, status in cases:
        answer = await intake.http.post(path, content=body, headers=headers)
        assert answer.status_code == status, (body[:60], answer.text)


async def test_a_cell_that_a_spreadsheet_would_run_is_shown_instead(intake: Running, shop: str) -> None:
    rows = [HEADER, ("=1+1", "＝HYPERLINK()", "never"), ("-5", "+49 30", "never")]
    job = await imported(intake.http, csv_of(rows).encode(), MAPPING.format(source=shop))
    first, second = await refused_rows(intake.http, job["id"])
    assert (first["id"], first["words"]) == ("'=1+1", "'＝HYPERLINK()")
    assert (second["id"], second["words"]) == ("-5", "'+49 30")


async def test_the_list_has_the_latest_first_by_pages_and_by_content(intake: Running, shop: str) -> None:
    jobs = [await imported(intake.http, many(n), MAPPING.format(source=shop)) for n in (1, 2, 3)]
    first = (await intake.http.get("/v1/imports?limit=2")).json()
    rest = (await intake.http.get("/v1/imports", params={"limit": 2, "cursor": first["next"]})).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == [job["id"] for job in reversed(jobs)]
    assert rest["next"] is None
    found = (await intake.http.get("/v1/imports", params={"sha256": jobs[1]["sha256"]})).json()
    assert [job["id"] for job in found["items"]] == [jobs[1]["id"]]
    for said in ("x", *FORGED):
        assert (await intake.http.get("/v1/imports", params={"cursor": said})).status_code == 422, said
    assert (await intake.http.get(f"/v1/imports/{uuid4()}")).status_code == 404
    none = await intake.http.get("/v1/imports/%C2%A7")
    assert (none.status_code, none.json()["errors"][0]["message"]) == (422, "Input should be a valid UUID")


async def test_the_same_import_while_unfinished_is_one_job_that_can_be_followed_and_cancelled(
    intake: Running, shop: str
) -> None:
    content, mapping = many(60_000), MAPPING.format(source=shop)
    one, other = await asyncio.gather(*(posted(intake.http, content, mapping) for _ in range(2)))
    identity = one.json()["id"]
    assert other.json()["id"] == identity
    cancelled = await intake.http.delete(f"/v1/imports/{identity}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled"), cancelled.text
    events = (await intake.http.get(f"/v1/imports/{identity}/events")).text
    assert events.startswith("event: end\ndata: {")
    after = (await intake.http.get(f"/v1/imports/{identity}")).json()
    assert after["state"] == "cancelled" and after["rows"] < 60_000
    assert (await intake.http.delete(f"/v1/imports/{identity}")).status_code == 200


async def test_the_file_of_what_is_cancelled_before_anybody_works_on_it_goes_at_once(
    intake: Running, shop: str
) -> None:
    chunks, mapping = intake.service.database["imports.chunks"], MAPPING.format(source=shop)
    worked_on = (await posted(intake.http, many(60_000), mapping)).json()["id"]
    waiting = (await posted(intake.http, many(5), mapping)).json()["id"]
    assert await chunks.count_documents({"files_id": UUID(waiting)}) == 1
    for identity in (waiting, worked_on):
        assert (await intake.http.delete(f"/v1/imports/{identity}")).json()["state"] == "cancelled"
        assert await chunks.count_documents({"files_id": UUID(waiting)}) == 0

    async def nothing_left() -> bool:
        return not await chunks.count_documents({})

    await eventually(nothing_left, what="the file of the import that was worked on")


async def test_what_is_done_cannot_be_cancelled(intake: Running, shop: str) -> None:
    job = await imported(intake.http, many(1), MAPPING.format(source=shop))
    answer = await intake.http.delete(f"/v1/imports/{job['id']}")
    assert (answer.status_code, answer.json()["state"]) == (409, "done")


async def test_events_tell_the_progress_and_end_with_the_job(intake: Running, shop: str) -> None:
    job = (await posted(intake.http, many(30_000), MAPPING.format(source=shop))).json()
    text = (await intake.http.get(f"/v1/imports/{job['id']}/events")).text
    kinds = [line for line in text.splitlines() if line.startswith("event: ")]
    assert kinds[-1] == "event: end" and set(kinds[:-1]) <= {"event: progress"}
    assert '"state":"done"' in text and '"rows":30000' in text


async def test_what_ended_long_ago_is_removed_with_its_file_and_rows(intake: Running, shop: str) -> None:
    rows = [HEADER, ("1", "a", "never")]
    job = await imported(intake.http, csv_of(rows).encode(), MAPPING.format(source=shop))
    database = intake.service.database

    async def file_is_gone() -> bool:
        return not await database["imports.files"].count_documents({})

    await eventually(file_is_gone, what="the file of an import that has ended")
    await database.imports.update_one(
        {}, [{"$set": {"finished_at": {"$subtract": ["$$NOW", 31 * 86_400_000]}}}]
    )
    works = (run.__self__ for run in intake.service.background)  # type: ignore[attr-defined]
    (worker,) = (one for one in works if isinstance(one, Worker))
    await worker.sweep()
    assert (await intake.http.get(f"/v1/imports/{job['id']}")).status_code == 404
    for name in ("imports", "import_rejects", "imports.files", "imports.chunks"):
        assert await database[name].count_documents({}) == 0


async def test_a_start_without_mongodb_takes_what_names_nobody_and_imports_answer_503(
    servers: Servers,
) -> None:
    settings = IntakeSettings(kafka=servers.kafka, mongo="mongodb://127.0.0.1:1/?replicaSet=rs0", log="text")
    app = build(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://cqm") as http,
    ):
        said = {"kind": "complaint", "text": "x"}

        async def taken() -> bool:
            return (await http.post("/v1/feedback", json=said)).status_code == 202

        await eventually(taken, what="Kafka is there")
        person = await http.post("/v1/feedback", json=said | {"customer": {"id": "C-1"}})
        assert (person.status_code, person.headers["retry-after"]) == (503, "2")
        assert "the keys of what people say" in (await http.get("/readyz")).text
        answer = await http.get("/v1/imports")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert (await posted(http, many(1), MAPPING.format(source="x"))).status_code == 503


@pytest.mark.parametrize(
    ("room", "status"),
    [({"imports_of_caller": 2}, 429), ({"imports_waiting": 2}, 503)],
    ids=["of the caller", "in all"],
)
async def test_more_unfinished_imports_than_the_limit_are_refused(
    servers: Servers, prefix: str, shop: str, room: dict[str, int], status: int
) -> None:
    settings = IntakeSettings(
        kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text", **room
    )
    own = MAPPING.format(source=shop)
    async with running_app(build(settings)) as intake:
        jobs = intake.service.database.imports
        for n in range(2):  # as if another replica were at work on them
            held = {"created_at": datetime.now(UTC), "lease_until": datetime(2100, 1, 1, tzinfo=UTC)}
            await jobs.insert_one(
                {"_id": uuid4(), "open": True, "by": "anonymous", "content": str(n), **held}
            )
        refused = await posted(intake.http, many(3), own)
        assert refused.status_code == status and refused.headers["retry-after"] == "60"
        assert refused.json()["errors"] == [
            {"pointer": "", "message": "too many imports are unfinished", "limit": 2}
        ]
        assert await intake.service.database["imports.chunks"].count_documents({}) == 0
        assert (await posted(intake.http, many(3), own, dry_run=True)).status_code == 200
        await jobs.delete_one({"content": "0"})
        assert (await imported(intake.http, many(3), own))["accepted"] == 3
