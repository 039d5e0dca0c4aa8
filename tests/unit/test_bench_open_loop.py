"""The generator of the overload: its moments are fixed, it waits for no answer, and hides no waiting."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench.open_loop import OpenLoop, arrivals
from tests.bench.soak import slope

YES = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"
LATER = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}"
SILENT = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


@dataclass
class Server:
    """Answers nobody before `patience` requests have come; then everybody, in the order of `answers`."""

    patience: int
    answers: tuple[bytes, ...] = (YES,)
    came: int = 0
    open: int = 0
    most: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                number, self.came = self.came, self.came + 1
                if self.came >= self.patience:
                    self.enough.set()
                await self.enough.wait()
                answer = self.answers[number % len(self.answers)]
                writer.write(answer)
                if b"connection: close" in answer:
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[str]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def test_moments_are_the_same_for_the_same_seed_and_as_many_as_the_rate_says() -> None:
    moments = arrivals(1000, 10, seed=3)
    assert moments == arrivals(1000, 10, seed=3) != arrivals(1000, 10, seed=4)
    assert 9_500 < len(moments) < 10_500
    assert all(0 < one <= other < 10 for one, other in pairwise(moments))


def test_gaps_are_those_of_a_poisson_process() -> None:
    gaps = [other - one for one, other in pairwise(arrivals(1000, 60, seed=5))]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance == pytest.approx(mean**2, rel=0.05)  # a clock's would be 0


async def test_posts_go_out_while_earlier_ones_have_no_answer() -> None:
    server = Server(patience=20)
    async with running(server) as url, OpenLoop(url, "/", {}, connections=20) as loop:
        journal = await loop.offer([b"{}"] * 20, [n / 10_000 for n in range(20)])
    assert journal.statuses == {202: 20}


async def test_who_waits_for_a_connection_has_waited_since_the_moment_that_was_meant() -> None:
    server = Server(patience=3)
    async with running(server) as url, OpenLoop(url, "/", {}, connections=3) as loop:
        journal = await loop.offer([b"{}"] * 30, [0.0] * 30)
    assert server.most == 3
    first, last = journal.posts[0], journal.posts[-1]
    assert last.sent >= first.answered
    assert last.seconds == last.answered
    assert journal.statuses == {202: 30}


async def test_refusals_are_told_from_silent_ones() -> None:
    server = Server(patience=1, answers=(YES, LATER, SILENT))
    async with running(server) as url, OpenLoop(url, "/", {}, connections=1) as loop:
        journal = await loop.offer([b"{}"] * 9, [0.0] * 9)
    assert journal.statuses == {202: 3, 503: 6}
    assert [post.retry_after for post in journal.refused] == ["1", ""] * 3
    assert len(journal.silent) == 3


async def test_no_answer_is_no_status() -> None:
    server = Server(patience=1, answers=(b"connection: close",))
    async with running(server) as url, OpenLoop(url, "/", {}, connections=2) as loop:
        journal = await loop.offer([b"{}"] * 4, [0.0] * 4)
    assert journal.statuses == {0: 4}


async def test_the_journal_is_written_with_every_moment(tmp_path: Path) -> None:
    async with running(Server(patience=1)) as url, OpenLoop(url, "/", {}, connections=2) as loop:
        journal = await loop.offer([b"{}"] * 5, [0.0, 0.001, 0.002, 0.003, 0.004])
    journal.write(tmp_path / "journal.csv")
    with (tmp_path / "journal.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["intended"]) for line in lines] == [post.intended for post in journal.posts]
    assert all(
        float(line["intended"]) <= float(line["seen"]) <= float(line["sent"]) <= float(line["answered"])
        for line in lines
    )


def test_a_slope_is_that_of_the_nearest_straight_line() -> None:
    assert slope([10.0, 20.0, 30.0], [5.0, 5.0, 5.0]) == pytest.approx(0.0)
    assert slope([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0]) == pytest.approx(2.0)
    assert slope([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 1.0]) == pytest.approx(0.2)
    assert slope([1.0], [4.0]) == 0.0
