"""Time in: events of actions that a crash or an outage kept from Kafka are said again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from services.routing.actions import Actions
from shared.clock import Clock

log = structlog.get_logger("cqm.routing.sweep")


async def sweep_outbox(actions: Actions, clock: Clock, every: float) -> None:
    """Every `every` seconds, what is older than that; runs until cancelled."""
    while True:
        await asyncio.sleep(every)
        if count := await actions.say_unsaid(clock.now() - timedelta(seconds=every)):
            log.warning("said_again", entries=count)
