"""Services in a fraction of a second: forked from a process that has imported what they share (preload.py).

The imports take more processor time than all the rest of a start; the services share the memory they fill.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence

import msgspec

from deploy.local.folder import DataFolder
from deploy.local.launch import Started, execute
from deploy.local.part import poll_until
from deploy.local.preload import GO, PYTHON_MODULE, READY, Order
from deploy.local.process import Child

START_SECONDS = 120.0
ANSWER_SECONDS = 10.0
"""A fork takes milliseconds; one that takes longer than this is not worth waiting for."""
PR_SET_CHILD_SUBREAPER = 36


class Preloader:
    """A Part, and the Launch of the services. A service never depends on it: without it, it is executed."""

    name = "preloader"
    url = ""
    grace_seconds = 2.0
    start_seconds = START_SECONDS

    def __init__(self, modules: Sequence[str], env: Mapping[str, str], folder: DataFolder) -> None:
        self.child = Child(self.name, log=folder.log(self.name), run_folder=folder.run)
        self._modules = tuple(modules)
        self._env = dict(env)
        self._control: socket.socket | None = None
        self._is_ready = False

    async def spawn(self) -> None:
        adopt_orphans()
        self._close()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(ANSWER_SECONDS)
        with theirs:
            command = [sys.executable, "-m", "deploy.local.preload", str(theirs.fileno()), *self._modules]
            self.child.start(command, self._env, inherit=(theirs.fileno(),))

    async def until_ready(self, timeout_seconds: float | None) -> None:
        control = self._control
        assert control is not None, "it has not been spawned"

        async def ready() -> bool:
            readable, _, _ = select.select([control], [], [], 0)
            return bool(readable) and control.recv(len(READY)) == READY

        await poll_until(ready, self.child, timeout_seconds)
        self._is_ready = True

    def launch(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        log: int,
        inherit: Sequence[int] = (),
    ) -> Started:
        """A Launch: `python -m MODULE` is forked where that can be done now, anything else is executed."""
        is_module = tuple(argv[:PYTHON_MODULE]) == (sys.executable, "-m")
        if self._is_ready and self.child.running and is_module and not inherit:
            try:
                return self._fork(Order(name, list(argv), dict(env or os.environ), os.getpid()), log)
            except OSError:  # it has just ended, or it hangs: its keeper starts another one, and says so
                self._is_ready = False
                self.child.signal(signal.SIGKILL)
        return execute(name, argv, env, log, inherit)

    def _fork(self, order: Order, log: int) -> ForkedProcess:
        assert self._control is not None, "it is ready"
        gate, opening = os.pipe()
        try:
            line = msgspec.json.encode(order) + b"\n"
            sent = socket.send_fds(self._control, [line], [log, gate])
            self._control.sendall(line[sent:])
            answer = self._control.recv(32)
            if not answer:
                raise ConnectionResetError("the preloader has ended")
            os.write(opening, GO)
            return ForkedProcess(int(answer))
        finally:  # a process that was forked without our hearing of it finds its gate closed, and ends
            os.close(gate)
            os.close(opening)

    def _close(self) -> None:
        self._is_ready = False
        if self._control is not None:
            self._control.close()


class ForkedProcess:
    """A Started: a child that came by adoption, so that no Popen knows it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._lock = threading.Lock()
        self._code: int | None = None

    def wait(self) -> int:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)  # leaves the zombie, and so the pid, in place
        with self._lock:  # nobody sends a signal to the pid from here on: it may soon be another's
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self._code

    def send_signal(self, sig: int, /) -> None:
        with self._lock:
            if self._code is None:
                os.kill(self.pid, sig)


def adopt_orphans() -> None:
    """From now on this process is the parent of descendants whose own parent has ended (prctl(2)).

    PR_SET_PDEATHSIG of an adopted process is tied to its main thread, whichever thread starts it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
