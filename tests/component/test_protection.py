"""What intake does with those who send too much, too slowly, too often or not HTTP at all, and when Kafka is
away: over real sockets, on a real uvicorn and a real Kafka."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deploy.local.servers import start_servers
from services.intake.app import build
from services.intake.settings import IntakeSettings
from shared.admin import ensure_topics
from shared.api_keys import KeyEntry, Parts, digest_of, new_parts, write_keys
from shared.http_body import MAX_RATIO
from shared.http_protocol import MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from tests.support.raw_http import Answer, Listening, listening
from tests.support.servers import Servers
from tests.support.spine import eventually

HOST = b"Host: cqm\r\n"
ONE = json.dumps({"kind": "complaint", "text": "broken"}).encode()
HEAD_SECONDS, BODY_SECONDS = 0.5, 0.5


def get(headers: bytes = HOST, target: bytes = b"/livez") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + headers + b"\r\n"


def post(body: bytes, headers: bytes = b"", path: bytes = b"/v1/feedback") -> bytes:
    said = HOST + b"Content-Type: application/json\r\n" + headers
    return b"POST " + path + b" HTTP/1.1\r\n" + said + b"Content-Length: %d\r\n\r\n" % len(body) + body


def filled(count: int, size: int = 1) -> bytes:
    """So many header fields, Host among them."""
    return HOST + b"".join(b"x-%d: " % n + b"v" * size + b"\r\n" for n in range(count - 1))


@pytest.fixture(scope="module")
async def intake(servers: Servers) -> AsyncIterator[Listening]:
    settings = IntakeSettings(
        kafka=servers.kafka,
        mongo=servers.mongo,
        log="text",
        head_seconds=HEAD_SECONDS,
        body_seconds=BODY_SECONDS,
    )
    async with listening(build(settings), settings) as running:
        yield running


# --- heads -------------------------------------------------------------------------------------------

HEADS: dict[str, tuple[bytes, int, int | None]] = {
    "101 fields": (get(filled(MAX_HEADERS + 1)), 431, MAX_HEADERS),
    "5,000 fields": (get(filled(5000)), 431, MAX_HEADERS),
    "33 KiB in one field": (get(HOST + b"x: " + b"v" * 33 * 1024 + b"\r\n"), 431, MAX_HEADER_BYTES),
    "33 KiB in many": (get(filled(70, 500)), 431, MAX_HEADER_BYTES),
    "a path of 17 KiB": (get(target=b"/" + b"a" * 17 * 1024), 414, MAX_TARGET_BYTES),
    "a query of 17 KiB": (get(target=b"/livez?" + b"a" * 17 * 1024), 414, MAX_TARGET_BYTES),
    "a field of 40 MB that never ends": (b"GET / HTTP/1.1\r\nx: " + b"v" * 40_000_000, 431, MAX_HEADER_BYTES),
    "a path of 40 MB that never ends": (b"GET /" + b"a" * 40_000_000, 414, MAX_TARGET_BYTES),
    "Content-Length with Transfer-Encoding": (post(b"", b"Transfer-Encoding: chunked\r\n"), 400, None),
    "Transfer-Encoding with Content-Length": (
        get(HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 400, None,
    ),
    "two lengths": (post(ONE, b"Content-Length: 3\r\n"), 400, None),
    "two equal lengths": (post(ONE, b"Content-Length: %d\r\n" % len(ONE)), 400, None),
    "a list of lengths": (get(HOST + b"Content-Length: 3, 3\r\n"), 400, None),
    "a negative length": (get(HOST + b"Content-Length: -3\r\n"), 400, None),
    "a length in words": (get(HOST + b"Content-Length: three\r\n"), 400, None),
    "chunked not last": (get(HOST + b"Transfer-Encoding: chunked, gzip\r\n"), 400, None),
    "chunked with blanks": (get(HOST + b"Transfer-Encoding : chunked\r\n"), 400, None),
    "a field that goes on in the next line": (get(HOST + b"x: 1\r\n y\r\n"), 400, None),
    "NUL in a field": (get(HOST + b"x: a\0b\r\n"), 400, None),
    "gzip before chunked": (get(HOST + b"Transfer-Encoding: gzip, chunked\r\n"), 400, None),
    "two hosts": (get(HOST + HOST), 400, None),
    "no host": (get(b"x: y\r\n"), 400, None),
    "two media types": (post(ONE, b"Content-Type: text/plain\r\n"), 400, None),
    "two keys": (get(HOST + b"Authorization: Bearer a\r\nauthorization: Bearer b\r\n"), 400, None),
    "a tunnel": (b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n", 400, None),
    "no HTTP": (b"hello\r\n\r\n", 400, None),
    "TLS": (bytes.fromhex("1603010200010001fc0303") + bytes(100), 400, None),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, None),
    "a chunk that is none": (
        post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"zz\r\n", 400, None,
    ),
}  # fmt: skip


async def sent_to_the_end(intake: Listening, data: bytes) -> Answer:
    """As much as is taken; who answers before the end may close the way for the rest."""
    async with intake.connection() as connection:
        sending = asyncio.create_task(connection.send(data))
        try:
            return await connection.answer()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize(("data", "status", "limit"), HEADS.values(), ids=HEADS.keys())
async def test_a_head_beyond_the_limits_or_senseless_ends_the_connection_with_a_problem(
    intake: Listening, data: bytes, status: int, limit: int | None
) -> None:
    answer = await sent_to_the_end(intake, data)
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert answer.headers["content-type"] == "application/problem+json"
    problem: Any = answer.json()
    assert problem["status"] == status
    assert (problem["errors"][0]["limit"] if limit else problem.get("errors")) == limit


@pytest.mark.parametrize(
    "data",
    [
        get(filled(MAX_HEADERS)),
        get(HOST + b"x: " + b"v" * (MAX_HEADER_BYTES - 20) + b"\r\n"),
        get(target=b"/livez?" + b"a" * (MAX_TARGET_BYTES - 10)),
    ],
    ids=["100 fields", "32 KiB of fields", "16 KiB of query"],
)
async def test_a_head_within_the_limits_is_read(intake: Listening, data: bytes) -> None:
    assert (await intake.exchange(data)).status == 200


HTTP_2 = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("wish", [HTTP_2, b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"])
@pytest.mark.parametrize("pause", [False, True])
async def test_who_would_rather_speak_another_protocol_is_taken_in_this_one(
    intake: Listening, wish: bytes, pause: bool
) -> None:
    """The parser of uvicorn takes such a post for one without a body."""
    data = post(ONE, wish)
    async with intake.connection() as connection:
        for piece in (data[:-5], data[-5:]) if pause else (data,):
            await connection.send(piece)
            await asyncio.sleep(0.05 if pause else 0)  # in packets of their own
        assert (await connection.answer()).status == 202
        await connection.send(post(ONE))
        assert (await connection.answer()).status == 202


async def test_requests_that_are_sent_ahead_and_in_pieces_are_all_answered(intake: Listening) -> None:
    async with intake.connection() as connection:
        for piece in (get() + post(ONE) + get()[:10], get()[10:]):
            await connection.send(piece)
        assert [(await connection.answer()).status for _ in range(3)] == [200, 202, 200]


async def test_who_waits_for_leave_to_send_a_body_gets_it(intake: Listening) -> None:
    async with intake.connection() as connection:
        whole = post(ONE, b"Expect: 100-continue\r\n")
        await connection.send(whole[: -len(ONE)])
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(ONE)
        assert (await connection.answer()).status == 202


SLOW_HEADS = {"nothing": b"", "a letter": b"G", "half a head": get()[:-2], "only line breaks": b"\r\n\r\n"}


@pytest.mark.parametrize("data", SLOW_HEADS.values(), ids=SLOW_HEADS.keys())
@pytest.mark.parametrize("before", [b"", get()], ids=["first", "after an answer"])
async def test_a_connection_whose_head_does_not_come_is_closed(
    intake: Listening, before: bytes, data: bytes
) -> None:
    """After an answer, nothing at all is the keep-alive of uvicorn: it closes as well."""
    async with intake.connection() as connection:
        if before:
            await connection.send(before)
            await connection.answer()
        await connection.send(data)
        assert await connection.is_closed()


async def test_a_head_that_comes_a_letter_at_a_time_is_closed_all_the_same(intake: Listening) -> None:
    async with intake.connection() as connection:
        closed = asyncio.create_task(connection.is_closed())
        for letter in b"GET /livez HTTP/1.1\r\nx: " + b"v" * 10_000:
            if closed.done():
                break
            connection.writer.write(bytes([letter]))
            await asyncio.wait([closed], timeout=HEAD_SECONDS / 20)
        assert closed.done() and closed.result()


async def test_trailers_without_end_are_not_kept(intake: Listening) -> None:
    head = post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunks = b"%x\r\n" % len(ONE) + ONE + b"\r\n0\r\nx: "
    answer = await sent_to_the_end(intake, head + chunks + b"v" * 40_000_000)
    assert (answer.status, answer.headers["connection"]) == (431, "close")


async def test_a_head_that_is_refused_is_counted(intake: Listening) -> None:
    await intake.exchange(get(filled(200)))
    async with httpx.AsyncClient(base_url=intake.url, trust_env=False) as http:
        page = (await http.get("/metrics")).text
    assert 'cqm_http_refused_total{reason="headers_too_large"}' in page


# --- bodies ------------------------------------------------------------------------------------------


async def test_a_body_that_does_not_come_is_408_and_the_connection_is_closed(intake: Listening) -> None:
    async with intake.connection() as connection:
        await connection.send(post(ONE)[:-5])
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await connection.is_closed()


@pytest.mark.parametrize("path", [b"/v1/feedback", b"/v1/feedback/batch"])
async def test_a_gzip_bomb_is_stopped_by_its_ratio(intake: Listening, path: bytes) -> None:
    bomb = gzip.compress(bytes(1_800_000))
    answer = await intake.exchange(post(bomb, b"Content-Encoding: gzip\r\n", path))
    problem = answer.json()
    assert (answer.status, problem["limit"], len(bomb) * MAX_RATIO < 1_800_000) == (413, MAX_RATIO, True)


async def test_a_gzip_bomb_is_stopped_by_its_size(intake: Listening) -> None:
    dense = gzip.compress(random.Random(1).randbytes(60_000) * 50, 9)
    answer = await intake.exchange(post(dense, b"Content-Encoding: gzip\r\n"))
    assert (answer.status, answer.json()["limit"]) == (413, 2 * 1024 * 1024)


async def test_text_that_packs_well_is_no_bomb(intake: Listening) -> None:
    items = [{"kind": "review", "text": f"{n} arrived broken"} for n in range(9_000)]
    body = gzip.compress(json.dumps(items).encode())
    answer = await intake.exchange(
        post(body, b"Content-Encoding: gzip\r\n", b"/v1/feedback/batch?items=rejected")
    )
    assert answer.status == 202


# --- callers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.yaml"
    write_keys(path, {})
    return path


@pytest.fixture(scope="module")
async def guarded(servers: Servers, file: Path) -> AsyncIterator[Listening]:
    settings = IntakeSettings(kafka=servers.kafka, mongo=servers.mongo, log="text", auth="keys", keys=file)
    async with listening(build(settings), settings) as running:
        yield running


async def key_of(guarded: Listening, file: Path, **changes: Any) -> Parts:
    """A key that is in force."""
    key = new_parts()
    given = {"name": "shop", "sha256": digest_of(key), "scopes": ["feedback:write"]}
    entry = KeyEntry.model_validate(given | {"created": datetime.now(UTC)} | changes)
    write_keys(file, {key.id: entry})

    async def known() -> bool:
        async with client(guarded, key) as http:
            return (await http.post("/v1/activity")).status_code == 403

    await eventually(known, within=5, what="the key in force")
    return key


def client(guarded: Listening, key: Parts) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=guarded.url, headers=headers, trust_env=False)


async def test_a_key_is_let_in_for_its_source_only(guarded: Listening, file: Path) -> None:
    key = await key_of(guarded, file, source="shop-cn")
    async with client(guarded, key) as http:
        own = await http.post("/v1/feedback", json={"kind": "call", "text": "x"})
        named = await http.post("/v1/feedback", json={"kind": "call", "text": "x", "source": "shop-cn"})
        other = await http.post("/v1/feedback", json={"kind": "call", "text": "x", "source": "crm"})
        page = (await http.get("/metrics")).text
    assert (own.status_code, named.status_code, other.status_code) == (202, 202, 422)
    assert other.json()["errors"][0]["pointer"] == "/source" and "crm" not in other.text
    labels = 'door="single",kind_of_signal="feedback",source="shop-cn"'
    assert f"cqm_intake_accepted_total{{{labels}}} 2.0" in page
    assert 'cqm_intake_rejected_total{door="single",reason="invalid",source="shop-cn"} 1.0' in page
    assert 'cqm_intake_in_flight_bytes{door="single",source="shop-cn"} 0.0' in page


async def test_an_idempotency_key_is_its_callers_own(guarded: Listening, file: Path) -> None:
    """Two that number from 1 and name no source took each other's place; a new API key of one goes on."""
    said = {"kind": "call", "text": "x"}
    ids: dict[str, str] = {}
    for caller, changes in {
        "shop": {},
        "shop, once more": {},
        "desk": {"name": "desk"},
        "fixed": {"source": "crm"},
        "fixed, another's": {"source": "crm", "name": "desk"},
    }.items():
        async with client(guarded, await key_of(guarded, file, **changes)) as http:
            answer = await http.post("/v1/feedback", json=said, headers={"Idempotency-Key": "1"})
        ids[caller] = answer.json()["id"]
    assert ids["shop"] == ids["shop, once more"] and ids["fixed"] == ids["fixed, another's"]
    assert len(set(ids.values())) == 3


async def test_without_a_key_nothing_of_the_body_is_read(guarded: Listening) -> None:
    async with guarded.connection() as connection:
        await connection.send(post(ONE)[: -len(ONE)])
        answer = await connection.answer()
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="cqm"')


async def test_a_revoked_key_is_out_within_a_second_without_a_restart(guarded: Listening, file: Path) -> None:
    key = await key_of(guarded, file)
    write_keys(file, {})
    began = asyncio.get_running_loop().time()

    async def refused() -> bool:
        async with client(guarded, key) as http:
            return (await http.post("/v1/activity")).status_code == 401

    await eventually(refused, within=5)
    assert asyncio.get_running_loop().time() - began < 2, "looked at twice a second"


async def test_who_comes_too_often_is_told_what_is_left_and_when_to_come_again(
    guarded: Listening, file: Path
) -> None:
    key = await key_of(guarded, file, rate="1/h", burst=3)
    async with client(guarded, key) as http:
        answers = [await http.post("/v1/feedback", json={"kind": "call", "text": "x"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {"3"}
    assert answers[0].headers["ratelimit-policy"] == "3;w=10800"
    assert 3590 <= int(answers[3].headers["retry-after"]) <= 3600
    assert answers[3].json()["title"] == "Too Many Requests"


async def test_items_of_a_batch_count_and_the_next_waits_until_they_are_paid(
    guarded: Listening, file: Path
) -> None:
    key = await key_of(guarded, file, rate="1/s", burst=10)
    items = [{"kind": "call", "text": f"{n}"} for n in range(500)]
    async with client(guarded, key) as http:
        first = await http.post("/v1/feedback/batch?items=rejected", json=items)
        second = await http.post("/v1/feedback/batch?items=rejected", json=items)
    assert (first.status_code, first.headers["ratelimit-remaining"]) == (202, "0")
    assert second.status_code == 429 and 480 < int(second.headers["retry-after"]) <= 491


# --- Kafka away --------------------------------------------------------------------------------------


async def posted(http: httpx.AsyncClient, text: str) -> tuple[int, float, str]:
    """Status, seconds, Retry-After."""
    began = asyncio.get_running_loop().time()
    answer = await http.post("/v1/feedback", json={"kind": "call", "text": text})
    seconds = asyncio.get_running_loop().time() - began
    return answer.status_code, seconds, answer.headers.get("retry-after", "")


async def test_while_kafka_is_away_the_answer_is_503_within_two_seconds_in_bounded_memory(
    tmp_path: Path,
) -> None:
    """A broker that is stopped, not killed: its connections stay open and nothing comes from them."""
    own = await start_servers(tmp_path)
    kafka = own.local_kafka.child
    try:
        await ensure_topics(own.kafka)
        settings = IntakeSettings(kafka=own.kafka, mongo=own.mongo, log="text")
        async with (
            listening(build(settings), settings) as intake,
            httpx.AsyncClient(base_url=intake.url, trust_env=False, timeout=30) as http,
        ):

            async def taken() -> bool:
                return (await posted(http, "x"))[0] == 202

            await eventually(taken, what="a broker that is warm")
            before = psutil.Process().memory_info().rss
            kafka.signal(signal.SIGSTOP)
            alone = [await posted(http, "x") for _ in range(3)]
            crowds = [
                await asyncio.gather(*(posted(http, "x" * 20_000) for _ in range(80))) for _ in range(3)
            ]
            assert {(status, again) for status, _, again in alone} == {(503, "2")}
            told = {(status, again) for crowd in crowds for status, _, again in crowd}
            assert told <= {(503, "2"), (503, "1")}, "1 is for those who are not let in to wait"
            assert min(seconds for _, seconds, _ in alone) < 2.0, "the processor is shared with other tests"
            assert psutil.Process().memory_info().rss - before < 64 * 1024 * 1024
            kafka.signal(signal.SIGCONT)
            began = asyncio.get_running_loop().time()
            await eventually(taken, within=20, what="202 again")
            assert asyncio.get_running_loop().time() - began < 5.0
    finally:
        kafka.signal(signal.SIGCONT)
        await own.stop()
