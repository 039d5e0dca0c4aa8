"""Intake's doors in one process, with a shelf where Kafka would be: for the rules that need no Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx

from services.intake.api import Budget, Door, Outlet, event_routes, routes
from shared.clock import FixedClock
from shared.codec import Outgoing
from shared.errors import Unavailable
from shared.sealing import Seals
from shared.service import Service, create_app
from shared.settings import Settings
from tests.support.seals import SEALS

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)


class Shelf:
    """Stands where the publisher does: keeps what it is given, when `open`."""

    def __init__(self) -> None:
        self.groups: list[list[Outgoing]] = []
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.failing: Exception | None = None

    @property
    def latest(self) -> list[Outgoing]:
        """What was published last."""
        return self.groups[-1]

    async def publish(self, records: Sequence[Outgoing], *, deadline: float = 8.0) -> None:
        self.groups.append(list(records))
        self.asked.set()
        try:
            await asyncio.wait_for(self.open.wait(), deadline)
        except TimeoutError as error:
            raise Unavailable("acknowledged too late") from error
        if self.failing:
            raise self.failing


def client(
    shelf: Shelf,
    *,
    budget: int = 1 << 26,
    deadline: float = 1.5,
    seconds: float = 10,
    settings: Settings | None = None,
    seals: Seals = SEALS,
) -> httpx.AsyncClient:
    """A client of an intake whose clock stands at NOW."""
    clock = FixedClock(NOW)
    service = Service.build("intake", settings or Settings(log="text"), clock, consumes=False)
    outlet = Outlet(shelf, deadline)  # type: ignore[arg-type]
    door = Door(outlet, Budget(budget), clock, service.access, seals, seconds)
    app = create_app(service, [routes(door), event_routes(door)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cqm")
