"""What of the log a rebuild finds: where its partitions begin and end, and what is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from shared.errors import Unavailable
from shared.generations import Generations
from shared.mongo import driver_errors
from shared.topics import TOPICS

Offsets = Mapping[TopicPartition, int]


class Log:
    """Where the partitions of analytics' topics begin and end."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._topics = [topic.name for topic in TOPICS if "analytics" in topic.consumers]

    async def extents(self) -> tuple[Offsets, Offsets]:
        try:
            await self._consumer.end_offsets([TopicPartition(topic, 0) for topic in self._topics])
            partitions = [
                TopicPartition(topic, number)
                for topic in self._topics
                for number in self._consumer.partitions_for_topic(topic) or ()
            ]
            begins = await self._consumer.beginning_offsets(partitions)
            return begins, await self._consumer.end_offsets(partitions)
        except KafkaError as error:
            raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error


async def following(generations: Generations, prefix: str, number: int) -> dict[TopicPartition, int]:
    """The next offset of each partition of which anything was counted in a generation."""
    with driver_errors():
        span = {"_id": {"$gte": f"{prefix}.", "$lt": f"{prefix}/"}}
        fences = await generations.database(number).offsets.find(span, {"next": 1}).to_list(None)
    found = {}
    for fence in fences:
        topic, partition = fence["_id"].split("/")[1:]
        if fence["next"] is not None:
            found[TopicPartition(topic, int(partition))] = fence["next"]
    return found


async def lost(generations: Generations, log: Log, prefix: str) -> list[str]:
    """What was counted and is not in the log any more, in words."""
    begins, ends = await log.extents()
    counted = await following(generations, prefix, (await generations.state()).live)
    found = [
        f"{one.topic} partition {one.partition} begins at {begins[one]:,}: {begins[one]:,} records are gone"
        for one in sorted(begins)
        if begins[one]
    ]
    found += [
        f"{one.topic} partition {one.partition} ends at {ends.get(one, 0):,}, but {upto:,} were counted"
        for one, upto in sorted(counted.items())
        if upto > ends.get(one, 0)
    ]
    return found
