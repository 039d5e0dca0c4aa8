"""Keyed batches to Kafka: the right partition, acks from all in-sync replicas, a deadline around it all.

Without idempotence on purpose: ids and the pending events cover duplicates, and an idempotent producer
hangs or fails its partition for ever after a lost leader (docs/adr/0001-at-least-once-with-a-fence.md).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared import observability as metrics
from shared.codec import Outgoing
from shared.errors import PermanentError, Unavailable
from shared.partitioner import partitions_of
from shared.topics import DEAD_LETTERS, MAX_LETTER_BYTES, MAX_RECORD_BYTES

DEADLINE_SECONDS = 8.0
_BATCH_BYTES = 262_144
_SMALL = MAX_RECORD_BYTES // 2
"""Bytes of a value up to which no record is too large: keys and headers are far below."""


def producer_options(
    bootstrap: str, client_id: str, security: dict[str, Any] | None = None
) -> dict[str, Any]:
    """How our producers are set; batches are made by hand, so none lingers for more."""
    return {
        "bootstrap_servers": bootstrap,
        "client_id": client_id,
        "acks": "all",
        "enable_idempotence": False,
        "linger_ms": 0,
        "max_batch_size": _BATCH_BYTES,
        "max_request_size": 2 * MAX_RECORD_BYTES,
        "compression_type": "zstd",
        "request_timeout_ms": 5000,
        **(security or {}),
    }


def _refuse_oversize(record: Outgoing) -> None:
    """Raises PermanentError `too_large`."""
    limit = MAX_LETTER_BYTES if record.topic == DEAD_LETTERS.name else MAX_RECORD_BYTES
    if record.is_over(limit):
        raise PermanentError("too_large", f"a record for {record.topic} is over {limit} bytes")


def _by_topic(records: Sequence[Outgoing]) -> dict[str, Sequence[Outgoing]]:
    """Nearly always it is one."""
    topics = {record.topic for record in records}
    if len(topics) == 1:
        return {topics.pop(): records}
    return {topic: [record for record in records if record.topic == topic] for topic in topics}


class Publisher:
    """Sends records and waits until Kafka has them. One per process; safe for concurrent use."""

    def __init__(self, bootstrap: str, *, client_id: str, security: dict[str, Any] | None = None) -> None:
        self._options = producer_options(bootstrap, client_id, security)
        self._producer: AIOKafkaProducer | None = None
        self._sending = asyncio.Lock()
        self.away = ""
        """Why the last publication or probe failed, "" when it did not: for readiness."""

    async def __aenter__(self) -> Publisher:
        self._producer = AIOKafkaProducer(**self._options)
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            try:
                await asyncio.wait_for(producer.stop(), DEADLINE_SECONDS)
            except TimeoutError:
                # stop() flushes, which cannot end while no broker answers; nobody waits for those sends
                await producer.client.close()

    @property
    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("not connected to Kafka yet")
        return self._producer

    async def publish(self, records: Sequence[Outgoing], *, deadline: float = DEADLINE_SECONDS) -> None:
        """Send all, in order per key, and wait for every acknowledgement.

        Raises PermanentError `too_large` before anything is sent, and Unavailable when not all were
        acknowledged within `deadline` seconds: some of them may be stored, sending again is safe.
        """
        if not records:
            return
        for record in records:
            if len(record.value) > _SMALL:
                _refuse_oversize(record)
        began = time.perf_counter()
        with self._told():
            async with asyncio.timeout(deadline):
                await self._send(records)
        metrics.PUBLISH_SECONDS.observe(time.perf_counter() - began)
        metrics.PUBLISHED.inc(len(records))

    async def probe(self, deadline: float = 5.0) -> None:
        """Ask the cluster something, so that `away` is true to life without traffic. Raises Unavailable."""
        with self._told():
            async with asyncio.timeout(deadline):
                await self._connected.client.fetch_all_metadata()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            self.away = "Kafka acknowledged too late"
            raise Unavailable(self.away) from error
        except KafkaError as error:
            self.away = f"Kafka refused: {type(error).__name__}"
            raise Unavailable(self.away) from error
        self.away = ""

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises Unavailable when Kafka does not know it."""
        found = await self._connected.partitions_for(topic)
        if not found:
            raise Unavailable(f"topic {topic} does not exist or has no leader")
        return len(found)

    async def _send(self, records: Sequence[Outgoing]) -> None:
        producer = self._connected
        by_partition: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        for topic, group in _by_topic(records).items():
            partitions = partitions_of([record.key for record in group], await self.partitions(topic))
            for record, partition in zip(group, partitions, strict=True):
                by_partition[topic, partition].append(record)
        acknowledgements: list[asyncio.Future[Any]] = []
        # one at a time into the client's buffer: waiters for a full partition race there and time out early
        async with self._sending:
            for (topic, partition), group in by_partition.items():
                for batch in self._batches(producer, group):
                    acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*acknowledgements)

    def _batches(self, producer: AIOKafkaProducer, group: list[Outgoing]) -> Iterator[Any]:
        batch = producer.create_batch()
        for record in group:
            if not self._append(batch, record):
                yield batch
                batch = producer.create_batch()
                self._append(batch, record)
        yield batch

    @staticmethod
    def _append(batch: Any, record: Outgoing) -> bool:
        appended = batch.append(key=record.key, value=record.value, timestamp=None, headers=record.headers)
        return appended is not None
