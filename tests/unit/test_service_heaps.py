"""The threads of a service share two heaps of the C library."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys, threading
from shared import service

if sys.argv[1] == "shared":
    service._share_heaps()
together = threading.Barrier(8)

def allocate():
    some = [bytes(1000) for _ in range(100)]
    together.wait()
    return some

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = libc.fdopen(1, b"w")
libc.malloc_info(0, ctypes.c_void_p(out))
libc.fflush(ctypes.c_void_p(out))
"""


def heaps(how: str) -> int:
    told = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, check=True, text=True)
    return told.stdout.count("<heap nr=")


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_threads_share_two_heaps() -> None:
    assert heaps("each its own") > 2 >= heaps("shared")
