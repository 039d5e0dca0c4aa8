"""The generation of figures that this replica writes and answers from, and the move to another one.

What writes is moved between two transactions: all partitions are let go of, and claimed anew by the fences
of the other generation, at the positions where those stand. What reads is built anew for each generation,
so a request that has begun ends with the one that it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from fastapi import APIRouter, FastAPI

from services.analytics.freshness import Freshness
from services.analytics.store.compaction import Compactor
from services.analytics.store.facts import FactStore
from services.analytics.store.positions import PositionStore
from shared.errors import TransientError
from shared.generations import Generations
from shared.mongo import Database
from shared.service import Service

log = structlog.get_logger("cqm.generation")

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Reading:
    """What reads one generation, and what compacts it."""

    router: APIRouter
    positions: PositionStore
    compactor: Compactor
    prepare: Sequence[Callable[[], Awaitable[None]]]


@dataclass
class Current:
    """`fixed` is the number of a generation that is being built: it is nobody's but this process's."""

    service: Service
    facts: FactStore
    freshness: Freshness
    generations: Generations
    reading_of: Callable[[Database], Reading]
    fixed: int | None = None

    def __post_init__(self) -> None:
        self.number = self.fixed or 1
        self.app: FastAPI | None = None
        self.now = self.reading_of(self.generations.database(self.number))

    async def take_up(self) -> None:
        """Before the service starts: the generation that is live now."""
        self._use(self.fixed or (await self.generations.state()).live)
        await self._prepare()

    async def watch(self) -> None:
        """Follow the switch of `cqm rebuild analytics`, in the background of a service."""
        while self.fixed is None:
            await asyncio.sleep(LOOK_SECONDS)  # the pace of looking
            live = (await self.generations.state()).live
            if live != self.number:
                log.info("moving_to_another_generation", old=self.number, new=live)
                await self.service.move(partial(self._use, live))
                await self._prepare()

    async def compact(self) -> None:
        """Keep what is written compacted, in the background of a service."""
        while True:
            await asyncio.sleep(Compactor.PAUSE_SECONDS)  # the pace of the work, not a wait for anybody
            with suppress(TransientError):
                await self.now.compactor.step()

    def _use(self, number: int) -> None:
        """At once, between two transactions and two requests."""
        database, old = self.generations.database(number), self.now.router.routes
        if number != self.number:
            self.number, self.now = number, self.reading_of(database)
        self.facts.database = database
        self.freshness.positions = self.now.positions
        for stream in self.service.streams:
            stream.processor.exactly_once.database = database
        if self.app is not None:
            routes = self.app.router.routes
            routes[:] = [*self.now.router.routes, *(one for one in routes if one not in old)]

    async def _prepare(self) -> None:
        for step in (self.facts.prepare, *self.now.prepare):
            await step()
