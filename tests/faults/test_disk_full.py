"""The disk under Kafka or MongoDB runs full under load, and has room again."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.events import Event
from deploy.local.folder import DataFolder
from deploy.local.keeper import Keeper
from deploy.local.part import Part
from deploy.local.servers import Servers, start_servers
from shared.admin import ensure_topics
from tests.faults.conftest import Run, Stage
from tests.support.spine import eventually

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(600)]

ROOM_MB, LEFT_MB = 2048, 3
"""Of the disk at first (memory is taken for what is written alone), and what is left when it gets narrow."""
FULL_SECONDS = 10.0


@dataclass(frozen=True)
class Disk:
    """A file system in memory, mounted for the test."""

    folder: Path

    def resize(self, megabytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", self.folder], check=True)

    def narrow(self) -> None:
        """Leaves no more than LEFT_MB."""
        self.resize(shutil.disk_usage(self.folder).used // 2**20 + LEFT_MB)

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    words = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "cqm-fault-test", folder]
    try:
        subprocess.run(words, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"a file system cannot be mounted here (it needs root): {why.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass(frozen=True)
class Narrow:
    """Servers whose data each have a disk of their own."""

    servers: Servers
    disks: dict[str, Disk]

    def part(self, name: str) -> Part:
        return self.servers.local_kafka if name == "kafka" else self.servers.local_mongod


@asynccontextmanager
async def kept(part: Part) -> AsyncIterator[list[Event]]:
    """As by `cqm up`, for the length of a block; what its keeper says."""
    said: list[Event] = []
    keeping = asyncio.create_task(Keeper(part, asyncio.Event(), said.append, lambda: None).keep())
    try:
        yield said
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


@pytest.fixture
async def narrow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Narrow]:
    data = DataFolder(tmp_path_factory.mktemp("disk")).create()
    with ExitStack() as stack:
        disks = {"kafka": stack.enter_context(mounted(data.kafka)),
                 "mongo": stack.enter_context(mounted(data.mongo))}  # fmt: skip
        servers = await start_servers(data.root)
        await ensure_topics(servers.kafka)
        yield Narrow(servers, disks)
        for disk in disks.values():
            disk.resize(ROOM_MB)
        await servers.stop()


@pytest.fixture
async def run(stage: Stage, narrow: Narrow) -> AsyncIterator[Run]:
    async with stage.run_on(narrow.servers.kafka, narrow.servers.mongo) as run:
        yield run


@pytest.mark.parametrize("name", [
    pytest.param("kafka", marks=pytest.mark.fault("disk-full-kafka")),
    pytest.param("mongo", marks=pytest.mark.fault("disk-full-mongo")),
])  # fmt: skip
async def test_a_full_disk_stops_the_work_and_loses_nothing_that_was_acknowledged(
    run: Run, narrow: Narrow, name: str
) -> None:
    """Either server ends itself when it cannot write. What keeps it running under `cqm up` starts it again,
    in vain while there is no room."""
    disk, part = narrow.disks[name], narrow.part(name)
    await run.cluster.start(intake=1, routing=1, sla=1, analytics=1)
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        disk.narrow()
        async with kept(part) as said:
            await eventually(lambda: said, within=120, what=f"{name} ended on a full disk")
            run.report(f"{disk.free_bytes >> 10} KiB were free")
            await asyncio.sleep(FULL_SECONDS)  # the fault: so long there is no room
            disk.resize(ROOM_MB)
            await eventually(lambda: said[-1].kind == "restarted", within=60, what=f"{name} is back")
            for one in said:
                run.report(one.text.splitlines()[0])
            await run.cluster.all_ready()
            await run.recovered("there is room again")
    run.report(f"{load.outages} calls and {load.unknown_actions} actions got no answer at first")
    await run.verdict(load)
