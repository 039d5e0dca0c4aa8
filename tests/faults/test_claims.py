"""Taking partitions over: from an owner killed inside a transaction, and while Kafka staggers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from shared.errors import Fenced, Unavailable
from shared.exactly_once import ExactlyOnce, Span
from shared.handler import Batch, Decision, Handler, Partition
from shared.mongo import Mongo, Session
from shared.publish import Publisher
from tests.support.servers import Servers

EMPTY: Batch[Any] = Batch([], datetime(2026, 3, 2, tzinfo=UTC))
PARTITIONS = [Partition("cqm.cases.v1", number) for number in range(12)]


@pytest.fixture
async def mongo(servers: Servers) -> AsyncIterator[Mongo]:
    mongo = Mongo(servers.mongo)
    yield mongo
    mongo.close()


def exactly_once(mongo: Mongo, prefix: str, publisher: Any = None) -> ExactlyOnce:
    database = mongo.database(f"{prefix}_spine")
    return ExactlyOnce(
        f"{prefix}.spine.cases", "spine", mongo, database, publisher or Silent(), asyncio.Lock()
    )


async def nothing(batch: Any, session: Session) -> None: ...


class Silent(Publisher):
    """Nothing is pending in these tests."""

    def __init__(self) -> None: ...

    async def publish(self, records: Any, *, deadline: float = 8.0) -> None: ...


class FailingOnce(Silent):
    """The first publication fails at once, the others take their time: Kafka coming back."""

    def __init__(self) -> None:
        self.calls = 0

    async def publish(self, records: Any, *, deadline: float = 8.0) -> None:
        self.calls += 1
        if self.calls == 1:
            raise Unavailable("Kafka acknowledged too late")
        await asyncio.sleep(0.3 if self.calls <= len(PARTITIONS) else 0.0)  # the first round is the slow one


async def epochs(owner: ExactlyOnce) -> dict[str, int]:
    return {d["_id"].rpartition("/")[2]: d["epoch"] async for d in owner.database.offsets.find()}


def held(owner: ExactlyOnce) -> dict[str, int]:
    return {str(partition.partition): position.epoch for partition, position in owner.positions.items()}


async def test_whoever_takes_over_from_a_killed_transaction_holds_the_epoch_that_is_stored(
    mongo: Mongo, prefix: str
) -> None:
    dead, successor = exactly_once(mongo, prefix), exactly_once(mongo, prefix)
    await dead.claim(PARTITIONS)
    session = await dead._own_session()
    session.start_transaction()
    await dead.database.offsets.update_many({}, {"$set": {"pending": b"never committed"}}, session=session)
    await successor.claim(PARTITIONS)
    await asyncio.sleep(1.0)  # what the claim may have left running in the server or in a thread
    assert await epochs(successor) == held(successor)
    with pytest.raises(OperationFailure):  # its session was ended
        await session.commit_transaction()
    await dead.close()
    await successor.close()


async def test_whoever_takes_over_can_write_what_a_killed_transaction_was_writing(
    mongo: Mongo, prefix: str
) -> None:
    dead, successor = exactly_once(mongo, prefix), exactly_once(mongo, prefix)
    await mongo.database(f"{prefix}_spine").create_collection("written")
    await dead.claim(PARTITIONS)
    spans = {PARTITIONS[0]: Span(1)}
    stored, died = asyncio.Event(), asyncio.Event()

    async def store_and_die(changes: None, session: Session) -> None:
        await store(changes, session)
        stored.set()
        await died.wait()

    async def store(changes: None, session: Session) -> None:
        await dead.database.written.insert_one({"_id": "the same"}, session=session)

    handler = Handler(nothing, lambda batch, loaded: Decision(None), store)
    dying = asyncio.create_task(dead.apply(replace(handler, store=store_and_die), EMPTY, spans))
    await stored.wait()
    await successor.claim(PARTITIONS)
    async with asyncio.timeout(2):
        await successor.apply(handler, EMPTY, spans)
    died.set()
    with pytest.raises((Fenced, Unavailable)):
        await dying
    assert await dead.database.written.count_documents({}) == 1
    await dead.close()
    await successor.close()


async def test_a_batch_that_is_committed_while_its_partition_is_revoked_is_done(
    mongo: Mongo, prefix: str
) -> None:
    owner = exactly_once(mongo, prefix)
    await owner.claim(PARTITIONS[:2])

    async def revoked(changes: None, session: Session) -> None:
        owner.release(PARTITIONS[:1])

    handler = Handler(nothing, lambda batch, loaded: Decision(None), revoked)
    await owner.apply(handler, EMPTY, {partition: Span(5) for partition in PARTITIONS[:2]})
    assert {partition: held.next for partition, held in owner.positions.items()} == {PARTITIONS[1]: 5}
    assert [fence["next"] async for fence in owner.database.offsets.find()] == [5, 5]
    await owner.close()


async def test_a_claim_that_failed_halfway_leaves_nothing_running_behind_the_next_one(
    mongo: Mongo, prefix: str
) -> None:
    owner = exactly_once(mongo, prefix, FailingOnce())
    with pytest.raises(Unavailable):
        await owner.claim(PARTITIONS)
    await owner.claim(PARTITIONS)
    await asyncio.sleep(0.6)  # what the first one may have left running
    assert await epochs(owner) == held(owner)
    await owner.close()
