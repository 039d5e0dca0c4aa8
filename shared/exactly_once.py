"""Exactly-once effects on at-least-once delivery: the one mechanism of routing, sla and analytics.

Per poll, one MongoDB transaction: load, decide (pure), the fence, and store. The fence for every
partition moves `next` on only if this replica still holds the partition's epoch, and leaves the outgoing
events there as `pending`. After the commit the pending events are published, and only then is the next
batch begun, whose fence overwrites them. A crash anywhere leaves either nothing or a fence document from
which the successor publishes what was pending and goes on at `next`
(docs/adr/0001-at-least-once-with-a-fence.md).

The body of the transaction does no I/O but MongoDB and starts from its own snapshot, so running it again
is harmless. What is published twice has the same ids; consumers meet it by ids and versions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import msgspec
from bson import Binary
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from shared.codec import Outgoing, encode
from shared.crash import crash_point
from shared.errors import Fenced, Unavailable
from shared.handler import Decision, Handler, Partition, Refusal
from shared.mongo import Database, Document, Mongo, Session, driver_errors, ending_after, transaction
from shared.publish import Publisher

PENDING_LIMIT_BYTES = 12_000_000
"""Outgoing events of one partition in one batch; a fence document holds at most 16 MB."""
_LOCKED_AFTER_SECONDS = 0.5


B = TypeVar("B")
L = TypeVar("L")
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Position:
    """A held partition: my epoch, and the next offset to process (None: nothing was ever processed)."""

    epoch: int
    next: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """What of one partition is processed in a transaction: up to `next`, with its own dead letters."""

    next: int | None
    letters: Sequence[Outgoing] = ()


@dataclass
class ExactlyOnce:
    """The fences of one consumer group, and the transaction around its handlers' work.

    The streams of one process take turns with their transactions: they write the same cases, and a
    conflict makes a whole batch be loaded and decided again. `took`: seconds of the last transaction, without
    the wait for its turn.
    """

    group: str
    service: str
    mongo: Mongo
    database: Database
    publisher: Publisher
    turn: asyncio.Lock
    positions: dict[Partition, Position] = field(default_factory=dict)
    took: float = 0.0
    _session: Session | None = None

    async def close(self) -> None:
        """Give the session back."""
        if self._session is not None:
            await self._session.end_session()
            self._session = None

    async def claim(self, partitions: Collection[Partition]) -> None:
        """Take partitions over: raise their epochs, say again what their last owners may not have said.

        Whoever held them before is fenced from this moment. Raises Unavailable; repeating it is safe.
        """
        session: Binary = (await self._own_session()).session_id["id"]  # type: ignore[index]  # a property
        claims = (self._claim(partition, session.as_uuid()) for partition in partitions)
        # all have ended before any is tried again: a straggler would put an old epoch over the new one
        for outcome in await asyncio.gather(*claims, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _claim(self, partition: Partition, session_id: UUID) -> None:
        fence = await self._raise_epoch(partition, session_id)
        await self._publish_pending(fence)
        self.positions[partition] = Position(fence["epoch"], fence.get("next"))

    def release(self, partitions: Collection[Partition]) -> None:
        """Forget partitions; their records are somebody else's work now."""
        for partition in partitions:
            self.positions.pop(partition, None)

    async def recover(self, partitions: Collection[Partition]) -> None:
        """After an unknown outcome: learn from the fences what was committed, publish what is pending.

        Partitions that another replica took are released.
        """
        for partition in partitions:
            held = self.positions.get(partition)
            if held is None:
                continue
            with driver_errors():
                fence = await self.database.offsets.find_one({"_id": self._id(partition)})
            if fence is None or fence["epoch"] != held.epoch:
                self.release([partition])
                continue
            await self._publish_pending(fence)
            self.positions[partition] = Position(held.epoch, fence.get("next"))

    async def apply(
        self,
        handler: Handler[B, L, C],
        batch: B,
        spans: Mapping[Partition, Span],
        refuse: Callable[[Refusal], Outgoing] | None = None,
    ) -> Decision[C]:
        """Process `batch` once and for all; returns when its events are on Kafka.

        Raises Fenced when another replica holds one of the partitions (nothing was done), Unavailable
        when MongoDB or Kafka is away (call `recover` before anything else), and whatever the handler
        raises (nothing was done).
        """
        pending: dict[Partition, list[Outgoing]] = {}

        async def body(session: Session) -> Decision[C]:
            loaded = await handler.load(batch, session)
            decision = handler.decide(batch, loaded)
            crash_point(self.group, "decided")
            pending.clear()
            pending.update(self._outgoing(decision, spans, refuse))
            # the first write: a transaction that was left open is found by its fence, or has locked nothing
            await self._fence(spans, pending, session)
            await handler.store(decision.changes, session)
            crash_point(self.group, "in_transaction")
            return decision

        async with self.turn:
            began = time.monotonic()
            decision = await transaction(await self._own_session(), body)
            self.took = time.monotonic() - began
        crash_point(self.group, "committed")
        for partition, span in spans.items():
            if held := self.positions.get(partition):  # a rebalance may have taken it during the commit
                self.positions[partition] = Position(held.epoch, span.next)
        await self.publisher.publish([record for records in pending.values() for record in records])
        crash_point(self.group, "published")
        return decision

    def _outgoing(
        self,
        decision: Decision[C],
        spans: Mapping[Partition, Span],
        refuse: Callable[[Refusal], Outgoing] | None,
    ) -> dict[Partition, list[Outgoing]]:
        outgoing = {partition: list(span.letters) for partition, span in spans.items()}
        for refusal in decision.refused:
            assert refuse is not None, "only records can be refused"
            outgoing[refusal.partition].append(refuse(refusal))
        for event, key, at, cause in decision.events:
            outgoing[cause.partition].append(
                encode(event, key=key, source=self.service, at=at, traceparent=cause.traceparent)
            )
        for records in outgoing.values():
            if sum(record.size for record in records) > PENDING_LIMIT_BYTES:
                raise TooMuchAtOnce(f"over {PENDING_LIMIT_BYTES} bytes of events in one batch")
        return outgoing

    async def _fence(
        self,
        spans: Mapping[Partition, Span],
        pending: Mapping[Partition, list[Outgoing]],
        session: Session,
    ) -> None:
        updates = [
            UpdateOne(
                {"_id": self._id(partition), "epoch": held.epoch, "next": held.next},
                {"$set": {"next": span.next, "pending": _pack(pending[partition])}},
            )
            for partition, span in spans.items()
            if (held := self.positions.get(partition))
        ]
        if len(updates) < len(spans):
            raise Fenced(f"{self.group}: a partition was revoked")
        result = await self.database.offsets.bulk_write(updates, ordered=False, session=session)
        if result.matched_count != len(spans):
            raise Fenced(f"{self.group}: another replica holds a partition of this batch")

    async def _own_session(self) -> Session:
        """One session for all transactions of the group: whoever takes over can end it by its id."""
        if self._session is None:
            self._session = await self.mongo.start_session()
        return self._session

    async def _raise_epoch(self, partition: Partition, session_id: UUID) -> Document:
        """An owner that was killed inside a transaction leaves its fence locked until the server's
        transactionLifetimeLimitSeconds (60 by default); its session is ended instead of waited for."""
        while True:
            with driver_errors():
                fence = await self.database.offsets.find_one({"_id": self._id(partition)})
            try:
                with ending_after(_LOCKED_AFTER_SECONDS):
                    raised = await self._raised(partition, fence, session_id)
            except Unavailable:
                if fence and fence.get("session") not in (None, session_id):
                    await self.mongo.kill_session(fence["session"])
                raised = await self._raised(partition, fence, session_id)
            if raised is not None:
                return raised

    async def _raised(
        self, partition: Partition, fence: Document | None, session_id: UUID
    ) -> Document | None:
        """The fence with the epoch after the one that was read; None when another claim came first.

        What was read is the condition, because an operation outlives its cancelled caller (the driver's
        thread goes on): one that comes late may not raise the epoch over the head of a later claim.
        """
        claimed = {"epoch": (fence["epoch"] if fence else 0) + 1, "session": session_id}
        offsets = self.database.offsets
        with driver_errors():
            if fence is None:
                first = {"_id": self._id(partition), "next": None, "pending": None, **claimed}
                try:
                    await offsets.insert_one(first)
                except DuplicateKeyError:
                    return None
                return first
            unchanged = {"_id": fence["_id"], "epoch": fence["epoch"]}
            found: Document | None = await offsets.find_one_and_update(
                unchanged, {"$set": claimed}, return_document=ReturnDocument.AFTER
            )
            return found

    async def _publish_pending(self, fence: Document) -> None:
        await self.publisher.publish(_unpack(fence.get("pending")))

    def _id(self, partition: Partition) -> str:
        return f"{self.group}/{partition.topic}/{partition.partition}"


class TooMuchAtOnce(Exception):
    """The batch makes more events than a fence document can hold; smaller parts of it will fit."""


def _pack(records: Sequence[Outgoing]) -> Binary | None:
    return Binary(msgspec.msgpack.encode(records)) if records else None


_records = msgspec.msgpack.Decoder(list[Outgoing])


def _unpack(pending: bytes | None) -> list[Outgoing]:
    return _records.decode(pending) if pending else []
