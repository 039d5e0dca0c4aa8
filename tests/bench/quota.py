"""A group of processes with a part of a core, as a machine or a container of its own would have it.

By the kernel's bandwidth control: cgroup v2 (cpu.max) where it has the cpu controller, else v1
(cpu.cfs_quota_us). It needs the right to make groups, which root has on most machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 20_000
"""Short, so that a process that has used up its part stands still for milliseconds and not for a tenth of a
second."""


class NoQuota(RuntimeError):
    """The system lets nobody, or not this user, give out parts of a core."""


@contextmanager
def quota(pid: int, cores: float) -> Iterator[None]:
    """The process `pid`, all its threads together, has `cores` of a core for the length of the block.

    Raises NoQuota. A process that ends in the block is no error.
    """
    home, settings = _way(cores)
    group = home / f"cqm-bench-{uuid4().hex[:12]}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoQuota(f"{home}: {error.strerror}") from error
    try:
        try:
            for name, value in settings:
                (group / name).write_text(value)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise NoQuota(f"{group}: {error.strerror}") from error
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (home / "cgroup.procs").write_text(left)
        group.rmdir()


def _way(cores: float) -> tuple[Path, list[tuple[str, str]]]:
    share = str(round(cores * PERIOD_US))
    controllers = ROOT / "cgroup.controllers"
    if controllers.exists() and "cpu" in controllers.read_text().split():
        return ROOT, [("cpu.max", f"{share} {PERIOD_US}")]
    if (ROOT / "cpu" / "cgroup.procs").exists():
        return ROOT / "cpu", [("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", share)]
    raise NoQuota(f"no cpu controller in {ROOT}")
