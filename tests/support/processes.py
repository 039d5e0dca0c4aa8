"""Real processes of our services that start in a moment: forked from a server that has imported everything.

Importing a service costs seconds of processor time, and fault tests start dozens. Each child is a process of
its own, killed and frozen like any other; only the imports are shared.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import multiprocessing
import os
import runpy
import signal
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from deploy.local.shim import PR_SET_PDEATHSIG
from shared import crash

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.preloaded"])


class Program:
    """A module that runs as a process: started, stopped, and started again under the same name."""

    def __init__(self, name: str, module: str, log: Path) -> None:
        self.name, self.log = name, log
        self._module = module
        self._process: ForkServerProcess | None = None

    def start(self, env: Mapping[str, str]) -> None:
        self._process = _context.Process(target=_become, args=(self._module, dict(env), str(self.log)))
        self._process.start()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """Negative: the signal that ended it. None while it runs."""
        return self._process.exitcode if self._process else None

    async def wait(self) -> int | None:
        """The exit code, as soon as the process has ended."""
        if self._process is not None:
            ended, loop, sentinel = asyncio.Event(), asyncio.get_running_loop(), self._process.sentinel
            loop.add_reader(sentinel, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(sentinel)
        return self.exit_code

    def signal(self, number: signal.Signals) -> None:
        if self.running and self._process is not None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """As kill -9 does."""
        self.signal(signal.SIGKILL)
        await self.wait()

    def log_tail(self, lines: int = 6) -> str:
        """The last lines of its log, for an error message."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])


def _become(module: str, env: dict[str, str], log: str) -> None:
    """In the child: it dies with the server that it was forked from, logs to the file, and is the module."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.setsid()
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(to, 1)
    os.dup2(to, 2)
    os.environ.clear()
    os.environ.update(env)
    importlib.reload(crash)  # it has read the environment of the server
    runpy.run_module(module, run_name="__main__")
