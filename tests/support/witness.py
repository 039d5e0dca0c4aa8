"""Collects what a run left behind in MongoDB and on Kafka, once it has come to rest, for the oracle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.routing.domain.case_file import OPEN_STATUSES
from shared.codec import decode
from shared.dead_letters import Letter
from shared.events import EVENTS, CaseChanged, EscalationRaised, TargetBreached, TargetFinished
from shared.mongo import Document, Mongo
from shared.policy import Policy
from shared.topics import ACTIVITY, ASSIGNMENTS, CASES, DEAD_LETTERS, FEEDBACK, SLA, TOPICS, Topic
from tests.support.figures import kept, recomputed
from tests.support.journal import read_journal
from tests.support.load import Load
from tests.support.oracle import Changed, Link, Seen, SeenCase, Step, Told
from tests.support.reading import fences

CONSUMERS: dict[str, tuple[Topic, ...]] = {
    "routing": (FEEDBACK, ASSIGNMENTS, SLA),
    "sla": (CASES,),
    "analytics": (FEEDBACK, ACTIVITY, CASES, SLA),
}
LOOK_EVERY_SECONDS = 0.25
OURS, KNOWN = b"cqm.", {event.type.encode() for event in EVENTS}
TOPIC_NAMED = {topic.name: topic for topic in TOPICS}
Offsets = dict[TopicPartition, int]


class Witness:
    """Sees the databases and consumer groups of one run, and the log from where the run began."""

    def __init__(self, mongo: Mongo, consumer: AIOKafkaConsumer, prefix: str, begin: Offsets) -> None:
        self._mongo, self._consumer, self._prefix, self._begin = mongo, consumer, prefix, begin

    def database(self, service: str) -> Any:
        return self._mongo.database(f"{self._prefix}_{service}")

    async def ends(self) -> Offsets:
        return await self._consumer.end_offsets(list(self._begin))

    async def fences(self, service: str, topic: Topic) -> dict[TopicPartition, Document]:
        """The fence documents of a group; those of this run, since it has a prefix of its own."""
        prefix = f"{self._prefix}.{service}.{short(topic)}/"
        found = self.database(service).offsets.find({"_id": {"$regex": f"^{prefix}"}})
        return {TopicPartition(topic.name, int(d["_id"].rpartition("/")[2])): d async for d in found}

    async def behind(self, service: str, topic: Topic, ends: Offsets) -> int:
        """Records before `ends` that the group has not done."""
        fences = await self.fences(service, topic)
        wanted = {partition: end for partition, end in ends.items() if partition.topic == topic.name}
        return sum(max(0, end - (fences[partition]["next"] or 0)) for partition, end in wanted.items())

    async def recovery(self, service: str, topic: Topic, within: float = 90.0) -> float:
        """Seconds from now until the group has done all that is on its topic now."""
        clock = asyncio.get_running_loop()
        ends, began = await self.ends(), clock.time()

        async def done() -> bool:
            return await self.behind(service, topic, ends) == 0

        try:
            await _until(done, within)
        except TimeoutError:
            stuck = await self.fences(service, topic)
            where = {p.partition: (stuck[p]["next"], end, stuck[p]["epoch"]) for p, end in ends.items()
                     if p.topic == topic.name and (stuck[p]["next"] or 0) < end}  # fmt: skip
            raise AssertionError(f"{service} is behind on {topic.name} after {within:g} s: {where}") from None
        return clock.time() - began

    async def no_timer_before(self, moment: datetime, within: float = 90.0) -> None:
        """Wait until sla has said all that was due by then."""
        clocks = self.database("sla").clocks

        async def none() -> bool:
            return await clocks.count_documents({"next_at": {"$lt": moment}}) == 0

        await _until(none, within)

    async def rest(self, within: float = 90.0) -> None:
        """Wait until everything is done and nothing more comes: no lag, no timer, nothing unsaid, twice."""
        last: list[object] = []

        async def resting() -> bool:
            nonlocal last
            state = await self._state()
            calm, last = state == last and not state[0], state
            return calm

        try:
            await _until(resting, within)
        except TimeoutError:
            raise AssertionError(f"no rest within {within:g} s: {last[0]}") from None

    async def _state(self) -> list[object]:
        """What is still to be done, by name; then the ends of the log, which move while something is."""
        ends = await self.ends()
        waiting: dict[str, int] = {}
        for service, topics in CONSUMERS.items():
            for topic in topics:
                waiting[f"{service} of {topic.name}"] = await self.behind(service, topic, ends)
        soon = datetime.now(UTC) + timedelta(minutes=1)
        waiting["timers"] = await self.database("sla").clocks.count_documents({"next_at": {"$lt": soon}})
        waiting["unsaid"] = await self._unsaid()
        return [{name: count for name, count in waiting.items() if count}, ends]

    async def _unsaid(self) -> int:
        return int(await self.database("routing").case_history.count_documents({"outbox": {"$exists": True}}))

    # --- what was left behind ------------------------------------------------------------------------

    async def seen(self, load: Load, policy: Policy) -> Seen:
        known = read_journal(load.journal.path)
        seen = Seen(known.sent, known.ok, known.refused, answered=load.answered, unsaid=await self._unsaid())
        seen.poison = load.poison
        seen.readers = tuple(f"{self._prefix}.{service}.feedback" for service in ("routing", "analytics"))
        await self._routing(seen, policy)
        await self._others(seen)
        await self._later(seen)
        await self._log(seen)
        return seen

    async def _routing(self, seen: Seen, policy: Policy) -> None:
        routing = self.database("routing")
        seen.outcomes = {d["_id"]: d["state"] async for d in routing.feedback.find()}
        async for d in routing.cases.find():
            owner = d.get("owner", "")
            weight = policy.load[d["priority"]] if owner and d["status"] in OPEN_STATUSES else 0
            feedback = tuple(d["feedback_ids"])
            seen.cases[d["_id"]] = SeenCase(d["version"], d["department"], owner, weight, feedback)
        async for d in routing.case_history.find():
            case, version, change, _, previous = json.loads(d["said"])
            seen.history.setdefault(UUID(case), []).append(Link(version, previous, d["hash"]))
            if escalation := change.get("data", {}).get("escalation"):
                seen.obeyed.append(UUID(escalation))
        async for d in routing.pools.find():
            for owner, seat in d["seats"].items():
                seen.pools[d["_id"], owner] = seat.get("load", 0)

    async def _others(self, seen: Seen) -> None:
        sla, analytics = self.database("sla"), self.database("analytics")
        seen.clocks = {d["_id"]: d["case_version"] async for d in sla.clocks.find()}
        seen.kept_steps = [d["event_id"] async for d in sla.escalations.find()]
        facts = analytics.feedback_facts.find({"said": {"$ne": None}}, {"_id": 1})
        seen.facts = {d["_id"] async for d in facts}
        seen.case_facts = {d["_id"]: d["state"]["version"] async for d in analytics.case_facts.find()}
        seen.kept, seen.recomputed = await kept(analytics, ""), await recomputed(analytics, "")

    async def _later(self, seen: Seen) -> None:
        """What replicas of a later version have done (next_version.py)."""
        for service in CONSUMERS:
            seen.later_met |= {(service, d["_id"]) async for d in self.database(service).later.find()}

    async def _log(self, seen: Seen) -> None:
        letters: set[str] = set()
        async for record in self._records(await self.ends()):
            if record.topic == DEAD_LETTERS.name:
                self._note_letter(seen, record, letters)
            elif later := _later(record.headers):
                seen.later |= {(service, later) for service in TOPIC_NAMED[record.topic].consumers}
            elif record.topic in (CASES.name, SLA.name):
                _note(seen, record)

    def _note_letter(self, seen: Seen, record: Any, known: set[str]) -> None:
        """The same letter may stand there again; letters of other runs are theirs."""
        letter = Letter.read(record.key, record.value, record.headers)
        if letter is None or letter.id in known or not letter.facts["group"].startswith(self._prefix):
            return
        known.add(letter.id)
        group, later = letter.facts["group"], _later(letter.headers)
        if later and letter.facts["reason"] == "unknown_type":
            seen.later_met.add((group.split(".")[1], later))
        elif b"-poison-" in (letter.key or b""):
            seen.letters.add((group, letter.key or b""))
        else:
            seen.dead_letters.append(f"{letter.id}: {letter.facts['reason']} {letter.facts.get('detail')}")

    async def _records(self, ends: Offsets) -> AsyncIterator[Any]:
        for partition, offset in self._begin.items():
            self._consumer.seek(partition, offset)
        left = {partition for partition, end in ends.items() if end > self._begin[partition]}
        while left:
            for partition, records in (await self._consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    yield record
                if records[-1].offset + 1 >= ends[partition]:
                    left.discard(partition)


def _later(headers: Iterable[tuple[str, bytes | None]]) -> UUID | None:
    """The id of an event of ours of a type that this version does not know."""
    named = dict(headers)
    kind, identity = named.get("ce_type") or b"", named.get("ce_id")
    is_later = kind.startswith(OURS) and kind not in KNOWN
    return UUID(identity.decode()) if is_later and identity else None


def _note(seen: Seen, record: Any) -> None:
    event, _ = decode(record.value, record.headers)
    published = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    match event:
        case CaseChanged(case=case):
            versions = tuple(version for version, _ in event.versions())
            seen.changes.append(Changed(event.id, case.id, versions))
        case EscalationRaised():
            about = (event.case_id, event.target, event.epoch, event.step, event.repetition)
            seen.steps.append(Step(Told(event.id, about), event.step_at, event.at, published))
        case TargetBreached():
            told = Told(event.id, (event.case_id, event.target, event.epoch))
            seen.breaches.append(Step(told, event.due_at, event.at, published))
        case TargetFinished():
            seen.finished.append(Told(event.id, (event.case_id, event.target, event.epoch)))


async def _until(condition: Callable[[], Awaitable[bool]], within: float) -> None:
    """Look a few times a second, for looking costs the machine under test. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - other processes have no event to wait for
            await asyncio.sleep(LOOK_EVERY_SECONDS)


def short(topic: Topic) -> str:
    """The topic's name as consumer groups carry it."""
    return topic.name.removeprefix("cqm.").removesuffix(".v1")


@asynccontextmanager
async def witnessing(kafka: str, mongo_uri: str, prefix: str) -> AsyncIterator[Witness]:
    """A witness of a run that is about to begin: its consumer groups start at the ends of the log."""
    mongo, consumer = (
        Mongo(mongo_uri),
        AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest"),
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, n) for topic in TOPICS for n in range(topic.partitions)]
        consumer.assign(partitions)
        witness = Witness(mongo, consumer, prefix, await consumer.end_offsets(partitions))
        await _begin_at_the_ends(witness, prefix, await witness.ends())
        yield witness
    finally:
        await consumer.stop()
        mongo.close()


async def _begin_at_the_ends(witness: Witness, prefix: str, ends: Offsets) -> None:
    for service, topics in CONSUMERS.items():
        begun = [fence for topic in topics for fence in fences(prefix, service, topic, ends)]
        await witness.database(service).offsets.insert_many(begun)
