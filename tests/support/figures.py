"""A running analytics service in a test: events in, figures out, and rollups beside what facts say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec

from services.analytics.domain.rollups import Deltas, Fact, RollupKey, correct, without_zeros
from services.analytics.settings import AnalyticsSettings
from shared.codec import Outgoing, encode
from shared.events import Event
from shared.mongo import Database, Mongo
from tests.support.analytics import NOON
from tests.support.apps import Running
from tests.support.servers import Servers
from tests.support.spine import eventually

FACTS = ("feedback_facts", "activity_facts", "case_facts", "target_facts")


@asynccontextmanager
async def dropping(servers: Servers) -> AsyncIterator[str]:
    """A database prefix whose database is gone afterwards."""
    prefix, mongo = f"t{uuid4().hex[:10]}", Mongo(servers.mongo)
    yield prefix
    database = mongo.database(f"{prefix}_analytics")
    await database.client.drop_database(database.name)
    mongo.close()


def settings_for(servers: Servers, prefix: str, **changes: Any) -> AnalyticsSettings:
    given = {"kafka": servers.kafka, "mongo": servers.mongo, "database_prefix": prefix, "log": "text"}
    return AnalyticsSettings(**given | {"session_timeout": 6.0} | changes)


def record(event: Event) -> Outgoing:
    key = getattr(event, "case_id", None) or getattr(event, "case", event).id
    return encode(event, key=key.bytes, source="test", at=NOON)


async def send(analytics: Running, *events: Event) -> None:
    await analytics.service.publisher.publish([record(event) for event in events])


async def ask(analytics: Running, name: str, **given: Any) -> Any:
    answer = await analytics.http.get(
        f"/v1/kpis/{name}", params={key.rstrip("_"): v for key, v in given.items()}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def shows(analytics: Running, name: str, n: int, **given: Any) -> Any:
    """The figure, as soon as it counts `n`."""

    async def found() -> Any:
        figure = await ask(analytics, name, **given)
        return figure if figure["total"]["n"] == n else None

    return await eventually(found, what=f"{name} with n = {n}")


def by_key(figure: Any, dimension: str) -> dict[str, int]:
    return {one["key"][dimension]: sum(p["n"] for p in one["points"]) for one in figure["series"]}


async def rollups(database: Database, tag: str) -> Deltas:
    """What the rollups say of the values that begin with the tag, over all slots."""
    sums: defaultdict[RollupKey, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    async for one in database.rollups.find({"_id.v": {"$regex": f"^{re.escape(tag)}"}}):
        key = one["_id"]
        for name, amount in one["c"].items():
            sums[RollupKey(key["k"], key["p"], key["d"], key["h"], key["v"])][name] += amount
    return without_zeros(dict(sums))


async def recomputed(database: Database, tag: str) -> Deltas:
    """The same, counted anew from the facts."""
    sums: Deltas = {}
    for collection in FACTS:
        async for document in database[collection].find():
            correct(sums, None, msgspec.convert(document, Fact))
    return without_zeros({key: counters for key, counters in sums.items() if key.value.startswith(tag)})
