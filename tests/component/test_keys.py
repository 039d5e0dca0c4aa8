"""The keys in MongoDB: one tree for all replicas, from which keys are destroyed whole or not at all."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from services.intake.app import build
from services.intake.domain.imports import Reject
from services.intake.settings import IntakeSettings
from services.intake.store import JobStore
from shared.errors import SetupError, Unavailable
from shared.key_store import KeyStore
from shared.key_tree import SEED, place_of
from shared.mongo import Mongo
from shared.sealing import Seals
from tests.support.apps import running_app
from tests.support.servers import Servers
from tests.support.spine import eventually

WORDS = b'{"text":"torn"}'
AT = datetime(2026, 3, 2, tzinfo=UTC)
Replica = tuple[KeyStore, Seals]


@pytest.fixture
async def mongo(servers: Servers) -> AsyncIterator[Mongo]:
    client = Mongo(servers.mongo)
    yield client
    client.close()


@pytest.fixture
def replica(mongo: Mongo, prefix: str) -> Callable[[], Replica]:
    def made() -> Replica:
        seals = Seals()
        return KeyStore(mongo, prefix, seals), seals

    return made


async def test_replicas_that_start_together_have_one_tree(replica: Callable[[], Replica]) -> None:
    replicas = [replica() for _ in range(8)]
    await asyncio.gather(*(keys.refresh() for keys, _ in replicas))
    sealed = replicas[0][1].seal(b"C-1", WORDS)
    assert all(seals.open(sealed) is not None for _, seals in replicas)


async def test_keys_that_are_destroyed_at_once_are_gone_for_every_replica_and_no_other_is(
    replica: Callable[[], Replica],
) -> None:
    keys, seals = replica()
    await keys.refresh()
    names = [b"C-%d" % number for number in range(12)]
    sealed = {name: seals.seal(name, WORDS) for name in names}
    gone = names[:6]
    await asyncio.gather(*(replica()[0].destroy(name, AT) for name in gone))
    later, there = replica()
    await asyncio.gather(keys.refresh(), later.refresh())
    for of_replica in (seals, there):
        assert [name for name in names if of_replica.open(sealed[name]) is None] == gone


async def test_the_seed_above_a_destroyed_key_is_stored_nowhere(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str
) -> None:
    keys, _ = replica()
    await keys.refresh()
    cuts = mongo.database(f"{prefix}_keys").cuts
    root = bytes((await cuts.find_one({"_id": ""}) or {})["seeds"])
    await keys.destroy(b"C-1", AT)
    stored = [bytes(document["seeds"]) async for document in cuts.find({})]
    assert bytes(SEED) in stored and all(root not in seeds for seeds in stored)
    await keys.destroy(b"C-1", AT)  # the key that their next words would have had
    assert len([document async for document in cuts.find({})]) == 3
    gone = await cuts.find_one({"_id": place_of(b"C-1").decode()}) or {}
    assert gone["at"] == AT


async def test_when_a_key_was_destroyed_is_known_after_the_next_one_near_it_is(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str
) -> None:
    keys, _ = replica()
    await keys.refresh()
    for number, name in enumerate([b"C-1", b"C-2", b"C-3"]):
        await keys.destroy(name, AT + timedelta(days=number))  # the second is cut out of the first
    cuts = mongo.database(f"{prefix}_keys").cuts
    stored = {document["_id"].encode(): document.get("at") async for document in cuts.find({})}
    of_names = {
        place_of(name): AT + timedelta(days=number) for number, name in enumerate([b"C-1", b"C-2", b"C-3"])
    }
    assert stored == of_names | {b"": None}


async def test_seeds_and_refused_rows_stand_in_no_log_of_mongodb(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str, servers: Servers
) -> None:
    keys, job = replica()[0], uuid4()
    jobs = JobStore(mongo.database(f"{prefix}_intake"), 15)
    refused = [Reject(row, "at", "is no time", ["marmalade everywhere"]) for row in (2, 3)]
    cuts, seeds = mongo.database(f"{prefix}_keys").cuts, set[bytes]()
    with everything_logged(servers.mongo) as logged:
        await keys.refresh()
        for name in (b"C-1", b"C-2"):
            seeds |= {bytes(document["seeds"]) async for document in cuts.find({})}
            await keys.destroy(name, AT)
        await jobs.reject(job, refused[:1])
        await jobs.reject(job, refused)  # the batch again, after a crash
        lines = [line for line in logged() if prefix in line]
    assert any(f"{prefix}_keys" in line and "insert" in line for line in lines), "all is logged"
    for seed in {some[:SEED] for some in seeds} - {bytes(SEED)}:
        assert not [line for line in lines if b64encode(seed).decode()[:20] in line]
    assert not [line for line in lines if "marmalade" in line]
    assert [one async for one in jobs.rejects(job)] == [refused]


@contextmanager
def everything_logged(uri: str) -> Iterator[Callable[[], list[str]]]:
    """mongod logs each operation as a slow one; its newest lines."""
    with MongoClient[Any](uri) as client:
        before = client.admin.command("profile", 0, slowms=-1)["slowms"]
        try:
            yield lambda: client.admin.command("getLog", "global")["log"]
        finally:
            client.admin.command("profile", 0, slowms=before)


async def test_seeds_that_are_gone_are_not_replaced_by_others(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str
) -> None:
    keys, seals = replica()
    await keys.refresh()
    database = mongo.database(f"{prefix}_keys")
    kept = [document async for document in database.cuts.find({})]
    await database.cuts.delete_many({})
    later, none = replica()
    for asked in (later.refresh(), later.destroy(b"C-1", AT)):
        with pytest.raises(SetupError, match=f"{prefix}_keys are gone.*restore it"):
            await asked
    assert not none.ready and await database.cuts.count_documents({}) == 0
    await database.cuts.insert_many(kept)
    await later.refresh()
    assert none.open(seals.seal(b"C-1", WORDS)) is not None


async def test_where_there_are_no_keys_none_is_destroyed_and_none_is_made(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str
) -> None:
    with pytest.raises(SetupError, match="are gone"):
        await replica()[0].destroy(b"C-1", AT)
    assert await mongo.database(f"{prefix}_keys").cuts.count_documents({}) == 0


async def test_intake_is_not_ready_and_seals_nothing_while_another_tree_is_stored(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str, servers: Servers
) -> None:
    settings = IntakeSettings(kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text")
    async with running_app(build(settings)) as intake:
        keys = mongo.database(f"{prefix}_keys")
        for name in ("cuts", "revisions"):
            await keys[name].delete_many({})
        await replica()[0].refresh()

        async def told() -> bool:
            return "are not those of before" in (await intake.http.get("/readyz")).text

        await eventually(told, what="the other tree is seen")
        said = {"kind": "complaint", "text": "x", "customer": {"id": "C-1"}}
        assert (await intake.http.post("/v1/feedback", json=said)).status_code == 503


async def test_a_replica_uses_no_tree_but_the_one_it_began_with(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str
) -> None:
    keys, seals = replica()
    await keys.refresh()
    database = mongo.database(f"{prefix}_keys")
    kept = {name: [d async for d in database[name].find({})] for name in ("cuts", "revisions")}
    sealed = seals.seal(b"C-1", WORDS)
    for name in kept:
        await database[name].delete_many({})
    with pytest.raises(SetupError, match="are gone"):
        await keys.refresh()
    other, _ = replica()
    await other.refresh()  # it cannot know that there was a tree
    for _ in range(2):
        with pytest.raises(SetupError, match="not those of before"):
            await keys.refresh()
        with pytest.raises(Unavailable):
            seals.seal(b"C-1", WORDS)
    for name, documents in kept.items():
        await database[name].delete_many({})
        await database[name].insert_many(documents)
    await keys.refresh()
    assert seals.open(sealed) is not None


@pytest.mark.parametrize("destroyed_before", [0, 1])
async def test_a_tree_of_an_earlier_version_is_gone_on_with(
    replica: Callable[[], Replica], mongo: Mongo, prefix: str, destroyed_before: int
) -> None:
    keys, seals = replica()
    await keys.refresh()
    for _ in range(destroyed_before):
        await keys.destroy(b"C-9", AT)
    await keys.refresh()
    sealed = seals.seal(b"C-1", WORDS)
    revisions = mongo.database(f"{prefix}_keys").revisions
    if destroyed_before:
        await revisions.update_one({}, {"$unset": {"tree": ""}})
    else:
        await revisions.delete_many({})
    replicas = [replica() for _ in range(8)]
    await asyncio.gather(*(one.refresh() for one, _ in replicas))
    assert all(seals.open(sealed) is not None for _, seals in replicas)
    await replicas[0][0].destroy(b"C-1", AT)
    await asyncio.gather(*(one.refresh() for one, _ in replicas))
    assert all(seals.open(sealed) is None for _, seals in replicas)
