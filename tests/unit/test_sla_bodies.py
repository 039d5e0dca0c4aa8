"""What is sent to /v1/sla/dry-run and /v1/calendars/preview, and what is refused before it costs much."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.sla.api import preview
from services.sla.app import build
from services.sla.settings import SlaSettings
from shared.calendar import Calendar

CASE = {"priority": "P2", "department": "service", "opened_at": "2026-03-02T09:00:00+08:00"}
CALENDAR = {"time_zone": "Asia/Shanghai", "weekly": {"mon-fri": ["09:00-18:00"]}}
DUE = {"due": {"start": "2026-03-06T17:50:00+08:00", "minutes": 60}}
COUNTRIES = ["CN", "US", "DE", "FR", "GB", "JP", "KR", "IN", "BR", "AU", "NZ"]
"""Each costs milliseconds for every year that is asked for: 200 of them took half a minute."""
DRY_RUN, PREVIEW = "/v1/sla/dry-run", "/v1/calendars/preview"
CUSTOMER, PRODUCT = ("id", "tier", "region"), ("sku", "model", "batch")
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """Never started: these calls need no server."""
    return build(SlaSettings(log="text"))


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://cqm") as client:
        yield client


def asked(*questions: Any, **calendar: Any) -> bytes:
    return json.dumps({"calendar": CALENDAR | calendar, "questions": questions}).encode()


def a_case(**given: Any) -> bytes:
    return json.dumps(CASE | given).encode()


async def test_what_fits_is_answered_inflated_where_it_is_gzip(http: httpx.AsyncClient) -> None:
    answer = await http.post(PREVIEW, content=asked(DUE), headers=JSON)
    assert answer.json() == {"answers": [{"due": "2026-03-09T01:50:00Z"}]}
    packed = await http.post(
        PREVIEW, content=gzip.compress(asked(DUE)), headers=JSON | {"content-encoding": "gzip"}
    )
    assert packed.json() == answer.json()


@pytest.mark.parametrize("path", [DRY_RUN, PREVIEW])
@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        pytest.param(b"", JSON, 422, id="nothing"),
        pytest.param(b"{", JSON, 400, id="half an object"),
        pytest.param(b"\xff\xfe{}", JSON, 400, id="not UTF-8"),
        pytest.param(b"[" * 100_000, JSON, 400, id="nested without end"),
        pytest.param(b'{"minutes": ' + b"9" * 5_000 + b"}", JSON, 400, id="a number of 5,000 digits"),
        pytest.param(b"[]", JSON, 422, id="not an object"),
        pytest.param(b"null", JSON, 422, id="null"),
        pytest.param(b"{}", {}, 415, id="no media type"),
        pytest.param(b"{}", {"content-type": "text/plain"}, 415, id="another media type"),
        pytest.param(b"{}", {"content-type": "application/json; charset=gbk"}, 415, id="another charset"),
        pytest.param(b"{}", JSON | {"content-encoding": "br"}, 415, id="another encoding"),
        pytest.param(b"{}", JSON | {"content-encoding": "gzip"}, 400, id="said to be gzip"),
        pytest.param(b" " * (preview.BODY.bytes + 1), JSON, 413, id="a byte too much"),
        pytest.param(
            gzip.compress(b" " * 50_000_000), JSON | {"content-encoding": "gzip"}, 413, id="a gzip bomb"
        ),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    http: httpx.AsyncClient, path: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await http.post(path, content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "content", "pointer", "limit"),
    [
        (DRY_RUN, a_case(priority="P9"), "/priority", "'P1', 'P2', 'P3' or 'P4'"),
        (DRY_RUN, a_case(department=""), "/department", 1),
        (DRY_RUN, a_case(department="d" * 201), "/department", 200),
        *(
            (DRY_RUN, a_case(**{name: "x" * 201}), f"/{name}", 200)
            for name in ("source", "owner", "supplier_id")
        ),
        (DRY_RUN, a_case(subject="x" * 501), "/subject", 500),
        (DRY_RUN, a_case(category="x" * 390), "/category", 389),
        *((DRY_RUN, a_case(customer={key: "x" * 201}), f"/customer/{key}", 200) for key in CUSTOMER),
        *((DRY_RUN, a_case(product={key: "x" * 201}), f"/product/{key}", 200) for key in PRODUCT),
        (DRY_RUN, a_case(opened_at="2026-03-02T09:00:00"), "/opened_at", None),
        (DRY_RUN, a_case(opened_at="0001-01-01T00:00:00Z"), "/opened_at", None),
        (DRY_RUN, a_case(subject={"$ne": 1}), "/subject", None),
        (DRY_RUN, a_case(status="new"), "/status", None),
        (DRY_RUN, a_case(customer={"name": "x"}), "/customer/name", None),
        (PREVIEW, asked(*[DUE] * (preview.MAX_QUESTIONS + 1)), "/questions", preview.MAX_QUESTIONS),
        (PREVIEW, asked({}), "/questions/0", None),
        (PREVIEW, asked({"due": DUE["due"] | {"minutes": -1}}), "/questions/0/due/minutes", 0),
        (PREVIEW, asked({"due": DUE["due"] | {"minutes": 1e308}}), "/questions/0/due/minutes", None),
        (PREVIEW, asked(DUE, weekly={}), "/questions/0", None),
        (PREVIEW, asked(weekly={"mon": ["18:00-09:00"]}), "/calendar/weekly/mon/0", None),
        (PREVIEW, asked(time_zone="Mars/Olympus"), "/calendar/time_zone", None),
        (PREVIEW, asked(colour="red"), "/calendar/colour", None),
        (PREVIEW, asked(holidays=COUNTRIES), "/calendar/holidays/10", None),
    ],
)
async def test_a_field_that_does_not_fit_is_named_with_its_limit(
    http: httpx.AsyncClient, path: str, content: bytes, pointer: str, limit: int | str | None
) -> None:
    answer = await http.post(path, content=content, headers=JSON)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert (fault["pointer"], fault.get("limit")) == (pointer, limit)


DENSE = {
    "time_zone": "UTC",
    "weekly": {"mon-sun": [f"{hour:02}:00-{hour:02}:40" for hour in range(24)]},
    "breaks": {"mon-sun": [f"{hour:02}:10-{hour:02}:20" for hour in range(23)]},
}
"""47 intervals a day, as many as a calendar has room for."""


def between(first: int, last: int) -> dict[str, Any]:
    return {"elapsed": {"start": f"{first}-06-01T00:00:00Z", "end": f"{last}-06-01T00:00:00Z"}}


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Years that calendars lay out, and at which end."""
    years: list[tuple[str, int]] = []
    for end in ("append", "prepend"):
        lay = getattr(Calendar, f"_{end}")

        def counted(self: Calendar, number: int, lay: Any = lay, end: str = end) -> None:
            years.append((end, number))
            lay(self, number)

        monkeypatch.setattr(Calendar, f"_{end}", counted)
    return years


async def test_no_text_of_a_case_is_without_an_end() -> None:
    """What conditions say about a text is remembered with it: 1.9 MB of `source`, 4,096 times a column."""
    for part in (preview.SomeCase, preview.SomeCustomer, preview.SomeProduct):
        texts = [field for field in part.model_fields.values() if field.annotation is str]
        assert texts and all(any(hasattr(one, "max_length") for one in text.metadata) for text in texts)


async def test_texts_as_long_as_intake_lets_them_be_are_answered(http: httpx.AsyncClient) -> None:
    texts = dict.fromkeys(("source", "owner", "supplier_id", "department"), "x" * 200)
    category = ".".join(["x" * 64] * 6)
    answer = await http.post(
        DRY_RUN, content=a_case(**texts, subject="x" * 500, category=category), headers=JSON
    )
    assert answer.status_code == 200


async def test_no_question_has_a_year_put_before_the_others(
    http: httpx.AsyncClient, laid_out: list[tuple[str, int]]
) -> None:
    """Questions that went backwards from 2198 moved all that was there with each: minutes, and 600 MB."""
    questions = [between(year, year) for year in range(2198, 2168, -1)]
    answer = await http.post(PREVIEW, content=asked(*questions, **DENSE), headers=JSON)
    assert answer.status_code == 200
    assert {end for end, _ in laid_out} == {"append"} and len(laid_out) <= preview.MOST_YEARS + 2


@pytest.mark.parametrize(
    ("questions", "pointer"),
    [
        ([between(2000, 2031)], "/questions"),
        ([between(2031, 2000)], "/questions"),
        ([between(2000, 2000), between(2100, 2100)], "/questions"),
        ([DUE, {"due": {"start": "2026-01-01T00:00:00Z", "minutes": 10_540_800}}], "/questions/1"),
    ],
)
async def test_questions_that_reach_further_than_thirty_years_are_refused(
    http: httpx.AsyncClient, laid_out: list[tuple[str, int]], questions: list[Any], pointer: str
) -> None:
    answer = await http.post(PREVIEW, content=asked(*questions), headers=JSON)
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["pointer"], fault["limit"]) == (422, pointer, 30)
    assert len(laid_out) <= preview.MOST_YEARS + 2


async def test_thirty_years_are_answered(http: httpx.AsyncClient) -> None:
    far = {"due": {"start": "2196-01-01T00:00:00Z", "minutes": 60 * 2000}}
    answer = await http.post(PREVIEW, content=asked(between(2167, 2197), far), headers=JSON)
    assert answer.status_code == 200


async def test_one_preview_runs_at_a_time(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them would meet; one that is alone gives up waiting for the other."""
    both, met = threading.Barrier(2), []

    def meet(calendar: Calendar, questions: Any) -> list[Any]:
        try:
            both.wait(0.2)
            met.append(True)
        except threading.BrokenBarrierError:
            met.append(False)
        return []

    monkeypatch.setattr(preview, "_answers", meet)
    await asyncio.gather(*(http.post(PREVIEW, content=asked(DUE), headers=JSON) for _ in range(2)))
    assert met == [False, False]


async def test_the_limit_is_said(http: httpx.AsyncClient) -> None:
    answer = await http.post(DRY_RUN, content=b" " * (preview.BODY.bytes + 1), headers=JSON)
    assert answer.json()["limit"] == preview.BODY.bytes


async def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "BODY", replace(preview.BODY, seconds=0.01))
    transport = httpx.ASGITransport(app=build(SlaSettings(log="text")), raise_app_exceptions=False)

    async def stalling() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with httpx.AsyncClient(transport=transport, base_url="http://cqm") as client:
        answer = await client.post(DRY_RUN, content=stalling(), headers=JSON)
    assert answer.status_code == 408


async def test_nothing_is_read_of_a_caller_who_may_not_enter(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text("keys: {}")
    app = build(SlaSettings(log="text", auth="keys", keys=tmp_path / "keys.yaml"))

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://cqm") as client:
        assert (await client.post(DRY_RUN, content=unread(), headers=JSON)).status_code == 401
