"""Kafka's log by itself: how far it reaches, and its events from the beginning. Without a group, so that
nobody's position moves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.analytics.domain.freshness import Look
from shared.clock import Clock
from shared.codec import decode
from shared.errors import PermanentError, Unavailable
from shared.events import Event
from shared.handler import Partition

MOST_RECORDS = 1000


class Log:
    """Reads topics of Kafka. Raises Unavailable when Kafka does not answer."""

    def __init__(self, bootstrap: str, security: dict[str, Any] | None = None) -> None:
        self._bootstrap, self._security = bootstrap, security or {}

    async def read(self, ends: Mapping[Partition, int]) -> AsyncGenerator[list[Event]]:
        """The events of each partition before its end. What cannot be decoded was not counted."""
        async with self._consumer() as consumer:
            async for events in _read(consumer, ends):
                yield events

    async def looks(self, topics: Sequence[str], clock: Clock) -> AsyncGenerator[Look]:
        """Where all partitions of the topics begin and end, anew each time that the next one is asked for."""
        async with self._consumer() as consumer:
            await consumer.end_offsets([TopicPartition(topic, 0) for topic in topics])  # learns of the others
            while True:
                partitions = [
                    TopicPartition(topic, number)
                    for topic in topics
                    for number in sorted(consumer.partitions_for_topic(topic) or ())
                ]
                at = clock.now()  # before Kafka is asked: what was said by then lies before the ends
                begins = await consumer.beginning_offsets(partitions)
                ends = await consumer.end_offsets(partitions)
                yield Look(at, _by_partition(begins), _by_partition(ends))

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **self._security,
        )
        try:
            await consumer.start()
            yield consumer
        except KafkaError as error:
            raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error
        finally:
            await consumer.stop()


def _by_partition(offsets: Mapping[Any, int]) -> dict[Partition, int]:
    return {Partition(*partition): offset for partition, offset in offsets.items()}


async def _read(consumer: Any, ends: Mapping[Partition, int]) -> AsyncGenerator[list[Event]]:
    partitions = [TopicPartition(*partition) for partition in ends]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    left = {partition for partition in partitions if await consumer.position(partition) < ends[partition]}
    consumer.pause(*(partition for partition in partitions if partition not in left))
    while left:
        polled = await consumer.getmany(timeout_ms=500, max_records=MOST_RECORDS)
        events = []
        for partition, records in polled.items():
            for record in records:
                if record.offset < ends[partition] and (event := _decoded(record)) is not None:
                    events.append(event)
        if events:
            yield events
        for partition in list(left):
            if await consumer.position(partition) >= ends[partition]:
                left.discard(partition)
                consumer.pause(partition)


def _decoded(record: Any) -> Event | None:
    try:
        return decode(record.value, record.headers)[0]
    except PermanentError:
        return None
