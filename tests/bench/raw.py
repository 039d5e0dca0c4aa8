"""The limit of a stage: what its own records and documents cost to move, when nobody decides anything.

After the real service has run, its work is done again by the fewest calls there are: read ~1000 records,
decode them, one transaction with the same documents (each once, in its last form, with the same indexes)
and the fence that keeps the same outgoing records, publish those. Documents are ready dictionaries, so
reading earlier state, deciding, and building documents are what a stage adds to this. Analytics' segments
are left out: how counts are kept is a decision of the stage.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from bson import Binary
from pymongo import IndexModel

from shared.codec import Outgoing, decode
from shared.mongo import Database, Session, transaction
from shared.topics import Topic
from tests.bench.laboratory import GENERATOR, Laboratory
from tests.bench.measure import Measured, Sample

BATCH = 1000
SCRAP = Topic("bench.raw", (), "as the record had it", "bench", ())


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage did: the topics it read, the records it said, the documents it left by collection."""

    reads: Sequence[Topic]
    says: list[Outgoing]
    documents: dict[str, list[dict[str, Any]]]


async def make_scrap_topic(lab: Laboratory) -> None:
    """The topic that raw stages publish to; nobody reads it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.servers.kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(SCRAP.name, SCRAP.partitions, 1, topic_configs=SCRAP.config(1))])
    finally:
        await admin.close()


async def collect(
    lab: Laboratory, service: str, reads: Sequence[Topic], says: Sequence[Topic], collections: Sequence[str]
) -> Work:
    """All of it in memory, and empty collections with the same indexes to write it to again."""
    source, target = lab.database(service), _scrap(lab, service)
    documents = {}
    for name in collections:
        documents[name] = await source[name].find().to_list(None)
        indexes = await source[name].index_information()
        wanted = [_index(found) for found in indexes.values() if list(found["key"]) != [("_id", 1)]]
        await target[name].create_indexes([IndexModel([("_id", 1)]), *wanted])
    said = [
        Outgoing(SCRAP.name, record.key, record.value, list(record.headers))
        async for batch in _polls(lab, says)
        for record in batch
    ]
    return Work(reads, said, documents)


async def replay(lab: Laboratory, service: str, work: Work) -> Measured:
    """The work of a consuming stage again, without its decisions."""
    database = _scrap(lab, service)
    total = sum((await lab.ends(work.reads)).values())
    await database.offsets.insert_one({"_id": "fence", "next": 0, "pending": None})
    done, started = 0, _now(lab)
    async with lab.mongo.session() as session:
        async for records in _polls(lab, work.reads):
            if not done:
                started = _now(lab)  # a new consumer's first fetch is no work
            for record in records:
                decode(record.value, record.headers)
            following = done + len(records)
            said = _part(work.says, done, following, total)
            parts = {name: _part(docs, done, following, total) for name, docs in work.documents.items()}
            await _write(database, session, parts, done, following, said)
            await lab.publisher.publish(said)
            done = following
    return _measured(started, _now(lab), done, service)


async def _write(
    database: Database,
    session: Session,
    parts: dict[str, list[dict[str, Any]]],
    done: int,
    following: int,
    said: list[Outgoing],
) -> None:
    pending = Binary(msgspec.msgpack.encode(said)) if said else None

    async def body(session: Session) -> None:
        for name, documents in parts.items():
            if documents:
                await database[name].insert_many(documents, ordered=False, session=session)
        moved = await database.offsets.update_one(
            {"_id": "fence", "next": done}, {"$set": {"next": following, "pending": pending}}, session=session
        )
        assert moved.matched_count == 1, "the fence moved by itself"

    await transaction(session, body)


async def _polls(lab: Laboratory, topics: Sequence[Topic]) -> AsyncIterator[list[Any]]:
    """The records of the topics from their beginning to where they end now, ~BATCH at a time."""
    partitions = [TopicPartition(topic.name, n) for topic in topics for n in range(topic.partitions)]
    left = sum((await lab.ends(topics)).values())
    if not left:
        return  # aiokafka fails when a consumer is stopped in the moment it was given its partitions
    consumer = AIOKafkaConsumer(
        bootstrap_servers=lab.servers.kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=16_777_216,
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        while left > 0:
            polled = await consumer.getmany(timeout_ms=500, max_records=min(BATCH, left))
            records = [record for some in polled.values() for record in some]
            left -= len(records)
            if records:
                yield records
    finally:
        await consumer.stop()


def _part(items: list[Any], done: int, following: int, total: int) -> list[Any]:
    """The share of the items that belongs to the records [done, following) of `total`."""
    return items[len(items) * done // total : len(items) * following // total]


def _index(found: dict[str, Any]) -> IndexModel:
    options = {
        name: value
        for name, value in found.items()
        if name in ("unique", "sparse", "partialFilterExpression")
    }
    return IndexModel(list(found["key"]), **options)


def _scrap(lab: Laboratory, service: str) -> Database:
    return lab.database(f"raw_{service}")


def _now(lab: Laboratory) -> Sample:
    return Sample(time.perf_counter(), {}, {}, lab.cpu_seconds())


def _measured(first: Sample, last: Sample, items: int, service: str) -> Measured:
    """The process that measures plays the service here."""
    measured = Measured.between(first, last, items)
    cpu = measured.cpu_us
    return Measured(
        items, measured.seconds, {service: cpu[GENERATOR], "Kafka": cpu["Kafka"], "mongod": cpu["mongod"]}
    )
