"""The dead letters on Kafka: read from the beginning, and published to their topics again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from shared.codec import Outgoing
from shared.dead_letters import Letter, Replay, letter_facts
from shared.errors import PermanentError, Unavailable
from shared.partitioner import partition_of
from shared.publish import producer_options
from shared.topics import DEAD_LETTERS

_PATIENCE_SECONDS = 30.0
"""Without anything from Kafka; as long as something comes, reading takes what it takes."""


class Gone(Exception):
    """The record itself is not in the log any more: retention passed it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A dead letter and when it was last replayed (RFC 3339, "" for never)."""

    letter: Letter
    replayed: str = ""

    def summary(self) -> dict[str, Any]:
        """What `list --json` says of it; numbers as numbers."""
        facts = self.letter.facts
        numbers = {name: int(facts.get(name, 0)) for name in ("partition", "offset", "attempts")}
        words = {name: facts.get(name, "") for name in _WORDS}
        return words | numbers | {"replayed": self.replayed or None}


_WORDS = ("id", "group", "topic", "reason", "detail", "timestamp", "at", "replay_of")


class Letters:
    """The dead-letter topic of one Kafka. Every method raises Unavailable when Kafka does not answer."""

    def __init__(self, bootstrap: str, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        self._bootstrap, self._consumer, self._producer = bootstrap, consumer, producer

    async def all(self) -> list[Found]:
        """Every letter once, by the time it was written."""
        found: dict[str, Found] = {}
        with self._answering():
            async for record in self._records():
                facts = letter_facts(record.headers)
                if letter := Letter.read(record.key, record.value, record.headers):
                    found.setdefault(letter.id, Found(letter))
                elif "replayed" in facts and (known := found.get(facts.get("id", ""))):
                    found[known.letter.id] = replace(known, replayed=facts["replayed"])
        return sorted(found.values(), key=lambda one: one.letter.facts.get("at", ""))

    async def whole(self, letter: Letter) -> Letter:
        """With the record itself: of a cut letter it is read where it stands. Raises Gone."""
        if not letter.is_cut:
            return letter
        place = TopicPartition(letter.facts["topic"], int(letter.facts["partition"]))
        offset = int(letter.facts["offset"])
        with self._answering():
            self._consumer.assign([place])
            first, last = await self._ends([place])
            if not first[place] <= offset < last[place]:
                raise Gone(f"{letter.id}: the log of {place.topic} begins at offset {first[place]} now")
            self._consumer.seek(place, offset)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                record = await self._consumer.getone(place)
        if record.offset != offset:
            raise Gone(f"{letter.id}: the record is not in the log any more")
        return replace(letter, key=record.key, value=record.value, headers=tuple(record.headers))

    async def replay(self, letter: Letter) -> None:
        """Publish the record to its topic, then the receipt. Raises Gone."""
        again = (await self.whole(letter)).replay()
        receipt = letter.receipt(datetime.now(UTC))
        with self._answering():
            await self._publish(again)
            await self._publish(receipt)

    async def _publish(self, record: Replay | Outgoing) -> None:
        """As a batch of one: the client's `send` wants a key or a value, and a record may lack both."""
        partition = record.partition if isinstance(record, Replay) else None
        if partition is None:
            partition = partition_of(record.key or b"", len(await self._partitions(record.topic)))
        batch = self._producer.create_batch()
        appended = batch.append(key=record.key, value=record.value, timestamp=None, headers=record.headers)
        if appended is None:
            raise PermanentError("too_large", f"a record for {record.topic} does not fit into a batch")
        await (await self._producer.send_batch(batch, record.topic, partition=partition))

    async def _records(self) -> AsyncIterator[Any]:
        numbers = await self._partitions(DEAD_LETTERS.name)
        places = [TopicPartition(DEAD_LETTERS.name, number) for number in numbers]
        self._consumer.assign(places)
        first, last = await self._ends(places)
        left = {place for place in places if first[place] < last[place]}
        for place in places:
            self._consumer.seek(place, first[place])
        while left:
            polled = await self._consumer.getmany(*left, timeout_ms=int(_PATIENCE_SECONDS * 1000))
            if not polled:
                raise TimeoutError
            for place, records in polled.items():
                for record in records:
                    if record.offset < last[place]:
                        yield record
                if records[-1].offset + 1 >= last[place]:
                    left.discard(place)

    async def _partitions(self, topic: str) -> list[int]:
        numbers = await self._producer.partitions_for(topic)
        if not numbers:
            raise Unavailable(
                f"topic {topic} does not exist at {self._bootstrap}: `cqm topics --create` makes it"
            )
        return sorted(numbers)

    async def _ends(
        self, places: list[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        return await self._consumer.beginning_offsets(places), await self._consumer.end_offsets(places)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, OSError, TimeoutError) as error:
            why = f"Kafka at {self._bootstrap} did not answer: {type(error).__name__}"
            raise Unavailable(why) from error


@asynccontextmanager
async def opened_letters(bootstrap: str, security: dict[str, Any]) -> AsyncIterator[Letters]:
    """Raises Unavailable when Kafka cannot be reached."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, client_id="cqm-dlt", enable_auto_commit=False,
        request_timeout_ms=10_000, **security,
    )  # fmt: skip
    producer = AIOKafkaProducer(**producer_options(bootstrap, "cqm-dlt", security))
    letters = Letters(bootstrap, consumer, producer)
    try:
        with letters._answering():
            await consumer.start()
            await producer.start()
        yield letters
    finally:
        await producer.stop()
        await consumer.stop()
