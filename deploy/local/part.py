"""What the supervisor keeps running: Kafka, MongoDB, a replica of a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from deploy.local.errors import PartFailed
from deploy.local.process import Child

POLL_SECONDS = 0.05


class Part(Protocol):
    """A process with a way to ask it whether it serves."""

    name: str
    url: str
    grace_seconds: float
    start_seconds: float
    child: Child

    async def spawn(self) -> None:
        """Starts the process without waiting for it. Raises RuntimeUnavailable."""

    async def until_ready(self, timeout_seconds: float | None) -> None:
        """Returns when it serves. PartFailed: it ended first, or the time (None: no limit) is up."""


@asynccontextmanager
async def running(part: Part) -> AsyncIterator[str]:
    """The part serves at the yielded address until the block ends."""
    try:
        await part.spawn()
        await part.until_ready(part.start_seconds)
        yield part.url
    finally:
        await part.child.stop(part.grace_seconds)


async def poll_until(
    check: Callable[[], Awaitable[bool]], child: Child, timeout_seconds: float | None
) -> None:
    """Asks `check` again and again until it says yes. Raises PartFailed as Part.until_ready does."""

    async def ask() -> None:
        while True:
            if await check():
                return
            await asyncio.sleep(POLL_SECONDS)

    asking = asyncio.ensure_future(ask())
    ended = asyncio.ensure_future(child.wait())
    try:
        done, _ = await asyncio.wait(
            {asking, ended}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if asking in done:
            return asking.result()
    finally:
        asking.cancel()
        ended.cancel()
        await asyncio.gather(asking, ended, return_exceptions=True)  # lets a cancelled check close its client
    if ended in done:
        raise failed(child, f"{child.name} ended while starting (exit code {ended.result()})")
    raise failed(child, f"{child.name} was not ready within {timeout_seconds:.0f} s")


def failed(child: Child, message: str) -> PartFailed:
    return PartFailed(f"{message}. Its last words:\n{child.log_tail()}", f"the whole log is {child.log}")


async def together(work: Iterable[Awaitable[None]]) -> None:
    """Side by side; the first failure cancels the others, and is raised when they have let go."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
