"""A service as a process of its own, and what it has in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.folder import DataFolder
from deploy.local.plan import COMMAND, Plan, service_env
from deploy.local.ports import PortBook
from deploy.local.service import Service
from tests.support.servers import Servers

MIB = 1024 * 1024


@asynccontextmanager
async def own_process(name: str, servers: Servers, folder: Path, **env: str) -> AsyncIterator[Service]:
    """Ready at the beginning, drained at the end; `env` is added to its environment."""
    data = DataFolder(folder).create()
    port = PortBook(data.ports_file).claim(name)
    given = service_env(Plan(data_dir=str(data.root)), servers.kafka, servers.mongo, port) | env
    service = Service(name, port, [part.format(name=name) for part in COMMAND], given, data)
    await service.spawn()
    try:
        await service.until_ready(service.start_seconds)
        yield service
    finally:
        await service.child.stop(service.grace_seconds)


def resident(pid: int, what: str) -> int:
    """Bytes: VmRSS is now, VmHWM the peak (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith(what))
    return int(kib) * 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
