"""A small real consumer for tests of the spine: every feedback becomes one document and one event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace

from shared import ids
from shared.clock import SystemClock
from shared.codec import Outgoing, encode
from shared.errors import ConflictError, PermanentError, TooSlow
from shared.events import AssignmentRequested, Customer, FeedbackReceived
from shared.handler import Batch, Decision, Emit, Handler, Refusal
from shared.mongo import Collection, Session
from shared.service import Service
from shared.settings import Settings
from shared.topics import Topic
from tests.support.servers import Servers

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)


def feedback(number: int, *, text: str = "", run: str = "r") -> FeedbackReceived:
    """The feedback with this number: the same number is the same feedback."""
    return FeedbackReceived(
        id=ids.signal_id("feedback", run, str(number)),
        source=run,
        external_id=str(number),
        kind="complaint",
        occurred_at=NOW,
        received_at=NOW,
        text=text or f"number {number}",
        customer=Customer(id=f"C-{number % 50}"),
    )


def record(event: FeedbackReceived, topic: str) -> Outgoing:
    """The event as intake would say it, on a topic of the test's own."""
    return replace(encode(event, key=event.customer.id.encode(), source="intake", at=NOW), topic=topic)


@dataclass
class Recorder:
    """The handler under test: remembers in MongoDB, says one event each, fails where the text asks."""

    collection: Collection
    failing: dict[str, Callable[[], BaseException]] = field(default_factory=dict)
    calls: int = 0
    slow_over: int = 10**9
    holding: asyncio.Event | None = None
    """Where set: the batch in hand waits for it."""

    def handler(self) -> Handler[Batch[FeedbackReceived], set[UUID], list[dict[str, Any]]]:
        return Handler(self.load, self.decide, self.store)

    async def load(self, batch: Batch[FeedbackReceived], session: Session) -> set[UUID]:
        wanted = [received.event.id for received in batch.records]
        found = self.collection.find({"_id": {"$in": wanted}}, {"_id": 1}, session=session)
        known = {document["_id"] async for document in found}
        if self.holding is not None:
            await self.holding.wait()
        return known

    def decide(self, batch: Batch[FeedbackReceived], known: set[UUID]) -> Decision[list[dict[str, Any]]]:
        self.calls += 1
        if len(batch.records) > self.slow_over:
            raise TooSlow("as MongoDB ends a transaction that grew too old")
        new, events, refused, seen = [], [], [], set(known)
        for received in batch.records:
            event = received.event
            if error := self.failing.get(event.text):
                raise error()
            if event.text == "refuse":
                refusal = PermanentError("refused", "the test wants it so")
                refused.append(Refusal(received.offset, received.cause.partition, refusal))
            elif event.text == "conflict":
                conflict = ConflictError("the test wants it so")
                refused.append(Refusal(received.offset, received.cause.partition, conflict))
            elif event.id not in seen:
                seen.add(event.id)
                new.append({"_id": event.id, "text": event.text})
                said = AssignmentRequested(
                    id=ids.event_id(event.id, "said", 1), department="d", reason="opened", at=NOW
                )
                events.append(Emit(said, b"d", NOW, received.cause))
        return Decision(new, events, refused)

    async def store(self, new: list[dict[str, Any]], session: Session) -> None:
        if new:
            await self.collection.insert_many(new, session=session)


@asynccontextmanager
async def running(
    servers: Servers, prefix: str, topic: Topic, **settings: Any
) -> AsyncIterator[tuple[Service, Recorder]]:
    """A replica of that service, joined; drained afterwards."""
    service, recorder = spine_service(settings_for(servers.kafka, servers.mongo, prefix, **settings), topic)
    async with service.running():
        await eventually(lambda: service.started and service.streams[0].joined, what="joined")
        yield service, recorder


@asynccontextmanager
async def topic_of_its_own(kafka: str, partitions: int = 3) -> AsyncIterator[Topic]:
    """A fresh topic, deleted afterwards."""
    topic = Topic(f"test.{uuid4().hex[:8]}", (FeedbackReceived,), "customer", "test", ("test",), partitions)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic.name, partitions, 1, topic_configs=topic.config(1))])
    try:
        yield topic
    finally:
        await admin.delete_topics([topic.name])
        await admin.close()


def settings_for(kafka: str, mongo: str, prefix: str, **changes: Any) -> Settings:
    """Settings with quick patience, so that tests of failures take seconds."""
    quick: dict[str, Any] = {"retry_budget": 1.0, "dead_letters_in_a_row": 3, "session_timeout": 6.0}
    return Settings(kafka=kafka, mongo=mongo, database_prefix=prefix, log="text", **quick | changes)


def spine_service(settings: Settings, topic: Topic) -> tuple[Service, Recorder]:
    """A service of one stream; enter `service.running()` to start it."""
    service = Service.build("spine", settings, SystemClock())
    recorder = Recorder(service.database.seen)
    service.subscribe(topic, recorder.handler())
    return service, recorder


async def eventually(condition: Callable[[], Any], *, within: float = 20.0, what: str = "") -> Any:
    """Wait until `condition()` (awaited when it is a coroutine) is true; fails with `what` after `within`."""
    end = asyncio.get_running_loop().time() + within
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert asyncio.get_running_loop().time() < end, f"not within {within:g} s: {what or condition}"
        await asyncio.sleep(0.05)
