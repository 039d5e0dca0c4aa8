"""A Kafka, a MongoDB and service processes of a measurement's own, and how far those have come."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.folder import DataFolder
from deploy.local.plan import COMMAND, Plan, service_env
from deploy.local.ports import PortBook
from deploy.local.servers import Servers, start_servers
from deploy.local.service import Service
from shared.admin import ensure_topics
from shared.mongo import Database, Mongo
from shared.publish import Publisher
from shared.topics import Topic
from tests.bench.organisation import write_policy

PREFIX = "bench"
GENERATOR = "generator"


class Resources(NamedTuple):
    """What a process has at a moment."""

    resident_mb: float
    threads: int
    open_files: int


@dataclass
class Laboratory:
    """Running servers with CQM's topics; services are started in it by name."""

    servers: Servers
    folder: DataFolder
    policy: Path
    mongo: Mongo
    publisher: Publisher
    consumer: AIOKafkaConsumer
    services: dict[str, Service] = field(default_factory=dict)
    _processes: dict[str, psutil.Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._watch("Kafka", self.servers.local_kafka.child.pid)
        self._watch("mongod", self.servers.local_mongod.child.pid)
        self._watch(GENERATOR, os.getpid())

    async def start(self, name: str, command: Sequence[str] = COMMAND) -> Service:
        """The real process, `python -m services.NAME`, or another that stands beside it; not yet ready."""
        port = PortBook(self.folder.ports_file).claim(name)
        plan = Plan(
            data_dir=str(self.folder.root), policy=str(self.policy), env={"CQM_DATABASE_PREFIX": PREFIX}
        )
        env = service_env(plan, self.servers.kafka, self.servers.mongo, port)
        service = Service(name, port, [part.format(name=name) for part in command], env, self.folder)
        await service.spawn()
        self.services[name] = service
        self._watch(name, service.child.pid)
        return service

    async def stop(self, name: str) -> None:
        service = self.services.pop(name)
        del self._processes[name]
        await service.child.stop(service.grace_seconds)

    def check(self) -> None:
        """Raises RuntimeError with its last words when a service has ended."""
        for name, service in self.services.items():
            if not service.child.running:
                raise RuntimeError(f"{name} ended during the measurement:\n{service.child.log_tail()}")

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time that each process has taken so far."""
        found = {}
        for name, process in self._processes.items():
            times = process.cpu_times()
            found[name] = times.user + times.system
        return found

    def resident_mb(self) -> dict[str, float]:
        return {name: process.memory_info().rss / 2**20 for name, process in self._processes.items()}

    def resources(self) -> dict[str, Resources]:
        """Of all processes but the generator."""
        return {
            name: Resources(process.memory_info().rss / 2**20, process.num_threads(), process.num_fds())
            for name, process in self._processes.items()
            if name != GENERATOR
        }

    def database(self, service: str) -> Database:
        return self.mongo.database(f"{PREFIX}_{service}")

    async def done(self, service: str) -> dict[str, int]:
        """How many records of each topic the service's fences have passed: the topics begin at offset 0."""
        sums: dict[str, int] = {}
        async for fence in self.database(service).offsets.find({}, {"next": 1}):
            topic = fence["_id"].split("/")[1]
            sums[topic] = sums.get(topic, 0) + (fence["next"] or 0)
        return sums

    async def ends(self, topics: Iterable[Topic]) -> dict[str, int]:
        """How many records each topic has."""
        sums: dict[str, int] = {}
        partitions = [TopicPartition(topic.name, n) for topic in topics for n in range(topic.partitions)]
        offsets: Mapping[TopicPartition, int] = await self.consumer.end_offsets(partitions)
        for partition, end in offsets.items():
            sums[partition.topic] = sums.get(partition.topic, 0) + end
        return sums

    def _watch(self, name: str, pid: int | None) -> None:
        assert pid is not None, f"{name} was not started"
        self._processes[name] = psutil.Process(pid)


@asynccontextmanager
async def laboratory(folder: Path) -> AsyncIterator[Laboratory]:
    """Everything empty at the beginning, nothing left running at the end. Call it from the main thread."""
    servers = await start_servers(folder / "data")
    try:
        await ensure_topics(servers.kafka)
        mongo = Mongo(servers.mongo)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=servers.kafka, enable_auto_commit=False, fetch_max_bytes=16_777_216
        )
        async with Publisher(servers.kafka, client_id="bench") as publisher:
            await consumer.start()
            data = DataFolder(folder / "data")
            lab = Laboratory(servers, data, write_policy(folder / "policy"), mongo, publisher, consumer)
            try:
                yield lab
            finally:
                for name in list(lab.services):
                    await lab.stop(name)
                await consumer.stop()
                mongo.close()
    finally:
        await servers.stop()
