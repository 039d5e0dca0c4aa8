"""Consuming a topic: batches by FastStream, ownership by fences, commits for the lag display only.

FastStream delivers, aiokafka balances; what was processed is known by the fence documents in MongoDB
(shared/exactly_once.py), so a rebalance, a late commit or a lost one changes nothing. The handler never
raises into FastStream: it would log the error, skip the batch, and let neighbours' commits cover the hole.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from logging import CRITICAL, WARNING
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage
from faststream.message import StreamMessage

from shared import observability as metrics
from shared.crash import crash_point
from shared.errors import TransientError, Unavailable
from shared.exactly_once import Position
from shared.handler import Handler, Partition, Tick
from shared.partitioner import partition_of
from shared.processing import Processor, Record
from shared.topics import Topic

log = structlog.get_logger("cqm.stream")

COMMIT_DEADLINE_SECONDS = 5.0
LEAVE_DEADLINE_SECONDS = 3.0
BATCH_DEADLINE_SECONDS = 2.5
CLOSE_DEADLINE_SECONDS = 0.5
LOST_AFTER_SECONDS = 5.0
"""Between two assignments a partition is nobody's for a moment; this long, it has been lost."""
FILL_DEADLINE_SECONDS = 0.1
"""In a rebalance getmany waits for its end, and the rebalance for the end of the batch in hand."""
AT_ONCE = 500
POLL_BYTES = 16_777_216
"""Records are taken so many at a time, and none beyond so many bytes of values: Kafka counts what it sends
compressed, of which a megabyte may hold a hundred."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a stream polls: records per batch, the window in which a small batch grows, session seconds.

    Tiny batches are the dear ones, so a poll of less than an eighth of `max_records` waits `window` seconds
    once and takes what has arrived since; a larger one would only idle.
    """

    max_records: int = 4000
    window: float = 0.05
    session_timeout: float = 10.0
    max_poll_interval: float = 60.0


class Stream(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One topic, one consumer group, one handler."""

    def __init__(
        self,
        broker: KafkaBroker,
        topic: Topic,
        processor: Processor[Any, Any],
        pace: Pace | None = None,
        apart: str = "",
    ) -> None:
        self.topic = topic
        self.group = processor.exactly_once.group
        self.processor = processor
        metrics.STREAM_RESTARTS.labels(self.group)  # there at 0, as the dead letters are
        self.pace = pace or Pace()
        self.joined = False
        self.unclaimed: set[Partition] = set()
        self.out_of_range: dict[Partition, str] = {}
        self.handled = 0
        self.last_timestamp_ms = 0
        self._busy = asyncio.Lock()
        self._claiming: asyncio.Task[None] | None = None
        self._committed: dict[Partition, int] = {}
        self._astray: dict[Partition, float] = {}
        self.subscriber = broker.subscriber(
            topic.name,
            group_id=self.group + apart,
            batch=True,
            max_records=min(AT_ONCE, self.pace.max_records),
            batch_timeout_ms=50,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            listener=self,
            parser=self._parse,
            decoder=_keep,
            session_timeout_ms=int(self.pace.session_timeout * 1000),
            heartbeat_interval_ms=1000,
            rebalance_timeout_ms=12_000,
            max_poll_interval_ms=int(self.pace.max_poll_interval * 1000),
            fetch_max_bytes=16_777_216,
        )
        self.subscriber(self._on_poll)

    @property
    def consumer(self) -> AIOKafkaConsumer | None:
        return self.subscriber.consumer

    @property
    def held(self) -> list[Partition]:
        """The partitions that this replica has claimed and may write for."""
        return list(self.processor.exactly_once.positions)

    @property
    def busy(self) -> bool:
        """Whether it works on a poll, a tick or a claim at the moment."""
        return self._busy.locked()

    @property
    def positions(self) -> dict[Partition, Position]:
        """Where the fence of each held partition stands: it moves on with every record of the partition."""
        return dict(self.processor.exactly_once.positions)

    def holds(self, key: bytes) -> bool:
        """Whether the records of this key are processed here at the moment."""
        count = len(self.consumer.partitions_for_topic(self.topic.name) or ()) if self.consumer else 0
        held = self.processor.exactly_once.positions
        return bool(count) and Partition(self.topic.name, partition_of(key, count)) in held

    def lost(self) -> dict[Partition, float]:
        """Partitions that Kafka assigned and nobody here works on, with the seconds since they were first so.

        Another replica took their fences and may have died before it joined the group: then no rebalance
        comes, and only this replica can claim them again.
        """
        assigned = self.consumer.assignment() if self.consumer is not None else frozenset[TopicPartition]()
        theirs = {Partition(one.topic, one.partition) for one in assigned}
        astray = theirs.difference(self.held, self.unclaimed, self.out_of_range)
        now = self.processor.clock.monotonic()
        self._astray = {partition: self._astray.get(partition, now) for partition in astray}
        return {partition: now - since for partition, since in self._astray.items()}

    def problems(self) -> list[str]:
        """Why the stream is not ready, in words; empty when it is."""
        found = [f"{partition}: {why}" for partition, why in self.processor.stopped.items()]
        found += [f"{partition}: {why}" for partition, why in self.out_of_range.items()]
        if not self.joined:
            found.append(f"{self.group} has not joined its consumer group yet")
        if self.unclaimed:
            found.append(f"{self.group} has {len(self.unclaimed)} partitions still to claim")
        lost = sorted(one for one, seconds in self.lost().items() if seconds > LOST_AFTER_SECONDS)
        found += [f"{partition}: assigned but not held: another replica took its fence" for partition in lost]
        if self.processor.away:
            found.append(f"{self.group} waits: {self.processor.away}")
        return found

    async def tick(self, handler: Handler[Tick, Any, Any], tick: Tick) -> bool:
        """Let time act on held partitions, between two batches; returns whether it was done."""
        async with self._busy:
            return await self.processor.tick(handler, tick)

    async def drain(self) -> None:
        """Finish the batch in flight, tell Kafka how far it got, and give everything back.

        A batch that waits for a server that is away is left where it is: the fence says what of it was done.
        """
        self.processor.draining.set()
        self._stop_claiming()
        try:
            async with asyncio.timeout(BATCH_DEADLINE_SECONDS), self._busy:
                await self.commit()
        except TimeoutError:
            log.warning("left_a_batch", group=self.group, why=self.processor.away or "it takes too long")
        await self._leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_DEADLINE_SECONDS):
                await self.processor.exactly_once.close()

    async def restart(self) -> None:
        """Leave the group and join it again, for a consumer that has stopped delivering."""
        metrics.STREAM_RESTARTS.labels(self.group).inc()
        log.error("restarting_consumer", group=self.group)
        await self.rejoin()

    async def rejoin(self) -> None:
        """Leave the group and join it again. Raises Unavailable when Kafka is away."""
        await self._leave()
        try:
            await self.subscriber.start()
        except KafkaError as error:
            raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error

    async def _leave(self) -> None:
        """Leave the group; a client that waits for a lost coordinator cannot, so nobody waits for it."""
        try:
            async with asyncio.timeout(LEAVE_DEADLINE_SECONDS):
                await self.subscriber.stop()
        except TimeoutError:
            log.error("left_without_goodbye", group=self.group)

    async def commit(self) -> None:
        """Tell Kafka the positions; it is only a display, the fences decide, so a failure is no harm."""
        if self.consumer is None:
            return
        for partition, held in list(self.processor.exactly_once.positions.items()):
            if held.next is None or self._committed.get(partition) == held.next:
                continue
            try:
                async with asyncio.timeout(COMMIT_DEADLINE_SECONDS):
                    await self.consumer.commit({partition: held.next})
            except (KafkaError, TimeoutError) as error:
                log.info("commit_failed", partition=str(partition), error=type(error).__name__)
                return
            self._committed[partition] = held.next
            crash_point(self.group, "offset_committed")

    # --- polling -------------------------------------------------------------------------------------

    async def _parse(self, raw: tuple[Record, ...]) -> StreamMessage[Any]:
        """Without looking at headers: the default parser throws a whole batch away for one bad header."""
        consumer: Any = self.consumer
        return KafkaMessage(body=[record.value or b"" for record in raw], raw_message=raw, consumer=consumer)

    async def _on_poll(self, message: StreamMessage[Any]) -> None:
        try:
            async with self._busy:
                records = await self._fill(message.raw_message)
                polled: defaultdict[Partition, list[Record]] = defaultdict(list)
                for record in records:
                    polled[Partition(record.topic, record.partition)].append(record)
                with metrics.STREAM_BATCH_SECONDS.labels(self.group).time():
                    await self.processor.process(polled)
                self._settle(polled, len(records))
        except Exception as error:
            # a bug in the spine itself: the fences did not move, so a fresh start loses nothing
            log.critical("poll_failed", group=self.group, exc_info=error)
            for partition in {Partition(r.topic, r.partition) for r in message.raw_message}:
                self.processor.stopped[partition] = f"bug in the stream: {type(error).__name__}"

    async def _fill(self, first: Sequence[Record]) -> list[Record]:
        """With what else is here already, and where that is little, with what the next moment brings."""
        records = list(first)
        await self._take(records)
        if self.pace.window and len(records) * 8 < self.pace.max_records:
            await asyncio.sleep(self.pace.window)  # the batching window, like a producer's linger
            await self._take(records)
        return records

    async def _take(self, records: list[Record]) -> None:
        size = sum(len(record.value or b"") for record in records)
        with suppress(TimeoutError):
            async with asyncio.timeout(FILL_DEADLINE_SECONDS):
                while self.consumer is not None and size < POLL_BYTES:
                    room = min(AT_ONCE, self.pace.max_records - len(records))
                    more = await self.consumer.getmany(max_records=room) if room else {}
                    if not more:
                        return
                    for some in more.values():
                        records.extend(some)
                        size += sum(len(record.value or b"") for record in some)

    def _settle(self, polled: dict[Partition, list[Record]], count: int) -> None:
        self.handled += count
        self.last_timestamp_ms = max(records[-1].timestamp for records in polled.values())
        if self.processor.stopped and self.consumer is not None:
            stopped = self.processor.stopped
            self.consumer.pause(*(one for one in self.consumer.assignment() if one in stopped))

    # --- ownership -----------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Let the batch in flight end before the partitions go: its records are not delivered twice."""
        self._stop_claiming()
        try:
            async with asyncio.timeout(self.pace.session_timeout * 0.8), self._busy:
                await self.commit()
        except TimeoutError:
            log.warning("revoked_while_busy", group=self.group)  # the fence refuses what comes too late
        self.processor.exactly_once.release(list(revoked))
        self._committed.clear()
        metrics.STREAM_PARTITIONS.labels(self.group).set(0)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Claim in the background: no heartbeat runs while this hook waits, and what it raises is lost."""
        if self.consumer is not None and assigned:
            self.consumer.pause(*assigned)
        metrics.STREAM_REBALANCES.labels(self.group).inc()
        if self.processor.draining.is_set():
            return  # a rebalance that was under way: whoever leaves takes nothing any more
        self.unclaimed = set(assigned)
        self.out_of_range.clear()
        self.processor.stopped.clear()
        self._claiming = asyncio.create_task(self._claim_all(sorted(assigned)))

    def _stop_claiming(self) -> None:
        if self._claiming is not None:
            self._claiming.cancel()

    async def _claim_all(self, assigned: list[TopicPartition]) -> None:
        """All at once, between two batches, so that a replica that takes over has no backlog in its way."""
        attempt = 0
        while self.unclaimed:
            try:
                async with self._busy:
                    await self.processor.exactly_once.claim(sorted(self.unclaimed))
                    await self._take_up(assigned)
                self.unclaimed.clear()
            except Exception as error:  # whatever it is: partitions that nobody claims must not fall silent
                attempt += 1
                self.processor.away = str(error) or type(error).__name__
                is_bug = not isinstance(error, TransientError | KafkaError | TimeoutError)
                log.log(
                    CRITICAL if is_bug else WARNING, "claim_failed", group=self.group,
                    why=self.processor.away, attempt=attempt, exc_info=error if is_bug else None,
                )  # fmt: skip
                await asyncio.sleep(min(5.0, 0.1 * 2**attempt))  # backoff
        self.processor.away = ""
        self.joined = True
        metrics.STREAM_PARTITIONS.labels(self.group).set(len(self.held))

    async def _take_up(self, assigned: list[TopicPartition]) -> None:
        """Go to where the fences stand; a position that the log no longer has is an alarm, not a skip."""
        if self.consumer is None or not assigned:
            return
        async with asyncio.timeout(COMMIT_DEADLINE_SECONDS):
            first = await self.consumer.beginning_offsets(assigned)
            last = await self.consumer.end_offsets(assigned)
        for partition in assigned:
            following = self.processor.exactly_once.positions[partition].next
            if following is None:
                following = first[partition]
            if first[partition] <= following <= last[partition]:
                self.consumer.seek(partition, following)
                self.consumer.resume(partition)
                continue
            self.out_of_range[partition] = (
                f"stored position {following} is outside the log [{first[partition]}, {last[partition]}]: "
                "the topic was recreated or retention passed it; see docs/runbook.md"
            )
            log.critical("position_outside_log", partition=str(partition), stored=following)
            self.processor.exactly_once.release([partition])


async def _keep(message: StreamMessage[Any]) -> StreamMessage[Any]:
    """The decoder of the subscriber: the handler gets the message itself, raw records included."""
    return message
