"""Kafka and MongoDB alone: what a test suite, or anything else without the services, starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.events import Say, say_nothing
from deploy.local.folder import DataFolder
from deploy.local.kafka import LocalKafka
from deploy.local.mongod import LocalMongod
from deploy.local.part import Part, together
from deploy.local.plan import CACHE_GB
from deploy.local.ports import PortBook
from deploy.local.process import end_orphans


@dataclass(frozen=True)
class Servers:
    """Running servers; `kafka` is HOST:PORT, `mongo` a URI."""

    kafka: str
    mongo: str
    local_kafka: LocalKafka
    local_mongod: LocalMongod
    _lock: ExitStack = field(repr=False)

    async def stop(self) -> None:
        """Ends both and frees the folder, whose data stay. Any event loop may do it."""
        try:
            await stop_parts([self.local_kafka, self.local_mongod])
        finally:
            self._lock.close()


async def start_servers(
    folder: Path | str,
    *,
    kafka_settings: Mapping[str, str] | None = None,
    mongod_parameters: Mapping[str, str] | None = None,
    mongo_cache_gb: float = CACHE_GB,
    say: Say = say_nothing,
) -> Servers:
    """Both servers with their data in `folder`, ready. Call it from the main thread (see shim.py).

    Raises RuntimeUnavailable, FolderInUse, PartFailed; nothing is left running then.
    """
    data = DataFolder(folder)
    with ExitStack() as stack:
        stack.enter_context(data.locked())
        end_orphans(data.run)
        ports = PortBook(data.ports_file)
        kafka = make_kafka(data, ports, kafka_settings, say)
        mongod = make_mongod(data, ports, mongod_parameters, mongo_cache_gb)
        try:
            await together([_start(kafka), _start(mongod)])
        except BaseException:
            await stop_parts([kafka, mongod])
            raise
        return Servers(kafka.url, mongod.url, kafka, mongod, stack.pop_all())


@asynccontextmanager
async def running_servers(folder: Path | str) -> AsyncIterator[Servers]:
    """start_servers with its defaults, for the length of a block."""
    servers = await start_servers(folder)
    try:
        yield servers
    finally:
        await servers.stop()


def make_kafka(
    data: DataFolder, ports: PortBook, settings: Mapping[str, str] | None = None, say: Say = say_nothing
) -> LocalKafka:
    controller = ports.claim("kafka-controller")
    return LocalKafka(data, ports.claim("kafka"), controller, settings=settings, say=say)


def make_mongod(
    data: DataFolder,
    ports: PortBook,
    parameters: Mapping[str, str] | None = None,
    cache_gb: float = CACHE_GB,
) -> LocalMongod:
    return LocalMongod(data, ports.claim("mongo"), parameters=parameters, cache_gb=cache_gb)


async def _start(part: Part) -> None:
    await part.spawn()
    await part.until_ready(part.start_seconds)


async def stop_parts(parts: Iterable[Part]) -> None:
    await asyncio.gather(*(part.child.stop(part.grace_seconds) for part in parts))
