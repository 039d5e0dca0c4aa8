"""The process that services are forked from: it imports what they share once, and from then on only forks.

`python -m deploy.local.preload FD MODULE...`; preloader.py starts it and speaks with it over the socket FD.
An order is one line of JSON with two descriptors beside it, the answer is a pid and a line feed.

A service is forked twice, and its first parent ends at once. So the kernel gives it to the supervisor, which
is a subreaper (prctl(2)): the supervisor waits for it, it dies with the supervisor, not with this process.

Nothing here may start a thread, an event loop or a client: a fork copies the one thread that calls it, and
every lock as it stands.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import socket
import sys
import time

import msgspec
import setproctitle

from deploy.local.shim import die_with

READY = b"ready\n"
GO = b"!"
PYTHON_MODULE = 2
"""Words of `python -m` before the module's name."""


class Order(msgspec.Struct, frozen=True):
    """What a forked process becomes: argv is `python -m MODULE ARGS...`, `parent` the supervisor's pid.

    The descriptors beside it: the log, and the gate, a pipe on which the supervisor says GO once it knows the
    pid. A gate that is closed without a word means that nobody wants the process any more.
    """

    name: str
    argv: list[str]
    env: dict[str, str]
    parent: int


ORDERS = msgspec.json.Decoder(Order)


def main(control: socket.socket, modules: list[str]) -> None:
    """Imports, then obeys until the supervisor closes the socket."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's algebra, which nobody needs, starts one for each core
    gc.disable()  # what is freed between imports would leave holes in pages that are to be shared
    for module in modules:
        importlib.import_module(module)
    refuse_threads()
    gc.collect()
    gc.freeze()  # a collection in a child writes to every object it looks at: these it leaves shared
    setproctitle.setproctitle("cqm preloader")
    control.sendall(READY)
    while received := receive(control):
        order, log, gate = received
        pid = fork_for_adoption()
        if not pid:
            control.close()
            return become(order, log, gate)
        control.sendall(b"%d\n" % pid)
        os.close(log)
        os.close(gate)


def refuse_threads() -> None:
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        sys.exit(f"an import has started {threads - 1} threads: nothing can be forked from here")


def receive(control: socket.socket) -> tuple[Order, int, int] | None:
    """The next order with its log and gate; None when the supervisor has gone."""
    line, descriptors, _, _ = socket.recv_fds(control, 65_536, 2)
    while line and not line.endswith(b"\n"):
        line += control.recv(65_536)
    if not line:
        return None
    log, gate = descriptors
    return ORDERS.decode(line), log, gate


def fork_for_adoption() -> int:
    """0 in a new process that leads a session and is a child of the nearest subreaper; its pid here."""
    reading, writing = os.pipe()
    first = os.fork()
    if first == 0:
        _leave_one_child()
        os.setsid()
        os.write(writing, b"%d" % os.getpid())
        os.close(writing)
        os.close(reading)
        return 0
    os.close(writing)
    os.waitpid(first, 0)  # once it has ended, its child has been adopted
    with open(reading, "rb") as pipe:
        pid = pipe.read()
    if not pid:
        sys.exit("a process could not be forked")
    return int(pid)


def _leave_one_child() -> None:
    try:
        if os.fork():
            os._exit(0)
    except OSError:  # no memory, or no more processes: the one who waits sees an empty pipe
        os._exit(1)


def become(order: Order, log: int, gate: int) -> None:
    """In the forked process: it waits for the gate, and is the module from then on."""
    if os.read(gate, 1) != GO:
        os._exit(1)
    os.close(gate)
    die_with(order.parent)
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)
    os.environ.clear()
    os.environ.update(order.env)
    time.tzset()
    setproctitle.setproctitle(f"cqm {order.name}: {' '.join(order.argv)}")
    setproctitle.setthreadtitle(f"cqm {order.name}")
    gc.enable()
    sys.argv[:] = order.argv[PYTHON_MODULE:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
