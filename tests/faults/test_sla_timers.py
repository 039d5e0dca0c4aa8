"""Thousands of steps due in one second, four replicas, one killed; servers killed; a clock that is hours off.

`CQM_FAULT_CLOCKS` is how many cases there are (default 2,000). libfaketime is taken from CQM_LIBFAKETIME or
where Debian puts it. How late the steps were is reported and not judged: cores may be shared with much else.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.launch import execute
from deploy.local.preloader import Preloader
from deploy.local.servers import Servers
from shared.codec import decode, encode
from shared.events import Case, CaseChanged, Change, EscalationRaised, TargetBreached
from shared.ids import event_id
from shared.mongo import Database, Mongo
from shared.publish import Publisher
from shared.topics import CASES, SLA
from tests.support.faults import Cluster
from tests.support.reading import begin_at_the_end
from tests.support.sla import ORGANISATION, ROUTING, case

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(500)]

CLOCKS = int(os.environ.get("CQM_FAULT_CLOCKS", "2000"))
REPLICAS = 4
LEAD = timedelta(seconds=12 + CLOCKS / 600)
"""From the first case event to the due: all clocks are there by then."""
PROMISED = timedelta(hours=8)
POLICY = """
sla:
  - name: one second
    when: "true"
    calendar: always
    targets: {first_response: {P1: 8h, P2: 8h, P3: 8h, P4: 8h}}
    escalate: {first_response: [{at: 100%, do: [notify_supervisor, notify_head]}]}
"""
STEPS = 2
FAKETIME = (
    os.environ.get("CQM_LIBFAKETIME", ""),
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)
Report = Callable[[str], None]


@dataclass
class Heard:
    """What stands on cqm.sla.v1 about the cases of a run, with when Kafka was given each record."""

    raised: list[tuple[EscalationRaised, float]] = field(default_factory=list)
    breached: list[tuple[TargetBreached, float]] = field(default_factory=list)


@dataclass
class Timers:
    """A run with databases, cases and a due of its own."""

    cluster: Cluster
    database: Database
    mongo: Mongo
    publisher: Publisher
    consumer: AIOKafkaConsumer
    begin: dict[TopicPartition, int]
    cases: set[UUID] = field(default_factory=set)

    async def feed(self, count: int) -> datetime:
        """Cases whose first response is due in one moment, which is returned."""
        due: datetime = (await self.mongo.now()).replace(microsecond=0) + LEAD
        made = [
            case(id=uuid4(), priority="P1", opened_at=due - PROMISED, updated_at=due - PROMISED)
            for _ in range(count)
        ]
        self.cases |= {one.id for one in made}
        for start in range(0, count, 500):
            await self.publisher.publish([_told(one) for one in made[start : start + 500]])
        while (there := await self.database.clocks.count_documents({})) < len(self.cases):
            assert await self.mongo.now() < due, f"only {there} clocks before the due: nothing is shown"
            await asyncio.sleep(0.1)
        return due

    async def fired(self) -> int:
        count: int = await self.database.escalations.count_documents({})
        return count

    async def until_fired(self, count: int, within: float) -> None:
        end = time.monotonic() + within
        while (fired := await self.fired()) < count:
            assert time.monotonic() < end, f"only {fired} of {count} steps fired within {within:g} s"
            await asyncio.sleep(0.05)

    async def heard(self) -> Heard:
        """All of it, once what is kept has been published."""
        found = Heard()
        expected = len(self.cases) * (STEPS + 1)
        self.consumer.assign(list(self.begin))
        for partition, offset in self.begin.items():
            self.consumer.seek(partition, offset)
        end = time.monotonic() + 60
        while len({e.id for e, _ in found.raised}) + len({e.id for e, _ in found.breached}) < expected:
            assert time.monotonic() < end, "not all events are on Kafka"
            for records in (await self.consumer.getmany(timeout_ms=300)).values():
                for record in records:
                    event, _ = decode(record.value, record.headers)
                    if isinstance(event, EscalationRaised) and event.case_id in self.cases:
                        found.raised.append((event, record.timestamp / 1000))
                    elif isinstance(event, TargetBreached) and event.case_id in self.cases:
                        found.breached.append((event, record.timestamp / 1000))
        return found

    async def verdict(self, due: datetime, report: Report, *, one_clock: bool = True) -> None:
        """0 early, 0 doubled, 0 missed, in order, and how late. Kafka's times are those of who published."""
        kept = [document async for document in self.database.escalations.find()]
        heard = await self.heard()
        assert len(kept) == len(self.cases) * STEPS == len({one["event_id"] for one in kept})
        per_step = Counter((one["case_id"], one["epoch"], one["step"]) for one in kept)
        assert set(per_step.values()) == {1}, "doubled"
        assert {event.case_id for event, _ in heard.breached} == self.cases, "missed"
        assert all(event.at >= due for event, _ in (*heard.raised, *heard.breached)), "early"
        if one_clock:
            moments = [at for _, at in (*heard.raised, *heard.breached)]
            assert min(moments) >= due.timestamp(), "early on Kafka"
        told: dict[UUID, list[int]] = {}
        for event, _ in heard.raised:
            if event.step not in (steps := told.setdefault(event.case_id, [])):
                steps.append(event.step)
        assert all(steps == list(range(STEPS)) for steps in told.values()), "out of order"
        first: dict[UUID, float] = {}
        for event, at in heard.raised:  # by Kafka's time where all clocks agree, else by that of the decision
            moment = at if one_clock else event.at.timestamp()
            first[event.id] = min(moment, first.get(event.id, moment))
        late = sorted(moment - due.timestamp() for moment in first.values())
        twice = len(heard.raised) + len(heard.breached) - len(self.cases) * (STEPS + 1)
        p99 = late[int(0.99 * (len(late) - 1))]
        figures = f"p50 {late[len(late) // 2]:.2f} s, p99 {p99:.2f} s, most {late[-1]:.2f} s"
        report(f"{len(kept)} steps due in one moment: 0 early, 0 doubled, 0 missed; late {figures}")
        report(f"records that Kafka has twice, under one id: {twice}")


def _told(one: Case) -> object:
    changed = CaseChanged(
        id=event_id(one.id, CaseChanged.type, one.version), case=one,
        change=Change(type="opened", actor="test", at=one.updated_at),
    )  # fmt: skip
    return encode(changed, key=one.id.bytes, source="routing", at=one.updated_at)


@pytest.fixture
async def timers(fault_servers: Servers, preloader: Preloader, tmp_path: Path) -> AsyncIterator[Timers]:
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "policy.yaml").write_text(ORGANISATION.replace("OLA", "") + ROUTING + POLICY)
    prefix = f"t{uuid4().hex[:10]}"
    cluster = Cluster(fault_servers.kafka, fault_servers.mongo, prefix, policy, tmp_path, preloader.launch)
    mongo = Mongo(fault_servers.mongo)
    consumer = AIOKafkaConsumer(bootstrap_servers=fault_servers.kafka, enable_auto_commit=False)
    await consumer.start()
    await begin_at_the_end(fault_servers, prefix, "sla", CASES)
    begin = await consumer.end_offsets([TopicPartition(SLA.name, n) for n in range(SLA.partitions)])
    async with Publisher(fault_servers.kafka, client_id="timers") as publisher:
        try:
            yield Timers(cluster, mongo.database(f"{prefix}_sla"), mongo, publisher, consumer, begin)
        finally:
            await cluster.close()
            await consumer.stop()
            mongo.close()


def faketime() -> str | None:
    return next((path for path in FAKETIME if path and Path(path).exists()), None)


async def spread(timers: Timers) -> None:
    """All partitions are claimed, and every replica has some."""
    offsets = timers.database.offsets
    end = time.monotonic() + 60
    while True:
        fences = [document async for document in offsets.find({}, {"session": 1})]
        sessions = {document["session"] for document in fences}
        if len(fences) == CASES.partitions and len(sessions) == len(timers.cluster.replicas):
            return
        assert time.monotonic() < end, f"{len(fences)} partitions of {len(sessions)} replicas"
        await asyncio.sleep(0.2)


async def test_steps_due_in_one_moment_fire_once_and_in_time(timers: Timers, report: Report) -> None:
    await timers.cluster.start(sla=REPLICAS)
    await spread(timers)
    due = await timers.feed(CLOCKS)
    await timers.until_fired(CLOCKS * STEPS, within=LEAD.total_seconds() + 60)
    await timers.verdict(due, report)


@pytest.mark.parametrize("moment", ["just before", "while it fires"])
async def test_a_replica_that_is_killed_leaves_nothing_undone_or_done_twice(
    timers: Timers, report: Report, moment: str
) -> None:
    """Just before, its partitions have all still to fire, and wait for the fail-over."""
    await timers.cluster.start(sla=REPLICAS)
    await spread(timers)
    due = await timers.feed(CLOCKS)
    if moment == "just before":
        await asyncio.sleep((due - await timers.mongo.now()).total_seconds() - 0.5)
    else:
        await timers.until_fired(1, within=LEAD.total_seconds() + 30)
    await timers.cluster.replicas[0].kill()
    report(f"killed one of {REPLICAS} replicas when {await timers.fired()} of {CLOCKS * STEPS} had fired")
    await timers.until_fired(CLOCKS * STEPS, within=90)
    await timers.verdict(due, report)


@pytest.mark.parametrize("server", ["mongod", "Kafka"])
async def test_a_server_that_is_killed_while_steps_fire_delays_them_and_nothing_else(
    timers: Timers, fault_servers: Servers, report: Report, server: str
) -> None:
    """In small transactions, so that it happens between them."""
    for _ in range(2):
        replica = timers.cluster.add("sla")
        replica.env["CQM_SWEEP_CLOCKS"] = "50"
        replica.start()
    await timers.cluster.all_ready()
    await spread(timers)
    due = await timers.feed(CLOCKS)
    await timers.until_fired(1, within=LEAD.total_seconds() + 30)
    fired = await timers.fired()
    part = fault_servers.local_mongod if server == "mongod" else fault_servers.local_kafka
    await part.child.kill()
    await part.spawn()
    await part.until_ready(60)
    report(f"{server} was killed when {fired} of {CLOCKS * STEPS} had fired, and came back")
    await timers.until_fired(CLOCKS * STEPS, within=120)
    await timers.verdict(due, report)


@pytest.mark.parametrize("jump", ["+3h", "-3h"])
async def test_a_replica_whose_clock_jumps_fires_nothing_early(
    timers: Timers, report: Report, tmp_path: Path, jump: str
) -> None:
    if (library := faketime()) is None:
        pytest.skip("no libfaketime: apt-get install libfaketime, or CQM_LIBFAKETIME=.../libfaketimeMT.so.1")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    timers.cluster.launch = execute  # a process of its own: what is forked has its libraries already
    wrong = timers.cluster.add("sla")
    wrong.env |= {
        "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
    }  # fmt: skip
    wrong.start()
    timers.cluster.add("sla").start()
    await timers.cluster.all_ready()
    await spread(timers)
    count = min(CLOCKS, 2000)
    due = await timers.feed(count)
    clock.write_text(jump)
    assert (await timers.mongo.now()) < due - timedelta(seconds=2), "the jump came too late to show anything"
    await asyncio.sleep((due - await timers.mongo.now()).total_seconds() - 0.5)
    assert await timers.fired() == 0, "a replica fired by its own clock"
    with suppress(AssertionError):
        assert (await wrong.problems()) == []
    await timers.until_fired(count * STEPS, within=60)
    report(f"one of two replicas jumped by {jump}")
    await timers.verdict(due, report, one_clock=False)
