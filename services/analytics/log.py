"""The log as a source of events, from its beginning: without a group, so that nobody's position moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.codec import decode
from shared.errors import PermanentError, Unavailable
from shared.events import Event
from shared.handler import Partition

MOST_RECORDS = 1000


class Log:
    """Reads topics of Kafka. Raises Unavailable when Kafka does not answer."""

    def __init__(self, bootstrap: str, security: dict[str, Any] | None = None) -> None:
        self._bootstrap, self._security = bootstrap, security or {}

    async def read(self, ends: Mapping[Partition, int]) -> AsyncIterator[list[Event]]:
        """The events of each partition before its end. What cannot be decoded was not counted."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **self._security,
        )
        try:
            await consumer.start()
            async for events in _read(consumer, ends):
                yield events
        except KafkaError as error:
            raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error
        finally:
            await consumer.stop()


async def _read(consumer: Any, ends: Mapping[Partition, int]) -> AsyncIterator[list[Event]]:
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
