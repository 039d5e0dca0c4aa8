"""What the four services have in common around their own wiring: life, probes, metrics, requests.

`Service` holds what a composition root has built; `create_app` makes the FastAPI application that starts
it all in order and drains it in reverse.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Response
from fastapi_offline import FastAPIOffline
from faststream.kafka import KafkaBroker
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared import (
    crash,
    kafka_connection,  # noqa: F401  # mends the connections of all clients of aiokafka
    problem,
)
from shared import observability as metrics
from shared.auth import Access
from shared.clock import Clock
from shared.direct import serve_directly
from shared.errors import CQMError, TransientError
from shared.exactly_once import ExactlyOnce
from shared.handler import Handler
from shared.http_protocol import protocol
from shared.key_store import KeyStore
from shared.mongo import Database, Mongo
from shared.processing import Limits, Processor
from shared.progress import Watch
from shared.publish import Publisher
from shared.requests import Requests
from shared.sealing import NOT_READ, Seals
from shared.settings import KafkaSecurity, Settings
from shared.stream import Pace, Stream
from shared.topics import Topic

log = structlog.get_logger("cqm.service")

PROBE_SECONDS = 5.0
HTTP_DRAIN_SECONDS = 3
DRAIN_SECONDS = 6.0
"""With the one above: what SIGTERM may take. What waits for a server that is away is left, as by kill -9."""
TICK_DRAIN_SECONDS = 1.0
GOODBYE_SECONDS = 0.5
_M_ARENA_MAX, _HEAPS = -8, 2
"""mallopt(3): the option, and how many heaps all threads share."""
_NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False}
"""Of FastAPI's own: shared/requests.py makes the span of a request, and one is enough."""


@dataclass
class Service:
    """The parts of one running service. Build it in app.py, hand it to `create_app`."""

    name: str
    settings: Settings
    clock: Clock
    publisher: Publisher
    mongo: Mongo
    access: Access
    broker: KafkaBroker | None = None
    streams: list[Stream] = field(default_factory=list)
    background: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)
    prepare: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seals: Seals | None = None
    started: bool = False
    draining: bool = False
    is_full: Callable[[int], bool] = lambda under_way: False
    """Whether, with so many requests under way, posts are refused (shared/http_protocol.py)."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def build(cls, name: str, settings: Settings, clock: Clock, *, consumes: bool = True) -> Service:
        """Clients of Kafka and MongoDB as the settings say; nothing is connected yet.

        A service that does not consume starts without MongoDB, and what it keeps there waits by itself.
        """
        metrics.configure_logging(name, settings.log)
        metrics.configure_tracing(name)
        security = settings.kafka_security
        publisher = Publisher(settings.kafka, client_id=f"cqm-{name}", security=security)
        service = cls(name, settings, clock, publisher, Mongo(settings.mongo), Access(settings, clock))
        if consumes:
            service.broker = KafkaBroker(
                settings.kafka.split(","),
                client_id=f"cqm-{name}",
                apply_types=False,
                logger=None,
                graceful_timeout=1.0,  # Stream.drain has waited for the batch in flight
                request_timeout_ms=15_000,
                allow_auto_create_topics=False,
                security=KafkaSecurity().for_faststream(),
            )
        return service

    @property
    def database(self) -> Database:
        """The database that this service owns; no other service reads it."""
        return self.mongo.database(f"{self.settings.database_prefix}_{self.name}")

    def use_keys(self) -> Seals:
        """Seal and open what people say. A service that consumes waits for the keys, the others are not ready
        before they were read."""
        self.seals = Seals()
        keys = KeyStore(self.mongo, self.settings.database_prefix, self.seals)
        if self.broker is not None:
            self.prepare.append(keys.refresh)
        self.background.append(keys.keep_fresh)
        return self.seals

    def subscribe(
        self, topic: Topic, handler: Handler[Any, Any, Any], apart: str = "", seals: Seals | None = None
    ) -> Stream:
        """Wire one topic to one handler, as one consumer group `PREFIX.SERVICE.TOPIC`.

        `apart` is added to the name under which Kafka shares out partitions, not to that of the fences.
        `seals`: the handler gets events with what people said, without they stay sealed.
        """
        assert self.broker is not None, f"{self.name} does not consume"
        short = topic.name.removeprefix("cqm.").removesuffix(".v1")
        group = f"{self.settings.database_prefix}.{self.name}.{short}"
        settings = self.settings
        exactly_once = ExactlyOnce(group, self.name, self.mongo, self.database, self.publisher, self._turn)
        limits = Limits(
            retry_budget=settings.retry_budget, dead_letters_in_a_row=settings.dead_letters_in_a_row
        )
        processor: Processor[Any, Any] = Processor(exactly_once, handler, self.clock, limits, seals)
        pace = Pace(settings.batch_records, settings.batch_window, settings.session_timeout)
        stream = Stream(self.broker, topic, processor, pace, apart)
        self.streams.append(stream)
        return stream

    async def move(self, change: Callable[[], None]) -> None:
        """Let go of all partitions between two transactions, `change` what those work on, claim anew."""
        async with self._turn:
            for stream in self.streams:
                stream.processor.exactly_once.release(stream.held)
            change()
        for stream in self.streams:
            await _until_there("Kafka", stream.rejoin)

    def problems(self) -> list[str]:
        """What keeps the service from being ready."""
        if not self.started:
            return ["starting: waiting for Kafka or MongoDB; the log says which", *self.failed.values()]
        found = [problem for stream in self.streams for problem in stream.problems()]
        if not self.access.ready:
            found += self.access.problems()
        if self.seals is not None and not self.seals.ready:
            found.append(NOT_READ)
        if self.publisher.away:
            found.append(f"cannot publish: {self.publisher.away}")
        found += [f"{task} failed: {why}" for task, why in self.failed.items()]
        return [*found, "draining"] if self.draining else found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Live for the length of a block. It begins before the servers are there: HTTP answers at once,
        readiness says what is missing, and the connections come when they can."""
        life = asyncio.create_task(self._guard(self._live), name="life")
        access = asyncio.create_task(self._guard(self.access.keep_fresh))
        try:
            yield
        finally:
            access.cancel()
            self.draining = True
            self._stopping.set()
            if not self.started:
                life.cancel()
            _, waiting = await asyncio.wait({life, access}, timeout=DRAIN_SECONDS)
            for task in waiting:
                log.error("left_undrained", why="MongoDB or Kafka did not answer", task=task.get_name())
                task.cancel()
            await _briefly(metrics.flush_traces)

    async def _live(self) -> None:
        """Connect in order, work until told to stop; then drain the streams first, the clients last."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave_mongo)
            if self.broker is not None:
                await _until_there("MongoDB", self.mongo.ping)
            await _until_there("Kafka", lambda: stack.enter_async_context(self.publisher))
            for step in self.prepare:
                await step()
            background = [*self.background, self._probe]
            if self.broker is not None:
                await self.broker.start()
                stack.push_async_callback(self.broker.stop)
                settings = self.settings
                watch = Watch(
                    self.streams, settings.kafka, self.clock, settings.stuck_after, settings.kafka_security
                )
                background.append(watch.run)
            tasks = [asyncio.create_task(self._guard(work)) for work in background]
            self.started = True
            try:
                await self._stopping.wait()
            finally:
                await self._drain(tasks)

    async def _leave_mongo(self) -> None:
        """The driver tells the server which sessions end; one that is away forgets them by itself.

        A start that failed is tried again with the same client, and a closed one stays closed.
        """
        if self._stopping.is_set():
            await _briefly(self.mongo.close)

    async def _drain(self, background: Sequence[asyncio.Task[None]]) -> None:
        for stream in self.streams:
            # before the ticks are cancelled, or a batch would overwrite what one has left pending
            stream.processor.draining.set()
        for task in background:
            task.cancel()
        await asyncio.wait(background, timeout=TICK_DRAIN_SECONDS)  # one may wait for MongoDB to abort
        await asyncio.gather(*(stream.drain() for stream in self.streams))

    async def _probe(self) -> None:
        """Without traffic nobody would notice that Kafka is away; readiness has to."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            with suppress(TransientError):  # the publisher keeps the reason for `problems`
                await self.publisher.probe()

    async def _guard(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Background work ends only with the service: a failure is told, shown, and tried again."""
        name, attempt = getattr(work, "__qualname__", repr(work)), 0
        while True:
            try:
                return await work()
            except TransientError as error:
                log.warning("background_waits", task=name, why=str(error))
            except Exception as error:
                self.failed[name] = str(error) if isinstance(error, CQMError) else type(error).__name__
                log.critical("background_failed", task=name, exc_info=error)
            attempt = min(attempt + 1, 6)
            await asyncio.sleep(0.1 * 2**attempt)  # backoff
            self.failed.pop(name, None)


async def _briefly(goodbye: Callable[[], None]) -> None:
    """A last word to a server, in a thread that nobody waits for longer than GOODBYE_SECONDS."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_SECONDS):
            await asyncio.to_thread(goodbye)


async def _until_there(what: str, connect: Callable[[], Awaitable[Any]]) -> None:
    """Services start in any order: wait for the servers, saying so, and let readiness tell the rest."""
    attempt = 0
    while True:
        try:
            await connect()
            return
        except (TransientError, OSError) as error:
            attempt += 1
            log.warning("waiting_for", what=what, why=str(error), attempt=attempt)
            await asyncio.sleep(min(5.0, 0.1 * 2**attempt))  # backoff


def serve(build: Callable[[], FastAPI], settings: Settings) -> None:
    """Run one service until SIGTERM: `python -m services.<name>`.

    What was built at start lives as long as the process: it is taken out of the garbage collector's sight,
    and the young generation is sized for batches of thousands of objects instead of 700.
    """
    _share_heaps()
    crash.arm()
    app = build()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    uvicorn.run(app, **server_options(settings, app))


def _share_heaps() -> None:
    """glibc gives each thread a heap of its own, and the driver has a dozen threads, of which the interpreter
    lets one run at a time: each kept some 6 MB that it had needed once. Before any thread allocates."""
    with suppress(AttributeError):  # of another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)


def server_options(settings: Settings, app: FastAPI) -> dict[str, Any]:
    """How uvicorn runs a service."""
    service: Service | None = getattr(app.state, "service", None)
    is_full = service.is_full if service else lambda under_way: False
    return {
        "host": settings.host,
        "port": settings.port,
        "loop": "uvloop",
        "http": protocol(settings.head_seconds, is_full),
        "ws": "none",
        "access_log": False,
        "log_config": None,
        "timeout_graceful_shutdown": HTTP_DRAIN_SECONDS,
        "server_header": False,
    }


def create_app(service: Service, routers: Sequence[APIRouter]) -> FastAPI:
    """The HTTP side of a service: its own routes, and those that every service has."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    # /docs with its scripts from the package itself: no page of ours loads anything from outside
    app: FastAPI = FastAPIOffline(
        title=f"CQM {service.name}", version="1", lifespan=lifespan, redoc_url=None, telemetry=_NO_TELEMETRY
    )
    problem.install(app)
    app.state.service = service
    app.add_middleware(Requests)
    # in one list, ours first: `include_router` would look for the route of each request twice
    app.router.routes[:0] = [route for router in (*routers, _probes(service)) for route in router.routes]
    serve_directly(app)
    return app


def _probes(service: Service) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive", "service": service.name}

    @router.get("/readyz", response_model=None)
    async def readyz() -> dict[str, Any] | Response:
        """200 when the service can do its work, 503 with what is missing."""
        missing = service.problems()
        if missing:
            return problem.Problem(503, "not ready", missing=missing).response()
        return {"status": "ready", "service": service.name}

    @router.get("/metrics", include_in_schema=False)
    async def metrics_page() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
