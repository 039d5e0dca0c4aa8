"""An instance in the background: started detached, heard until it is ready, ended by SIGTERM."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import msgspec

from deploy.local import errors
from deploy.local.errors import LocalError, PartFailed, StopTimeout
from deploy.local.events import Event, Say
from deploy.local.folder import DataFolder, write_atomically
from deploy.local.identity import is_alive
from deploy.local.instance import Instance, running_instance
from deploy.local.plan import Plan
from deploy.local.supervisor import Prepare, Supervisor

STOP_SECONDS = 60.0
EVENT = msgspec.json.Decoder(Event)


async def start_daemon(plan: Plan, say: Say) -> Instance:
    """Returns when everything is ready; `say` hears what the background process says until then.

    Raises what Supervisor.run raises; the process has ended then. A caller that is cancelled ends it.
    """
    folder = DataFolder(plan.data_dir)
    process, reading = _spawn(plan, folder)
    try:
        await _hear(reading, say, folder.log("supervisor"))
    except BaseException:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, STOP_SECONDS)
        raise
    return running_instance(folder.root)


def _spawn(plan: Plan, folder: DataFolder) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the end of a pipe on which it says what it does."""
    plan_file = folder.root / "plan.json"  # not the command line, which others can read: URIs hold passwords
    with folder.locked():  # refuses here and now, before the plan of a running instance is overwritten
        write_atomically(plan_file, msgspec.json.encode(plan))
    reading, writing = os.pipe()
    with open(folder.log("supervisor"), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", str(plan_file), str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    # A caller that lives longer than the instance must not keep its zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process, reading


async def _hear(descriptor: int, say: Say, log: Path) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb")
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        async for line in reader:
            event = EVENT.decode(line)
            if event.kind == "failed":
                kind = cast(type[LocalError], getattr(errors, event.error, PartFailed))
                raise kind(event.text, event.remedy)
            say(event)
            if event.kind == "ready":
                return
    finally:
        transport.close()
    raise PartFailed("the background process ended before it was ready", f"its log is {log}")


async def stop_instance(data_dir: Path | str, timeout_seconds: float = STOP_SECONDS) -> Instance:
    """Drains and ends the instance of this folder. Raises NotRunning, StopTimeout."""
    instance = running_instance(data_dir)  # its identity is checked here: never another process of that pid
    os.kill(instance.pid, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while is_alive(instance.pid, instance.identity):
        if asyncio.get_running_loop().time() > deadline:
            message = f"the instance (process {instance.pid}) did not end within {timeout_seconds:.0f} s"
            raise StopTimeout(message, f"`kill -9 {instance.pid}` ends it; the data stay whole")
        await asyncio.sleep(0.05)
    return instance


class Voice:
    """Says events to the log, and to the caller's pipe until everything is ready or the caller has gone."""

    def __init__(self, descriptor: int) -> None:
        self._pipe: int | None = descriptor

    def __call__(self, event: Event) -> None:
        line = msgspec.json.encode(event) + b"\n"
        if event.kind != "download":
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, line)
        except BrokenPipeError:
            self.close()
        if event.kind in ("ready", "failed"):
            self.close()

    def close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def main(plan_file: str, descriptor: int) -> int:
    """The background process: 0 when it was told to stop, 1 when it failed."""
    os.set_inheritable(descriptor, False)
    say = Voice(descriptor)
    try:
        plan = msgspec.json.decode(Path(plan_file).read_bytes(), type=Plan)
        asyncio.run(Supervisor(plan, say=say, prepare=load_prepare(plan.prepare)).run())
    except LocalError as error:
        say(Event("failed", "instance", error.message, remedy=error.remedy, error=type(error).__name__))
        return 1
    finally:
        say.close()
    return 0


def load_prepare(path: str | None) -> Prepare | None:
    """The function named `package.module:function`."""
    if path is None:
        return None
    module, _, name = path.partition(":")
    return cast(Prepare, getattr(importlib.import_module(module), name))
