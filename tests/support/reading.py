"""A topic as it stands now, its dead letters, and where a service begins to read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import NotLeaderForPartitionError

from shared.dead_letters import letter_facts
from shared.mongo import Mongo
from shared.topics import DEAD_LETTERS, TOPICS, Topic
from tests.support.servers import Servers

FORGET_SECONDS = 20.0


async def read_topic(kafka: str, topic: str) -> list[Any]:
    """All records up to the ends that the partitions have now; of each partition in order."""
    found: list[Any] = []
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    return found


async def forget_all(kafka: str) -> None:
    """Empty every topic of ours, as retention would: readers that come later begin behind all of it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        everything = RecordsToDelete(-1)
        partitions = [TopicPartition(topic.name, n) for topic in TOPICS for n in range(topic.partitions)]
        async with asyncio.timeout(FORGET_SECONDS):
            while True:
                try:
                    await admin.delete_records(dict.fromkeys(partitions, everything))
                    return
                except NotLeaderForPartitionError:  # topics that were just made have none for a moment
                    await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def dead_letters(
    kafka: str, *, topic: str | None = None, key: bytes | None = None
) -> list[dict[str, str]]:
    """What the dead letters say of records that came from `topic`, or have this key."""
    letters = await read_topic(kafka, DEAD_LETTERS.name)
    told = [letter_facts(record.headers) for record in letters if key in (None, record.key)]
    return [facts for facts in told if topic in (None, facts.get("topic"))]


async def begin_at_the_end(servers: Servers, prefix: str, service: str, topic: Topic) -> None:
    """Fences of a service that has not run yet, as if it had done all that other tests left on the topic."""
    async with AIOKafkaConsumer(topic.name, bootstrap_servers=servers.kafka) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
    mongo = Mongo(servers.mongo)
    await mongo.database(f"{prefix}_{service}").offsets.insert_many(fences(prefix, service, topic, ends))
    mongo.close()


def fences(
    prefix: str, service: str, topic: Topic, ends: Mapping[TopicPartition, int]
) -> list[dict[str, Any]]:
    """As the service stores them, unclaimed, for the partitions of `topic` among `ends`."""
    group = f"{prefix}.{service}.{topic.name.removeprefix('cqm.').removesuffix('.v1')}"
    return [
        {"_id": f"{group}/{topic.name}/{partition.partition}", "epoch": 0, "next": end, "pending": None}
        for partition, end in ends.items()
        if partition.topic == topic.name
    ]
