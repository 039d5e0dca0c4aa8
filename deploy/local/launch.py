"""How a child process begins: by exec, as here, or forked from one that has imported much (preloader.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

SHIM = Path(__file__).with_name("shim.py")


class Started(Protocol):
    """A process whose parent is this one, as subprocess.Popen shows it."""

    pid: int

    def wait(self) -> int:
        """Blocks until it has ended; a negative code is the number of the signal that ended it."""

    def send_signal(self, sig: int, /) -> None:
        """Does nothing once it has been waited for."""


class Launch(Protocol):
    def __call__(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None, log: int, inherit: Sequence[int]
    ) -> Started:
        """Starts argv in a session of its own, writing to the descriptor `log`, dead when this process is.

        It keeps the descriptors in `inherit`. Raises OSError when it cannot be started.
        """


def execute(
    name: str, argv: Sequence[str], env: Mapping[str, str] | None, log: int, inherit: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """A Launch: a program of its own. Call it from a thread that lives as long as the child (shim.py)."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(SHIM), str(os.getpid()), *argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=env,
        pass_fds=inherit,
        start_new_session=True,
    )
