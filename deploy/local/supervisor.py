"""Runs a whole instance: Kafka and MongoDB where none are given, then the services; restarts, drains."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from deploy.local.events import Event, Say
from deploy.local.folder import DataFolder
from deploy.local.identity import identity
from deploy.local.instance import Instance, State, remove_instance, write_instance
from deploy.local.keeper import Keeper
from deploy.local.part import Part, together
from deploy.local.plan import Plan, service_env
from deploy.local.ports import SERVICE_BASE, PortBook
from deploy.local.preloader import Preloader
from deploy.local.process import end_orphans
from deploy.local.servers import make_kafka, make_mongod, stop_parts
from deploy.local.service import Service

Prepare = Callable[[str, str], Awaitable[None]]
OnReady = Callable[[Instance], Awaitable[None]]
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """One run of one instance. Use it from the main thread: children die with the thread that starts them."""

    def __init__(self, plan: Plan, *, say: Say, prepare: Prepare | None = None) -> None:
        """`prepare(kafka, mongo)` runs once both serve, before the services; it creates what they need."""
        self._plan = plan
        self._say = say
        self._prepare = prepare
        self._folder = DataFolder(plan.data_dir)
        self._stopping = asyncio.Event()
        self._state: State = "starting"
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._kafka = plan.kafka or ""
        self._mongo = plan.mongo or ""
        self._preloader = Preloader(plan.preload, {**os.environ, **plan.env}, self._folder)
        self._urls: dict[str, list[str]] = {}
        self._servers: list[Keeper] = []
        self._services: list[Keeper] = []
        self._work: set[asyncio.Future[None]] = set()

    async def run(self, on_ready: OnReady | None = None) -> None:
        """From the first process to the last: returns when a SIGTERM, a SIGINT or stop() has been obeyed.

        `on_ready` runs beside the instance once everything serves, and is cancelled by the stop. Raises
        FolderInUse, RuntimeUnavailable, PartFailed, and what `prepare` and `on_ready` raise; by then
        everything has been stopped.
        """
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.stop)
        try:
            with self._folder.locked():
                end_orphans(self._folder.run)
                await self._run(on_ready)
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        self._stopping.set()

    async def _run(self, on_ready: OnReady | None) -> None:
        self._record()
        try:
            self._add(self._start(on_ready))
            await self._until_stopped()
        finally:
            await self._drain()
            remove_instance(self._folder)

    async def _start(self, on_ready: OnReady | None) -> None:
        ports = PortBook(self._folder.ports_file)
        await self._start_servers(ports)
        if self._prepare:
            await self._prepare(self._kafka, self._mongo)
        self._services = [self._keeper(service) for service in self._make_services(ports)]
        await self._start_all(self._services)
        self._record("ready")
        self._say(Event("ready", "instance", "everything is ready"))
        if on_ready:
            self._add(on_ready(self.instance))

    def _add(self, work: Awaitable[None]) -> None:
        """Goes on beside the rest until the stop; what it raises ends the instance."""
        self._work.add(asyncio.ensure_future(work))

    async def _until_stopped(self) -> None:
        stop = asyncio.ensure_future(self._stop_asked())
        try:
            while not stop.done():
                done, _ = await asyncio.wait({stop, *self._work}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & self._work:
                    self._work.remove(task)
                    task.result()
        finally:
            stop.cancel()
            self._stopping.set()
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)

    async def _stop_asked(self) -> None:
        await self._stopping.wait()

    async def _start_servers(self, ports: PortBook) -> None:
        if self._plan.kafka is None:
            kafka = make_kafka(self._folder, ports, say=self._say)
            self._kafka = kafka.url
            self._servers.append(self._keeper(kafka))
        if self._plan.mongo is None:
            mongod = make_mongod(self._folder, ports, cache_gb=self._plan.mongo_cache_gb)
            self._mongo = mongod.url
            self._servers.append(self._keeper(mongod))
        if self._plan.preload:  # imports while the servers start, which leaves a core idle
            self._servers.append(self._keeper(self._preloader))
        await self._start_all(self._servers)

    def _make_services(self, ports: PortBook) -> list[Service]:
        base, secret = self._choose_base(ports), self._folder.secret()
        made = []
        for offset, name in enumerate(self._plan.services):
            self._urls[name] = []
            for replica in range(self._plan.replicas.get(name, 1)):
                label = f"{name}-{replica}" if replica else name
                port = ports.claim(label) if replica else base + offset
                env = service_env(self._plan, self._kafka, self._mongo, port, secret=secret)
                command = [word.format(name=name) for word in self._plan.command]
                made.append(Service(label, port, command, env, self._folder, self._preloader.launch))
                self._urls[name].append(made[-1].url)
        return made

    def _choose_base(self, ports: PortBook) -> int:
        wanted = self._plan.port_base
        base = ports.service_base(wanted, len(self._plan.services))
        if base != (wanted or SERVICE_BASE):
            text = f"port {wanted or SERVICE_BASE} and the next are taken: the services are at {base} and up"
            self._say(Event("ports", "instance", text))
        return base

    def _keeper(self, part: Part) -> Keeper:
        return Keeper(part, self._stopping, self._say, self._record)

    async def _start_all(self, keepers: list[Keeper]) -> None:
        await together(keeper.start() for keeper in keepers)
        for keeper in keepers:
            self._add(keeper.keep())

    async def _drain(self) -> None:
        """The services first, for they need Kafka and MongoDB to finish what they have begun."""
        self._record("stopping")
        for keepers in (self._services, self._servers):
            if keepers:
                names = ", ".join(keeper.part.name for keeper in keepers)
                self._say(Event("stopping", "instance", f"stopping {names}"))
                await stop_parts([keeper.part for keeper in keepers])
        self._say(Event("stopped", "instance", "everything has stopped; the data stay"))

    @property
    def instance(self) -> Instance:
        return Instance(
            pid=os.getpid(),
            identity=identity(os.getpid()) or "",
            state=self._state,
            started_at=self._started_at,
            data_dir=str(self._folder.root),
            kafka=self._kafka,
            mongo=self._mongo,
            urls=self._urls,
            processes=[keeper.process for keeper in (*self._servers, *self._services)],
        )

    def _record(self, state: State | None = None) -> None:
        """A disk without room may keep other commands from seeing the instance; it does not end it."""
        self._state = state or self._state
        try:
            write_instance(self._folder, self.instance)
        except OSError as error:
            self._say(Event("died", "instance.json", f"instance.json could not be written: {error}"))
