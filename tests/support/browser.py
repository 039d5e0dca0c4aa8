"""A real browser without a window: Debian's Chromium by Playwright, and what it did behind our backs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from axe_playwright_python.async_playwright import Axe
from fastapi import FastAPI
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from shared.service import Service
from tests.support.spine import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# told of an answer of 4xx or 5xx; and of autofocus in a frame, where form.js moves the focus
_MEANT = ("Failed to load resource", "Blocked autofocusing")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def chromium() -> str | None:
    """Where the browser is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def started(executable: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # in a container there is no user namespace to make a sandbox of; only our own pages are opened
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Watched:
    """A page with all that no page of ours may do."""

    page: Page
    origins: tuple[str, ...]
    dialogs: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> Watched:
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(20_000)
        return self

    def well(self) -> None:
        assert (self.dialogs, self.outside, self.complaints) == ([], [], [])

    async def accessible(self) -> None:
        """axe finds nothing at all, and nothing is wider than the screen."""
        found = await Axe().run(self.page, options={"runOnly": TAGS})
        assert found.violations_count == 0, found.generate_report()
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await self.page.evaluate(wide) <= 0

    async def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        await dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self.origins):
            self.outside.append(request.url)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_MEANT):
            self.complaints.append(message.text)


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    """The application behind a port of 127.0.0.1."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started or serving.done(), what="listening")
        address: Any = server.servers[0].sockets[0].getsockname()
        yield address[1]
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """One of our services at an address, ready."""
    async with listening(app) as port:
        service: Service = app.state.service
        await eventually(lambda: not service.problems(), what="ready")
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def elsewhere(body: str) -> AsyncIterator[str]:
    """A page of another site, as browsers tell sites apart: by another host name. Its address."""

    async def page(request: HttpRequest) -> HTMLResponse:
        return HTMLResponse(f"<!doctype html><html lang=en><title>shop</title><body>{body}")

    async with listening(Starlette(routes=[Route("/", page)])) as port:
        yield f"http://localhost:{port}/"
