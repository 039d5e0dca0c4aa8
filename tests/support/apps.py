"""Running one service's application inside a test, with real servers behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from fastapi import FastAPI

from shared.http_protocol import protocol
from shared.service import Service
from tests.support.spine import eventually


@dataclass
class Running:
    """A started application: its HTTP client and its parts."""

    http: httpx.AsyncClient
    service: Service


async def all_read(*services: Service) -> None:
    """Returns when these services have done everything that was on their topics."""

    async def nothing_waits() -> bool:
        for stream in (stream for service in services for stream in service.streams):
            held = stream.positions
            if stream.consumer is None or not stream.joined or not held:
                return False
            begins = await stream.consumer.beginning_offsets(list(held))
            ends = await stream.consumer.end_offsets(list(held))
            if any((begins[one] if at.next is None else at.next) < ends[one] for one, at in held.items()):
                return False
        return True

    await eventually(nothing_waits, what="everything read")


@asynccontextmanager
async def running_app(app: FastAPI) -> AsyncIterator[Running]:
    """Start the application, wait until it is ready, drain it afterwards."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://cqm") as http,
    ):
        service: Service = app.state.service
        await eventually(lambda: not service.problems(), what="ready")
        yield Running(http, service)


@asynccontextmanager
async def served_app(app: FastAPI) -> AsyncIterator[str]:
    """The address of the application, ready, behind its server: for clients that bring their own HTTP."""
    service: Service = app.state.service
    http = protocol(service.settings.head_seconds)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, http=http, ws="none", log_config=None)
    )
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started and not service.problems(), what="ready")
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await serving
