"""How far the figures are complete, for answers and for a metric (domain/freshness.py has the rule)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from services.analytics.domain.freshness import Look, complete_up_to
from services.analytics.log import Log
from services.analytics.store.positions import TOPICS, PositionStore
from shared.clock import Clock
from shared.observability import gauge

FRESHNESS = gauge(
    "cqm_analytics_freshness_seconds",
    "Age of the moment up to which all partitions are counted; +Inf while of one that has records none is",
)
EVERY_SECONDS = 1.0
KEPT = 300
"""Looks: who is further behind than five minutes is told by the events themselves."""


@dataclass
class Freshness:
    """Looks at the log once a second, in every replica: whose work a partition is does not matter.

    `positions` are those of the generation that is read.
    """

    log: Log
    clock: Clock
    positions: PositionStore | None = None
    _looks: deque[Look] = field(default_factory=lambda: deque(maxlen=KEPT))

    async def run(self) -> None:
        """For ever, in the background of a service."""
        async with aclosing(self.log.looks(sorted(TOPICS), self.clock)) as looks:
            async for look in looks:
                self._looks.append(look)
                as_of = await self.as_of(TOPICS)
                FRESHNESS.set(inf if as_of is None else (self.clock.now() - as_of).total_seconds())
                await asyncio.sleep(EVERY_SECONDS)

    async def as_of(self, topics: Collection[str]) -> datetime | None:
        """The moment up to which all partitions of the topics are in what is counted now."""
        reached = await self.positions.reached() if self.positions else {}
        return complete_up_to(topics, self._looks, reached)
