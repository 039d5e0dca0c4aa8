"""Three brokers and a replica set of three, as a production has them, each a process of its own."""

from __future__ import annotations

import asyncio
import base64
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from deploy.local.folder import DataFolder, write_atomically
from deploy.local.kafka import LocalKafka, kafka_answers
from deploy.local.mongod import REPLICA_SET, LocalMongod
from deploy.local.part import poll_until
from deploy.local.ports import HOST, PortBook
from deploy.local.servers import stop_parts
from shared.admin import ensure_topics

MEMBERS = 3
START_SECONDS = 90.0
REPLICATED = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
}
ELECT_AFTER_MS = 2000
ALONE_MS = 30_000
QUICK_ELECTION = {
    "electionTimeoutMillis": ELECT_AFTER_MS,
    "heartbeatIntervalMillis": 500,
    "heartbeatTimeoutSecs": 2,
}


@dataclass(frozen=True)
class Ring:
    """`brokers` and `mongods` in order; `kafka` and `mongo` name all of them."""

    brokers: list[LocalKafka]
    mongods: list[LocalMongod]

    @property
    def kafka(self) -> str:
        return ",".join(broker.url for broker in self.brokers)

    @property
    def mongo(self) -> str:
        return f"mongodb://{','.join(_address(one) for one in self.mongods)}/?replicaSet={REPLICA_SET}"

    async def primary(self) -> LocalMongod:
        """The member that takes writes; waits for one."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                for one in self.mongods:
                    if one.child.running and await _says(one, "isWritablePrimary"):
                        return one
                await asyncio.sleep(0.1)

    async def secondaries(self) -> list[LocalMongod]:
        primary = await self.primary()
        return [one for one in self.mongods if one is not primary]

    async def elect_after(self, milliseconds: int) -> None:
        """How long a silent primary is waited for, and how long one goes on that hears nobody."""
        async with _client(await self.primary()) as client:
            config = (await client.admin.command("replSetGetConfig"))["config"]
            config["version"] += 1
            config["settings"]["electionTimeoutMillis"] = milliseconds
            await client.admin.command("replSetReconfig", config)

    async def step_down(self) -> None:
        """The primary gives its part away, as before maintenance; its clients are disconnected."""
        async with _client(await self.primary()) as client:
            with suppress(PyMongoError):  # an older server closes the connection instead of answering
                await client.admin.command("replSetStepDown", 20, secondaryCatchUpPeriodSecs=5)

    async def step_up(self, mongods: list[LocalMongod]) -> None:
        """Make one of them the primary, without the patience of an election: the one that knows most."""
        async with asyncio.timeout(START_SECONDS):
            while not any([await _says(one, "isWritablePrimary") for one in mongods]):
                for one in mongods:
                    with suppress(PyMongoError):  # not yet a member, or another one knows more
                        async with _client(one) as client:
                            await client.admin.command("replSetStepUp")
                await asyncio.sleep(0.1)

    async def leave_alone(self) -> LocalMongod:
        """Kill the secondaries; the primary, which goes on for a while. They are not only stopped: it would
        stream its log into their sockets, and who wakes has read it."""
        await self.elect_after(ALONE_MS)
        primary, others = await self.primary(), await self.secondaries()
        for one in others:
            await one.child.kill()
        return primary

    async def roll_back(self, alone: LocalMongod) -> None:
        """Kill it; the others elect one of them, and it comes back: what it took alone is gone then."""
        await alone.child.kill()
        others = [one for one in self.mongods if one is not alone]
        for one in others:
            await one.spawn()
        await self.step_up(others)
        await alone.spawn()
        await self.whole()
        await self.elect_after(ELECT_AFTER_MS)

    async def mended(self) -> None:
        """Start and thaw whatever does not run, and wait until it is a member again."""
        for part in (*self.brokers, *self.mongods):
            if part.child.running:
                part.child.signal(signal.SIGCONT)
            else:
                await part.spawn()
        await self.whole()

    async def whole(self) -> None:
        """Wait until every process runs as a member."""
        await self.primary()
        for broker in self.brokers:
            await poll_until(partial(kafka_answers, broker.url), broker.child, START_SECONDS)
        for mongod in self.mongods:
            await poll_until(partial(_is_member, mongod), mongod.child, START_SECONDS)


@asynccontextmanager
async def running_ring(folder: Path) -> AsyncIterator[Ring]:
    """All six, and CQM's topics on three replicas; call it from the main thread (deploy/local/shim.py)."""
    ports = PortBook(folder / "ports.json")
    ring = Ring(_brokers(folder, ports), _mongods(folder, ports))
    parts = [*ring.brokers, *ring.mongods]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(stop_parts, parts)
        for part in parts:
            await part.spawn()
        await _initiate(ring.mongods)
        await ring.whole()
        await ensure_topics(ring.kafka)
        yield ring


def _brokers(folder: Path, ports: PortBook) -> list[LocalKafka]:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=")
    places = [(ports.claim(f"kafka-{n}"), ports.claim(f"controller-{n}")) for n in range(1, MEMBERS + 1)]
    voters = ",".join(f"{n}@{HOST}:{controller}" for n, (_, controller) in enumerate(places, 1))
    brokers = []
    for n, (port, controller) in enumerate(places, 1):
        data = DataFolder(folder / f"kafka-{n}").create()
        data.kafka.mkdir(parents=True, exist_ok=True)
        write_atomically(data.kafka / "cluster.id", cluster)
        settings = REPLICATED | {"node.id": str(n), "controller.quorum.voters": voters}
        brokers.append(LocalKafka(data, port, controller, settings=settings))
    return brokers


def _mongods(folder: Path, ports: PortBook) -> list[LocalMongod]:
    return [
        LocalMongod(DataFolder(folder / f"mongo-{n}").create(), ports.claim(f"mongo-{n}"), cache_gb=0.25)
        for n in range(1, MEMBERS + 1)
    ]


async def _initiate(mongods: list[LocalMongod]) -> None:
    members = [{"_id": n, "host": _address(one)} for n, one in enumerate(mongods)]
    config = {"_id": REPLICA_SET, "members": members, "settings": QUICK_ELECTION}
    for one in mongods:
        await poll_until(partial(_listens, one), one.child, START_SECONDS)
    async with _client(mongods[0]) as client:
        await client.admin.command("replSetInitiate", config)


async def _listens(mongod: LocalMongod) -> bool:
    return bool(await _says(mongod, "maxWireVersion"))


async def _is_member(mongod: LocalMongod) -> bool:
    return bool(await _says(mongod, "isWritablePrimary") or await _says(mongod, "secondary"))


async def _says(mongod: LocalMongod, field: str) -> Any:
    """A field of a member's hello; None where it does not answer."""
    async with _client(mongod) as client:
        try:
            return (await client.admin.command("hello")).get(field)
        except PyMongoError:
            return None


def _client(mongod: LocalMongod) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(
        f"mongodb://{_address(mongod)}", directConnection=True, serverSelectionTimeoutMS=500
    )


def _address(mongod: LocalMongod) -> str:
    return mongod.url.removeprefix("mongodb://").partition("/")[0]
