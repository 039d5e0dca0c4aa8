"""What happens to the records of a poll: done once, refused with a reason, or their partition stops loudly.

The batch is tried whole, in one transaction. When it fails for a reason of its records, it is tried by
partition, then in halves, so that one poison record holds up nobody else:

- PermanentError of one record: a dead letter, and on.
- TransientError of one record: again with backoff until the retry budget is spent, then a dead letter.
- Unavailable: MongoDB or Kafka is away; nothing is to blame, wait and go on where the fences stand.
- Fenced: another replica holds the partition; its records are no longer ours.
- anything else is a bug: the partition stops, readiness and an alarm say so, the others go on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import structlog
from bson.errors import BSONError
from opentelemetry.trace import SpanKind

from shared import observability as metrics
from shared.ahead import Ahead
from shared.clock import Clock
from shared.codec import Outgoing
from shared.crash import crash_point
from shared.dead_letters import REASONS, Origin, dead_letter
from shared.errors import Fenced, LaterVersion, PermanentError, TooSlow, TransientError, Unavailable
from shared.exactly_once import ExactlyOnce, Span, TooMuchAtOnce
from shared.handler import Batch, Decision, Handler, Partition, Received, Refusal, Tick
from shared.mongo import Session
from shared.sealing import Seals

log = structlog.get_logger("cqm.processing")
Record: TypeAlias = Any  # an aiokafka.ConsumerRecord, which ships no types
Polled = Mapping[Partition, Sequence[Record]]
L = TypeVar("L")
C = TypeVar("C")


_PIECES, _PIECE = 4, 1000
"""A large poll is done in so many transactions, so that there is always something to read ahead; with fewer
records than that each of them would cost more than it saves."""
_FEW = 100
UNSTORABLE = (OverflowError, BSONError)
"""What MongoDB's format has no room for: an integer over 64 bits, a time after the year 9999 in UTC."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a stream is. Seconds, and dead letters in a row per partition before it stops.

    A transaction that took longer than `transaction_seconds` makes the next ones smaller; MongoDB ends
    those that outlive transactionLifetimeLimitSeconds (3 where CQM starts it, 60 by default).
    """

    retry_budget: float = 30.0
    backoff_first: float = 0.1
    backoff_most: float = 5.0
    dead_letters_in_a_row: int = 50
    transaction_seconds: float = 1.0
    transaction_records: int = 4000


async def _load_nothing(batch: Batch[Any], session: Session) -> None: ...


async def _store_nothing(changes: None, session: Session) -> None: ...


NOTHING: Handler[Batch[Any], None, None] = Handler(
    _load_nothing, lambda batch, loaded: Decision(None), _store_nothing
)
"""The handler of a span that has nothing but a dead letter."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What of a poll is still to be done: decoded records, how far each partition moves, the undecodable."""

    batch: Batch[Any]
    spans: dict[Partition, Span]
    dead: list[Refusal]


@dataclass
class Processor(Generic[L, C]):
    """The handler of one topic, with everything that may go wrong around it."""

    exactly_once: ExactlyOnce
    handler: Handler[Batch[Any], L, C]
    clock: Clock
    limits: Limits = Limits()
    seals: Seals | None = None
    stopped: dict[Partition, str] = field(default_factory=dict)
    away: str = ""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    _streak: dict[Partition, int] = field(default_factory=dict)
    _most: int = 1000
    _originals: dict[tuple[Partition, int], Record] = field(default_factory=dict)
    _ahead: Ahead = field(init=False)

    def __post_init__(self) -> None:
        self._ahead = Ahead(self.handler.foresee, self.seals)
        for reason in REASONS:  # there at 0 before the first one: an alarm sees what grows, not what begins
            metrics.STREAM_DEAD_LETTERS.labels(self.exactly_once.group, reason)

    async def process(self, polled: Polled) -> None:
        """Returns when each record is done, dead, stopped before, or not ours any more; or on draining."""
        self._originals = {(partition, r.offset): r for partition, some in polled.items() for r in some}
        crash_point(self.exactly_once.group, "received")
        left, most = polled, max(_PIECE, len(self._originals) // _PIECES)
        try:
            while left and not self.draining.is_set():
                now, left = take(left, min(self._most, most))
                ahead = asyncio.create_task(self._ahead.read(take(left, self._most)[0]))
                try:
                    await self._process(now)
                finally:
                    ahead.cancel()
                    await asyncio.wait({ahead})  # else it could still read into the next poll
        finally:
            self._originals = {}
            self._ahead.forget()

    async def tick(self, handler: Handler[Tick, L, C], tick: Tick) -> bool:
        """Let time act on the held partitions of `tick`, under the same fence, without moving any offset.

        Returns whether it was done; if not, the next tick finds the same work again.
        """
        spans = {
            partition: Span(held.next)
            for partition, held in self.exactly_once.positions.items()
            if partition.topic == tick.topic and partition.partition in tick.partitions
        }
        if not spans:
            return False
        held_now = Tick(tick.now, frozenset(partition.partition for partition in spans), tick.topic)
        try:
            await self.exactly_once.apply(handler, held_now, spans)
        except (Unavailable, Fenced) as error:
            self._count_retry(error)
            await self._recover(spans, error)
            return False
        return True

    def refuse(self, refusal: Refusal) -> Outgoing:
        """The dead letter of a record that a decision refused."""
        return self._letter(self._originals[refusal.partition, refusal.offset], refusal.error, attempts=1)

    async def _process(self, polled: Polled) -> None:
        while not self.draining.is_set():
            work = self._prepare(polled)
            if not work.spans:
                return
            try:
                return await self._apply(work)
            except (Unavailable, Fenced) as error:
                self._count_retry(error)
                await self._recover(work.spans, error)
            except Exception as error:
                return await self._isolate(polled, error)

    async def _apply(self, work: Prepared) -> None:
        group, records = self.exactly_once.group, work.batch.records
        context, links = metrics.consumed(record.cause.traceparent for record in records)
        count = {"cqm.records": len(records)}
        with metrics.tracer.start_as_current_span(
            f"process {group}", context, kind=SpanKind.CONSUMER, links=links, attributes=count
        ):
            decision = await self.exactly_once.apply(self.handler, work.batch, work.spans, self.refuse)
        self._adapt(len(records), self.exactly_once.took)
        self._done(work, decision.refused)

    def _adapt(self, records: int, seconds: float) -> None:
        """Keep a transaction well within the lifetime that the server gives it, however slow the machine.

        A small one that is slow waits for something, and half of it would wait as long: only one that the
        server ended (TooSlow) makes the next ones smaller than _FEW.
        """
        limit = self.limits.transaction_seconds
        if seconds > limit and records > _FEW:
            self._most = max(_FEW, min(self._most, records) // 2)
        elif records >= self._most and seconds < (limit if self._most < _FEW else limit / 2):
            self._most = min(self._most * 2, self.limits.transaction_records)

    async def _isolate(self, polled: Polled, error: Exception) -> None:
        parts = split(polled)
        if isinstance(error, TooSlow):
            self._most = max(1, min(self._most, sum(map(len, polled.values()))) // 2)
        if len(parts) == 1:
            ((partition, (record,)),) = parts[0].items()
            return await self._single(partition, record, error)
        metrics.STREAM_RETRIES.labels(self.exactly_once.group, "split").inc()
        log.warning(
            "trying_smaller", error=type(error).__name__, code=getattr(error, "code", None), parts=len(parts)
        )
        for part in parts:
            await self._process(part)

    async def _single(self, partition: Partition, record: Record, error: Exception) -> None:
        attempts, deadline = 1, self.clock.monotonic() + self.limits.retry_budget
        while isinstance(error, TransientError) and (
            isinstance(error, TooSlow) or self.clock.monotonic() < deadline
        ):
            if await self._drained_within(self._backoff(attempts)):
                return
            attempts += 1
            work = self._prepare({partition: [record]})
            try:
                return await self._apply(work) if work.spans else None
            except (Unavailable, Fenced) as away:
                await self._recover(work.spans, away)
            except Exception as again:
                error = again
        if isinstance(error, TransientError):
            error = PermanentError("retries_exhausted", f"still failing after {attempts} attempts: {error}")
        if isinstance(error, TooMuchAtOnce):
            error = PermanentError("too_much_at_once", str(error))
        if isinstance(error, UNSTORABLE):
            error = PermanentError(
                "unstorable", f"a number or a time is out of range ({type(error).__name__})"
            )
        if isinstance(error, PermanentError):
            return await self._bury(partition, record, error, attempts)
        self._stop(partition, f"bug at offset {record.offset}: {type(error).__name__}", error)

    async def _bury(self, partition: Partition, record: Record, error: PermanentError, attempts: int) -> None:
        letter = self._letter(record, error, attempts)
        span = Span(record.offset + 1, [letter])
        while not self.draining.is_set() and self._is_open(partition, record):
            try:
                await self.exactly_once.apply(NOTHING, Batch([], self.clock.now()), {partition: span})
            except (Unavailable, Fenced) as away:
                await self._recover({partition: span}, away)
            else:
                return self._count_dead(partition, error)

    def _prepare(self, polled: Polled) -> Prepared:
        received: list[Received[Any]] = []
        dead: list[Refusal] = []
        spans: dict[Partition, Span] = {}
        self._ahead.decode([(partition, record) for partition, some in polled.items() for record in some])
        for partition, records in polled.items():
            letters: list[Outgoing] = []
            following, streak = None, self._streak.get(partition, 0)
            for record in records:
                if not self._is_open(partition, record):
                    continue
                try:
                    received.append(self._ahead.received(partition, record))
                    streak = 0
                except PermanentError as error:
                    streak += not error.alone
                    if streak > self.limits.dead_letters_in_a_row:
                        self._stop(partition, f"{streak} dead letters in a row: {error.reason}", error)
                        break
                    letters.append(self._letter(record, error, attempts=1))
                    dead.append(Refusal(record.offset, partition, error))
                following = record.offset + 1
            if following is not None:
                spans[partition] = Span(following, letters)
        return Prepared(Batch(received, self.clock.now()), spans, dead)

    def _is_open(self, partition: Partition, record: Record) -> bool:
        held = self.exactly_once.positions.get(partition)
        if held is None or partition in self.stopped:
            return False
        return held.next is None or record.offset >= held.next

    def _done(self, work: Prepared, refused: Sequence[Refusal]) -> None:
        group, records = self.exactly_once.group, work.batch.records
        dead = {(lost.partition, lost.offset): lost.error for lost in (*work.dead, *refused)}
        metrics.STREAM_BATCH_RECORDS.labels(group).observe(len(records))
        metrics.STREAM_RECORDS.labels(group, "processed").inc(len(records) - len(refused))
        done = [(record.cause.partition, record.offset) for record in records]
        if not dead:
            self._streak.clear()
            return
        for partition, offset in sorted({*done, *dead}):
            if error := dead.get((partition, offset)):
                self._count_dead(partition, error)
            else:
                self._streak[partition] = 0
        if later := sum(isinstance(error, LaterVersion) for error in dead.values()):
            log.warning("later_version", group=group, records=later)

    def _count_dead(self, partition: Partition, error: PermanentError) -> None:
        group, reason = self.exactly_once.group, error.reason
        metrics.STREAM_RECORDS.labels(group, "dead").inc()
        metrics.STREAM_DEAD_LETTERS.labels(group, reason).inc()
        if isinstance(error, LaterVersion):
            return
        log.error("dead_letter", group=group, partition=str(partition), reason=reason)
        if error.alone:
            return
        self._streak[partition] = self._streak.get(partition, 0) + 1
        if self._streak[partition] > self.limits.dead_letters_in_a_row:
            self._stop(partition, f"{self._streak[partition]} dead letters in a row: {reason}", None)

    def _count_retry(self, error: TransientError) -> None:
        why = "fenced" if isinstance(error, Fenced) else "unavailable"
        metrics.STREAM_RETRIES.labels(self.exactly_once.group, why).inc()

    def _letter(self, record: Record, error: PermanentError, attempts: int) -> Outgoing:
        origin = Origin(
            self.exactly_once.group, record.topic, record.partition, record.offset,
            record.timestamp, record.key, record.value, tuple(record.headers),
        )  # fmt: skip
        return dead_letter(origin, error, attempts=attempts, at=self.clock.now())

    def _stop(self, partition: Partition, why: str, error: BaseException | None) -> None:
        if partition not in self.stopped:
            self.stopped[partition] = why
            log.critical("partition_stopped", partition=str(partition), why=why, exc_info=error)

    async def _recover(self, spans: Mapping[Partition, Span], error: TransientError) -> None:
        """Wait until the fences can be read and what is pending is published; then the truth is known."""
        attempt = 0
        while not self.draining.is_set():
            try:
                await self.exactly_once.recover(list(spans))
            except TransientError as again:
                attempt += 1
                self.away = str(again)
                log.warning("waiting", group=self.exactly_once.group, why=str(again), attempt=attempt)
                await self._drained_within(self._backoff(attempt))
            else:
                self.away = ""
                return

    async def _drained_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.draining.wait()
        except TimeoutError:
            return False
        return True

    def _backoff(self, attempt: int) -> float:
        most = min(self.limits.backoff_most, self.limits.backoff_first * 2 ** min(attempt, 20))
        return float(most * (0.5 + random.random() / 2))


def take(polled: Polled, most: int) -> tuple[Polled, Polled]:
    """About `most` records, evenly from the partitions and in order, and what is left of the poll."""
    each = max(1, most // max(1, len(polled)))
    now = {partition: records[:each] for partition, records in polled.items()}
    left = {partition: records[each:] for partition, records in polled.items() if len(records) > each}
    return now, left


def split(polled: Polled) -> list[Polled]:
    """Smaller parts in order: the partitions one by one, one partition in halves, one record as it is."""
    if len(polled) > 1:
        return [{partition: records} for partition, records in polled.items() if records]
    ((partition, records),) = polled.items()
    middle = len(records) // 2
    return [{partition: half} for half in (records[:middle], records[middle:]) if half]
