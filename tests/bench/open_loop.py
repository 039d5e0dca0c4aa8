"""An open loop: posts at moments fixed beforehand, whatever becomes of those before them.

Whoever waits for an answer before asking again asks a slow server less often, and leaves out of its latencies
all the time that others would have waited (coordinated omission). Here the moments are drawn before the run,
none is skipped, and a latency begins at the moment that was meant.
"""

from __future__ import annotations

import asyncio
import csv
import os
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from tests.bench.connection import Connection, request

ADMITTED = 202
OVERLOADED = frozenset((429, 503))
ANSWER_SECONDS = 20.0
"""After the last moment, until what has no answer counts as having none."""
NONE = 0
"""In the place of a status: no answer."""


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments of a Poisson process of `rate` a second, in seconds from the beginning."""
    chance, at, moments = random.Random(seed), 0.0, []
    while (at := at + chance.expovariate(rate)) < seconds:
        moments.append(at)
    return moments


def go_first() -> None:
    """The load would come from other machines: where the system allows it, who makes it waits for nobody."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


@dataclass(slots=True)
class Post:
    """A line of the journal, in seconds from the beginning of the run: when it was to be sent, when the
    generator saw to it, when a connection was free for it, and when it was answered."""

    intended: float
    seen: float = 0.0
    sent: float = 0.0
    answered: float = 0.0
    status: int = NONE
    retry_after: str = ""
    body: bytes = b""
    """Of the answer; not written with the journal."""

    @property
    def seconds(self) -> float:
        return self.answered - self.intended


@dataclass(frozen=True, slots=True)
class Journal:
    posts: Sequence[Post]
    began: float
    """By time.perf_counter."""

    @property
    def admitted(self) -> list[Post]:
        return [post for post in self.posts if post.status == ADMITTED]

    @property
    def refused(self) -> list[Post]:
        return [post for post in self.posts if post.status in OVERLOADED]

    @property
    def silent(self) -> list[Post]:
        """Refused without saying when to come again."""
        return [post for post in self.refused if not post.retry_after.isdecimal()]

    @property
    def statuses(self) -> dict[int, int]:
        return dict(sorted(Counter(post.status for post in self.posts).items()))

    @property
    def last_answer(self) -> float:
        """By time.perf_counter."""
        return self.began + max((post.answered for post in self.posts), default=0.0)

    def write(self, path: Path) -> None:
        """As CSV, one line a post."""
        names = [field.name for field in fields(Post) if field.name != "body"]
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(names)
            lines.writerows([getattr(post, name) for name in names] for post in self.posts)


class _Told(Connection):
    """Knows of Retry-After, and that a server which says `Connection: close` means it."""

    def __init__(self) -> None:
        super().__init__()
        self.retry_after = ""

    def on_message_begin(self) -> None:
        self.retry_after = ""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self._parser.should_keep_alive():
            self.close()


class OpenLoop:
    """Posts to one URL over at most `connections`; who finds none free waits for one, in order, and its
    latency goes on meanwhile."""

    def __init__(self, url: str, path: str, headers: Mapping[str, str], connections: int) -> None:
        self._url, self._path, self._headers = url, path, headers
        self._room = asyncio.Semaphore(connections)
        self._free: list[_Told] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        for connection in self._free:
            connection.close()

    async def offer(self, bodies: Sequence[bytes], moments: Sequence[float]) -> Journal:
        """Each body at its moment. Returns when all are answered, or ANSWER_SECONDS after the last moment."""
        posts = [Post(moment) for moment in moments]
        ready = [request(self._path, body, self._headers) for body in bodies]
        under_way: set[asyncio.Task[None]] = set()
        began = time.perf_counter()
        for post, raw in zip(posts, ready, strict=True):
            if (early := began + post.intended - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            post.seen = time.perf_counter() - began
            task = asyncio.create_task(self._post(post, raw, began))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            _, silent = await asyncio.wait(under_way, timeout=ANSWER_SECONDS)
            for task in silent:
                task.cancel()
            await asyncio.gather(*silent, return_exceptions=True)
        return Journal(posts, began)

    async def _post(self, post: Post, raw: bytes, began: float) -> None:
        async with self._room:
            post.sent = time.perf_counter() - began
            try:
                connection = await self._ask(post, raw)
            except OSError:
                return
            finally:
                post.answered = time.perf_counter() - began
            post.retry_after = connection.retry_after
            self._free.append(connection)

    async def _ask(self, post: Post, raw: bytes) -> _Told:
        """Raises OSError without an answer. A connection on which the server hangs up while it is idle may
        meet a request on its way: the same identity on a new one is the same feedback."""
        while self._free:
            if not (connection := self._free.pop()).is_open:
                continue
            try:
                post.status, post.body = await connection.ask(raw)
                return connection
            except ConnectionError:
                break
        connection = await _Told.to(self._url)
        post.status, post.body = await connection.ask(raw)
        return connection
