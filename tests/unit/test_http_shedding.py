"""A service that is full refuses posts before anything is made of them, and keeps the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send

from shared.http_protocol import protocol
from tests.support.raw_http import Listening, serving
from tests.support.spine import eventually

SMALL = b"POST /v1/feedback HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"


@dataclass
class House:
    """An application that is full when the test says so; it answers when it may."""

    full: bool = True
    served: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def is_full(self, under_way: int) -> bool:
        self.told.append(under_way)
        return self.full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.served.append(scope["path"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await self.may_answer.wait()
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def open_house(house: House) -> AsyncIterator[Listening]:
    house.may_answer.set()
    options = {
        "http": protocol(10.0, house.is_full), "loop": "none", "lifespan": "off", "ws": "none",
        "log_config": None, "access_log": False,
    }  # fmt: skip
    async with serving(house, options) as where:
        yield where


async def test_a_post_is_told_to_come_again_and_the_connection_serves_the_next() -> None:
    house = House()
    async with open_house(house) as where, where.connection() as connection:
        await connection.send(SMALL)
        refused = await connection.answer()
        house.full = False
        await connection.send(SMALL)
        assert (await connection.answer()).status == 200
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["status"] == 503
    assert (house.served, house.bodies) == (["/v1/feedback"], [b"body"])


async def test_a_body_in_pieces_is_no_part_of_the_next_request() -> None:
    house = House()
    async with open_house(house) as where, where.connection() as connection:
        for piece in (SMALL[:-4], SMALL[-4:-1], SMALL[-1:]):
            await connection.send(piece)
            await asyncio.sleep(0)
        assert (await connection.answer()).status == 503
        house.full = False
        await connection.send(SMALL)
        assert (await connection.answer()).status == 200
    assert house.bodies == [b"body"]


@pytest.mark.parametrize(
    "head", [b"GET /v1/feedback/x", b"GET /livez", b"GET /metrics", b"POST /forms/complaint"]
)
async def test_probes_reads_and_pages_are_served_all_the_same(head: bytes) -> None:
    house = House()
    async with open_house(house) as where:
        answer = await where.exchange(head + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert answer.status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /v1/imports HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\nbegin",
        b"POST /v1/feedback HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/feedback HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        b"POST /v1/feedback HTTP/1.0\r\nHost: a\r\nContent-Length: 4\r\n\r\n",
        b"POST /v1/feedback HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n",
    ],
    ids=["a large body", "one of unknown size", "one that waits to be asked for", "HTTP/1.0", "close"],
)
async def test_who_has_much_to_say_is_told_before_and_the_connection_ends(raw: bytes) -> None:
    house = House()
    async with open_house(house) as where, where.connection() as connection:
        await connection.send(raw)
        refused = await connection.answer()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["connection"] == "close"
        assert await connection.is_closed()
    assert house.served == []


async def test_requests_in_a_row_are_refused_in_a_row() -> None:
    house = House()
    async with open_house(house) as where, where.connection() as connection:
        await connection.send(SMALL * 3)
        assert [(await connection.answer()).status for _ in range(3)] == [503] * 3


async def test_who_only_watches_or_has_not_said_all_takes_nobodys_place() -> None:
    """Else a few hundred slow bodies, or people who look at a progress, would shut the door for all."""
    house = House(full=False)
    async with open_house(house) as where, AsyncExitStack() as connections:
        house.may_answer.clear()
        for said in (SMALL[:-1], SMALL[:-4], b"GET /v1/imports/1/events HTTP/1.1\r\nHost: a\r\n\r\n"):
            slow = await connections.enter_async_context(where.connection())
            await slow.send(said)
        await eventually(lambda: len(house.served) == 3, what="served")
        post = await connections.enter_async_context(where.connection())
        await post.send(SMALL)
        await eventually(lambda: b"body" in house.bodies, what="read")
        last = await connections.enter_async_context(where.connection())
        await last.send(SMALL)
        await eventually(lambda: len(house.told) == 5, what="asked")
        assert house.told[3:] == [0, 1]
        house.may_answer.set()
        assert [(await one.answer()).status for one in (post, last)] == [200, 200]


async def test_who_hangs_up_is_counted_until_what_they_asked_for_is_done() -> None:
    house = House(full=False)
    async with open_house(house) as where:
        house.may_answer.clear()
        async with where.connection() as gone:
            await gone.send(SMALL)
            await eventually(lambda: bool(house.bodies), what="read")
        async with where.connection() as connection:
            await connection.send(SMALL)
            await eventually(lambda: len(house.told) == 2, what="asked")
            house.may_answer.set()
            assert (await connection.answer()).status == 200
    assert house.told == [0, 1]


async def test_what_stands_behind_another_is_answered_behind_it() -> None:
    house = House(full=False)
    async with open_house(house) as where, where.connection() as connection:
        house.may_answer.clear()
        await connection.send(SMALL)
        await eventually(lambda: bool(house.bodies), what="served")
        house.full = True
        await connection.send(SMALL)
        await eventually(lambda: house.told == [0, 1], what="read")
        house.may_answer.set()
        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
