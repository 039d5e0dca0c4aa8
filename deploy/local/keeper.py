"""Keeps one part running: waits for its end, starts it again with backoff, and says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from deploy.local.backoff import Backoff
from deploy.local.errors import LocalError
from deploy.local.events import Event, Say
from deploy.local.instance import Process
from deploy.local.part import Part


class Keeper:
    def __init__(self, part: Part, stopping: asyncio.Event, say: Say, changed: Callable[[], None]) -> None:
        """`changed` is called whenever what `process` answers has changed."""
        self.part = part
        self._stopping = stopping
        self._say = say
        self._changed = changed
        self._restarts = 0
        self._spawned_at = 0.0
        self._since = ""

    @property
    def process(self) -> Process:
        child = self.part.child
        pid = child.pid if child.running else None
        return Process(self.part.name, pid, self.part.url, str(child.log), self._since, self._restarts)

    async def start(self) -> None:
        """The first start, ready. Raises RuntimeUnavailable, PartFailed."""
        name = self.part.name
        self._say(Event("starting", name, f"starting {name}"))
        began = time.monotonic()
        await self._spawn()
        await self.part.until_ready(self.part.start_seconds)
        self._say(Event("started", name, f"{name} is ready after {time.monotonic() - began:.1f} s"))

    async def keep(self) -> None:
        """Until the instance stops; whatever else ends the process, it is started again.

        A restarted process has no time limit to become ready: it may wait for another one that is down.
        """
        backoff = Backoff()
        while True:
            code = await self.part.child.wait()
            if self._stopping.is_set():
                return
            delay = backoff.delay_after(time.monotonic() - self._spawned_at)
            self._tell_of_end(code, delay)
            if await self._stops_within(delay):
                return
            await self._restart()

    async def _restart(self) -> None:
        name = self.part.name
        self._restarts += 1
        try:
            await self._spawn()
            await self.part.until_ready(None)
        except LocalError as error:  # it ended again, which the next round meets with a longer wait
            self._say(Event("died", name, f"{name} did not come back: {error.message}", remedy=error.remedy))
        except OSError as error:  # a full disk, or no more processes: met in the next round, too
            self._say(Event("died", name, f"{name} could not be started: {error}"))
        else:
            self._say(Event("restarted", name, f"{name} is ready again"))

    async def _spawn(self) -> None:
        self._spawned_at = time.monotonic()
        await self.part.spawn()
        self._since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._changed()

    def _tell_of_end(self, code: int, delay: float) -> None:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        text = f"{self.part.name} {how}; starting it again in {delay:g} s"
        self._say(Event("died", self.part.name, text, remedy=f"its log is {self.part.child.log}"))
        self._changed()

    async def _stops_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True
