"""Running one service's application inside a test, with real servers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI

from shared.service import Service
from tests.support.spine import eventually


@dataclass
class Running:
    """A started application: its HTTP client and its parts."""

    http: httpx.AsyncClient
    service: Service


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
