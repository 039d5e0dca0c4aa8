"""The keys in MongoDB: one tree for all replicas, from which keys are destroyed whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from shared.key_store import KeyStore
from shared.key_tree import SEED
from shared.mongo import Mongo
from shared.sealing import Seals
from tests.support.servers import Servers

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
