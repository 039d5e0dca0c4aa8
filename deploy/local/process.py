"""One child process: in a session of its own, logged to a file, dead when its parent is."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from deploy.local.errors import StopTimeout
from deploy.local.folder import write_atomically
from deploy.local.identity import identity, is_alive
from deploy.local.launch import Launch, Started, execute

LOG_LIMIT_BYTES = 32 * 1024 * 1024
ORPHAN_SECONDS = 10.0


class RunFile(msgspec.Struct, frozen=True):
    """run/NAME.json: a child that runs now, so that a later start can end what a crash has left."""

    pid: int
    identity: str


class Child:
    """A program that can be started, stopped and started again under the same name.

    Start it from a thread that lives as long as it should (the main thread): see shim.py. It needs no event
    loop of its own, so one loop may start it and another one stop it.
    """

    def __init__(self, name: str, *, log: Path, run_folder: Path, launch: Launch = execute) -> None:
        self.name = name
        self.log = log
        self._launch = launch
        self._run_file = run_folder / f"{name}.json"
        self._process: Started | None = None
        self._exit: Future[int] = Future()
        self._stopped = False

    def start(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, *, inherit: Sequence[int] = ()
    ) -> None:
        """Starts argv as its Launch says; the log of an earlier run is continued.

        Raises OSError, and leaves nothing running then: without its mark nobody could end it after a crash.
        """
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        self._stopped = False
        rotate(self.log)
        with open(self.log, "ab") as log:
            self._process = self._launch(self.name, argv, env, log.fileno(), inherit)
        self._exit = Future()
        # A running future ignores cancellation, so a waiter that gives up does not take it from the others.
        self._exit.set_running_or_notify_cancel()
        mark = RunFile(self._process.pid, identity(self._process.pid) or "")
        threading.Thread(target=self._reap, args=(self._process, self._exit), daemon=True).start()
        try:
            write_atomically(self._run_file, msgspec.json.encode(mark))
        except OSError:
            signal_group(self._process.pid, signal.SIGKILL)
            raise

    def _reap(self, process: Started, done: Future[int]) -> None:
        done.set_result(process.wait())

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and not self._exit.done()

    @property
    def exit_code(self) -> int | None:
        """Of the last run; negative: the number of the signal that ended it. None while it runs."""
        return self._exit.result() if self._process and self._exit.done() else None

    async def wait(self) -> int:
        """The exit code, as soon as the process has ended."""
        return await asyncio.shield(asyncio.wrap_future(self._exit))

    async def stop(self, grace_seconds: float) -> int | None:
        """SIGTERM, and after the grace SIGKILL to its whole group. None when it never ran."""
        if self._process is None:
            return None
        self._stopped = True
        self.signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(self.wait(), grace_seconds)
        except TimeoutError:
            code = await self.kill()
        self._run_file.unlink(missing_ok=True)
        return code

    async def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """To the process, SIGKILL to its whole group; nothing when it has ended."""
        if self._process is None or not self.running:
            return
        if number == signal.SIGKILL:
            signal_group(self._process.pid, number)
        else:
            self._process.send_signal(number)

    def log_tail(self, lines: int = 6) -> str:
        """The last lines of its log, for an error message."""
        with open(self.log, "rb") as file:
            file.seek(max(0, self.log.stat().st_size - 4096))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(line[:240] for line in text.splitlines()[-lines:])


def signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return  # it ended between the look and the signal


def rotate(log: Path) -> None:
    """Keeps one older log beside a new one, so that a folder does not grow without end."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def end_orphans(run_folder: Path) -> list[str]:
    """Ends what a crashed supervisor may have left running in this folder, and answers the names.

    The kernel does so by itself (shim.py); this waits for it, and covers systems where it could not. Call
    it with the folder's lock held. Raises StopTimeout when one of them cannot be ended.
    """
    ended = []
    for file in sorted(run_folder.glob("*.json")):
        mark = msgspec.json.decode(file.read_bytes(), type=RunFile)
        if mark.identity and is_alive(mark.pid, mark.identity):
            signal_group(mark.pid, signal.SIGKILL)
            wait_gone(mark.pid, mark.identity, ORPHAN_SECONDS)
            ended.append(file.stem)
        file.unlink()
    return ended


def wait_gone(pid: int, known_identity: str, seconds: float) -> None:
    """Blocks until the process (no child of ours, so it cannot be waited for) has ended."""
    deadline = time.monotonic() + seconds
    while is_alive(pid, known_identity):
        if time.monotonic() > deadline:
            raise StopTimeout(f"process {pid} did not end within {seconds:.0f} s", f"kill -9 {pid}")
        time.sleep(0.02)
