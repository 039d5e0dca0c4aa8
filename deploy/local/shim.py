"""Becomes another program that cannot outlive its parent: `python -I -S shim.py PARENT_PID PROGRAM ARGS...`.

Run by path and on the standard library alone, because it stands in front of every child process and must
start in a few milliseconds. PR_SET_PDEATHSIG (prctl(2)) survives exec, and is tied to the *thread* that
forked: start children only from a thread that lives as long as they should.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
OPEN_FILES = 64_000  # what MongoDB recommends; many systems hand out 1,024


def die_with(parent: int) -> None:
    """SIGKILL rather than SIGTERM: the one signal that leaves no orphan behind for sure."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # the parent died before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    raise_open_files()
    os.execvp(sys.argv[2], sys.argv[2:])
