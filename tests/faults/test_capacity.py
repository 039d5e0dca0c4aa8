"""Nobody over capacity, nothing assigned twice, nobody idle while a case waits, though replicas come and go.

Judged is what MongoDB committed, in the order in which it did: a change stream of all cases.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, groupby, islice
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import yaml

from deploy.local.preloader import Preloader
from deploy.local.servers import Servers
from services.routing.domain.assignment import could
from services.routing.domain.case_file import OPEN_STATUSES, CaseFile, Entry
from services.routing.domain.roster import roster
from services.routing.store.documents import entry_of, file_of
from shared import ids
from shared.codec import Outgoing, encode
from shared.events import Customer, FeedbackReceived
from shared.mongo import Database
from shared.policy import Policy, load_policy
from shared.publish import Publisher
from shared.topics import ASSIGNMENTS, FEEDBACK
from tests.support.faults import ROOT, Cluster, Replica
from tests.support.witness import Witness, witnessing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

CASES = int(os.environ.get("CQM_CAPACITY_CASES", "600"))
PEOPLE, REPLICAS = 50, 4
CAPACITY = max(3, CASES // 300)
"""So little that many wait at the end, and enough for one case of the highest priority."""
DEPARTMENTS = ("service", "logistics", "quality")
CATEGORIES = ("service.billing", "service.attitude", "logistics.late", "logistics.damage", "quality.defect")
RESOLVE = {"action": "resolve", "text": "sent again", "cause_code": "carrier"}
AT_ONCE = 8


@dataclass
class Committed:
    """The cases as they were committed: one group per transaction, in order."""

    moments: list[tuple[Any, CaseFile]] = field(default_factory=list)

    def transactions(self) -> list[list[CaseFile]]:
        return [[file for _, file in group] for _, group in groupby(self.moments, lambda one: one[0])]


def small_staff(folder: Path) -> Path:
    """The demo's policy with 50 agents of little capacity where the feedback goes, and nothing falls due."""
    shutil.copytree(ROOT / "deploy" / "policy" / "demo", folder)
    people = yaml.safe_load((folder / "people.yaml").read_text())
    there = people["people"]
    agents = {name: one for name, one in there.items() if _works(one)}
    for name in agents:
        del there[name]
    for number, model in enumerate(islice(cycle(agents.values()), PEOPLE)):
        there[f"agent-{number}"] = model | {"capacity": CAPACITY, "backup": f"agent-{(number + 1) % PEOPLE}"}
    (folder / "people.yaml").write_text(yaml.safe_dump(people, allow_unicode=True))
    promises = yaml.safe_load((folder / "sla.yaml").read_text())
    promises["sla"] = promises["sla"][-1:]
    (folder / "sla.yaml").write_text(yaml.safe_dump(promises, allow_unicode=True))
    return folder


def _works(person: dict[str, Any]) -> bool:
    return person["department"] in DEPARTMENTS and "agent" in person["roles"]


def feedback(number: int) -> Outgoing:
    """A complaint of a customer of its own."""
    chance, now = random.Random(number), datetime.now(UTC)
    event = FeedbackReceived(
        id=ids.signal_id("feedback", "capacity", str(number)),
        source="capacity",
        external_id=str(number),
        kind="complaint",
        language=chance.choice(("zh", "en", "other")),
        occurred_at=now,
        received_at=now,
        category=chance.choice(CATEGORIES),
        urgency=chance.choice(("high", "medium", "low", "low")),
        customer=Customer(id=f"capacity-{number}"),
    )
    return encode(event, key=event.customer.id.encode(), source="intake", at=now)


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[Committed]:
    """What is committed to `cases` during the block; complete when the block ends."""
    committed, ending = Committed(), asyncio.Event()
    # a case that changes is taken out and put in again: only what is put in has a document
    of_cases = {"ns.coll": "cases", "operationType": {"$ne": "delete"}}
    async with database.watch([{"$match": of_cases}], max_await_time_ms=200) as stream:

        async def follow() -> None:
            while True:
                last = ending.is_set()  # before the look: what was committed by then is in it
                change = await stream.try_next()
                if change is not None:
                    committed.moments.append((change["clusterTime"], file_of(change["fullDocument"])))
                elif last:
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            try:
                yield committed
            finally:
                ending.set()


async def resolve_until(count: int, cluster: Cluster, database: Database) -> None:
    """People resolve cases until that many are resolved, by any replica; who gets no answer asks again."""
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as http:
        gate = asyncio.Semaphore(AT_ONCE)

        async def resolve(case: UUID, replica: Replica) -> None:
            async with gate:
                try:
                    await http.post(f"{replica.url}/v1/cases/{case}/actions", json=RESOLVE)
                except httpx.TransportError:
                    return  # killed meanwhile; the case is found again if nothing came of it

        while (done := await database.cases.count_documents({"status": "resolved"})) < count:
            found = database.cases.find({"status": "assigned"}, {"_id": 1}).limit(min(200, count - done))
            cases = [document["_id"] async for document in found]
            async with asyncio.TaskGroup() as group:
                for case in cases:
                    group.create_task(resolve(case, random.choice(cluster.of("routing"))))
            await asyncio.sleep(0 if cases else 0.05)


async def settled(witness: Witness, database: Database) -> None:
    """All feedback and all requests are done, those that the requests made too."""
    await witness.recovery("routing", FEEDBACK)
    while True:
        ends = await witness.ends()
        await witness.recovery("routing", ASSIGNMENTS, within=300.0)
        unsaid = await database.case_history.count_documents({"outbox": {"$exists": True}})
        if not unsaid and await witness.ends() == ends:
            return
        await asyncio.sleep(0.1)


async def test_four_replicas_fill_fifty_people_exactly(
    fault_servers: Servers, preloader: Preloader, tmp_path: Path, report: Callable[[str], None]
) -> None:
    prefix, folder = f"t{uuid4().hex[:10]}", small_staff(tmp_path / "policy")
    policy = load_policy(folder)
    cluster = Cluster(fault_servers.kafka, fault_servers.mongo, prefix, folder, tmp_path, preloader.launch)
    async with (
        witnessing(fault_servers.kafka, fault_servers.mongo, prefix) as witness,
        Publisher(fault_servers.kafka, client_id="capacity") as publisher,
    ):
        database = witness.database("routing")
        try:
            await cluster.start(routing=REPLICAS)
            async with watching(database) as committed:
                await _play(cluster, publisher, database)
                await settled(witness, database)
            files = [file_of(document) async for document in database.cases.find()]
            seats = {d["_id"]: d["seats"] async for d in database.pools.find()}
            entries = [entry_of(document) async for document in database.case_history.find().sort("_id", 1)]
        finally:
            await cluster.close()
    most = over_capacity(committed, policy)
    waiting = [file for file in files if file.is_open and not file.case.owner]
    report(
        f"{len(files)} cases, {len(entries)} versions, {len(waiting)} waiting, fullest {most} of {CAPACITY}"
    )
    assert len(files) == CASES and waiting, "a run in which nobody waits proves nothing"
    assert twice_assigned(entries) == []
    assert seats_that_count_wrong(files, seats, policy) == []
    assert idle_while_a_case_waits(waiting, seats, policy) == []


async def _play(cluster: Cluster, publisher: Publisher, database: Database) -> None:
    """All feedback at once, resolutions meanwhile, and one replica is killed and comes back."""
    victim = cluster.of("routing")[0]
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(publisher))
        await resolve_until(CASES // 6, cluster, database)
        await victim.kill()
        await resolve_until(CASES // 3, cluster, database)
        victim.start()
        await victim.ready()
        await resolve_until(CASES // 2, cluster, database)


async def _feed(publisher: Publisher) -> None:
    for start in range(0, CASES, 500):
        await publisher.publish([feedback(number) for number in range(start, min(CASES, start + 500))])


def over_capacity(committed: Committed, policy: Policy) -> int:
    """Fails when an owner ever had more than their capacity; returns the most that anybody had."""
    now: dict[UUID, tuple[str, int]] = {}
    held: Counter[str] = Counter()
    most = 0
    for files in committed.transactions():
        owners = set()
        for file in files:
            owner, weight = now.pop(file.case.id, ("", 0))
            held[owner] -= weight
            if file.is_open and file.case.owner:
                owner = file.case.owner
                now[file.case.id] = owner, policy.load[file.case.priority]
                held[owner] += policy.load[file.case.priority]
                owners.add(owner)
        for owner in owners:
            assert held[owner] <= policy.people[owner].capacity, f"{owner} has {held[owner]}"
            most = max(most, held[owner])
    return most


def twice_assigned(entries: list[Entry]) -> list[UUID]:
    """Cases whose history has a gap, or an assignment of a case that had an owner."""
    histories: defaultdict[UUID, list[Entry]] = defaultdict(list)
    for entry in entries:
        histories[entry.case_id].append(entry)
    wrong = []
    for case, history in histories.items():
        types = [entry.change.type for entry in history]
        versions = [entry.version for entry in history]
        if types.count("assigned") > 1 or versions != list(range(1, len(versions) + 1)):
            wrong.append(case)
    return wrong


def seats_that_count_wrong(files: list[CaseFile], seats: dict[str, Any], policy: Policy) -> list[str]:
    """Pools that do not count what their people have."""
    held: Counter[tuple[str, str]] = Counter()
    for file in files:
        if file.case.status in OPEN_STATUSES and file.case.owner:
            held[file.case.department, file.case.owner] += policy.load[file.case.priority]
    counted = {(department, name): seat.get("load", 0) for department, one in seats.items()
               for name, seat in one.items()}  # fmt: skip
    return [f"{key}: {counted.get(key, 0)}, not {held[key]}" for key in {*held, *counted}
            if counted.get(key, 0) != held[key]]  # fmt: skip


def idle_while_a_case_waits(waiting: list[CaseFile], seats: dict[str, Any], policy: Policy) -> list[str]:
    """People with room for a case that waits, which they could take."""
    idle = []
    now = datetime.now(UTC)
    there = {department: roster(policy, department, now) for department in policy.departments}
    for file in waiting:
        weight = policy.load[file.case.priority]
        department = file.case.department
        for member in there[department].members.values():
            load = seats.get(department, {}).get(member.id, {}).get("load", 0)
            if could(member, file.case) and load + weight <= member.capacity:
                idle.append(f"{member.id} could take {file.case.id}")
    return idle
