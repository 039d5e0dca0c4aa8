"""Two replicas of analytics: a file of its own, since they share their consumer groups with no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from services.analytics.app import build
from shared.events import Event
from tests.support.analytics import case_changed
from tests.support.analytics import feedback as said
from tests.support.apps import Running, running_app
from tests.support.figures import ask, dropping, kept, recomputed, send, settings_for, shows
from tests.support.servers import Servers
from tests.support.spine import eventually


@pytest.mark.slow
async def test_two_replicas_count_every_feedback_once_through_a_rebalance(servers: Servers) -> None:
    tag = f"t.{uuid4().hex[:8]}"
    names = [(tag, n) for n in range(300)]
    events: list[Event] = [said(name, source=tag) for name in names]
    events += [case_changed(name, about=(name,), department=tag) for name in names]
    async with dropping(servers) as prefix:
        settings = settings_for(servers, prefix, batch_window=0.0)
        async with running_app(build(settings)) as one:
            feeding = asyncio.create_task(_feed(one, events))
            async with running_app(build(settings)) as two:
                await feeding
                await send(one, *events[:50], *events[-50:])
                await shows(two, "feedback_volume", 300, filter=f"department:{tag}")
                assert (await ask(one, "feedback_volume", filter=f"source:{tag}"))["total"]["n"] == 300
            database = one.service.database
            assert await database.feedback_facts.count_documents({"d.source": tag}) == 300
            assert await kept(database, tag) == await recomputed(database, tag)


async def _feed(analytics: Running, events: list[Event]) -> None:
    """Batch after batch, each when the one before is stored, so that the rebalance falls in between."""
    database = analytics.service.database

    async def stored() -> int:
        told = await database.feedback_facts.count_documents({"said": {"$ne": None}})
        return int(told + await database.case_facts.count_documents({}))

    before = await stored()
    for begin in range(0, len(events), 20):
        batch = events[begin : begin + 20]
        await send(analytics, *batch)
        wanted = before + begin + len(batch)
        await eventually(lambda wanted=wanted: _at_least(stored, wanted), what=f"{wanted} facts")


async def _at_least(count: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await count() >= wanted
