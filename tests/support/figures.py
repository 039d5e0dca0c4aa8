"""A running analytics service in a test: events in, figures out, and rollups beside what facts say."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec

from services.analytics.domain.figures import SLOT
from services.analytics.domain.rows import DAY, Fact, rows, seconds_since_epoch
from services.analytics.domain.tallies import COLLECTIONS, TALLIES, Tally
from services.analytics.settings import AnalyticsSettings
from services.analytics.store.compaction import Compactor
from services.analytics.store.packed import WEIGHT, Table, unpack
from services.analytics.store.places import day_of_key
from shared.codec import Outgoing, encode
from shared.events import Event
from shared.mongo import Database, Mongo
from tests.support.analytics import NOON
from tests.support.apps import Running
from tests.support.servers import Servers
from tests.support.spine import eventually

Sums = dict[tuple[str, str, str, int, str], int]
"""Amounts by tally, dimension, value, half hour (since 1970) and counter."""


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


async def compacted(analytics: Running) -> None:
    """Returns when no segment is left."""
    compactor = Compactor(analytics.service.mongo, analytics.service.database)

    async def none_left() -> bool:
        await compactor.compact()
        return await analytics.service.database.segments.find_one({}) is None

    await eventually(none_left, what="no segment left")


async def kept(database: Database, tag: str) -> Sums:
    """What days and segments together say of the values that begin with the tag, by each dimension."""
    words = {name: [] for tally in TALLIES.values() for name in tally.dimensions}
    async for one in database.words.find().sort("_id", 1):
        words[one["d"]] += one["v"]
    sums: Counter[Any] = Counter()
    async for day in database.days.find():
        tally, by = day["_id"].split("/")[:2]
        if by and "|" not in by:
            begin = day_of_key(day["_id"]) * DAY
            table = unpack(day["h"]["l"], begin, [by], TALLIES[tally].counters, ())
            _add(sums, TALLIES[tally], by, table, words[by])
    async for segment in database.segments.find():
        for name in segment["t"].keys() & TALLIES.keys():
            share = segment["t"][name]
            for by in TALLIES[name].dimensions:
                table = unpack(share, 0, [by], (*TALLIES[name].counters, WEIGHT), ())
                _add(sums, TALLIES[name], by, table, share["k"][by])
    return {key: amount for key, amount in sums.items() if amount and key[2].startswith(tag)}


def _add(sums: Counter[Any], tally: Tally, by: str, table: Table, words: list[str]) -> None:
    for name in tally.counters:
        for at, code, amount in zip(table.at, table.codes[by], table.counters[name], strict=True):
            sums[tally.name, by, words[int(code)], int(at) // SLOT, name] += int(amount)


async def recomputed(database: Database, tag: str) -> Sums:
    """The same, counted anew from the facts."""
    sums: Counter[Any] = Counter()
    for collection in COLLECTIONS:
        async for document in database[collection].find():
            for row in rows(msgspec.convert(document, Fact)):
                measure = row.measure
                if measure.k not in TALLIES:
                    continue  # terms of texts are no figures
                slot = seconds_since_epoch(measure.t) // SLOT
                for by in TALLIES[measure.k].dimensions:
                    for name, amount in measure.c.items():
                        sums[measure.k, by, row.labels.get(by, ""), slot, name] += amount
    return {key: amount for key, amount in sums.items() if amount and key[2].startswith(tag)}
