"""What keeps a part running goes on where the disk is full."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.local.events import Event
from deploy.local.keeper import Keeper
from deploy.local.plan import Plan
from deploy.local.process import Child
from deploy.local.supervisor import Supervisor
from tests.support.spine import eventually


class Narrow:
    """A Part that finds no room for its files at its second and third start."""

    name, url, grace_seconds, start_seconds = "narrow", "", 1.0, 5.0

    def __init__(self, folder: Path) -> None:
        self.child = Child(self.name, log=folder / "log", run_folder=folder / "run")
        self.starts = 0

    async def spawn(self) -> None:
        self.starts += 1
        if self.starts in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.child.start(["sleep", "0.1" if self.starts == 1 else "60"])

    async def until_ready(self, timeout_seconds: float | None) -> None: ...


async def test_a_part_that_finds_no_room_for_its_files_is_started_until_it_does(tmp_path: Path) -> None:
    part, said = Narrow(tmp_path), list[Event]()
    keeper = Keeper(part, asyncio.Event(), said.append, lambda: None)
    await keeper.start()
    keeping = asyncio.create_task(keeper.keep())
    await eventually(lambda: part.starts == 4 and part.child.running, what="it runs again")
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    await part.child.kill()
    assert sum("No space left" in event.text for event in said) == 2
    assert said[-1].kind == "restarted"


async def test_a_process_whose_mark_cannot_be_written_is_ended(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("where a folder should be")
    child = Child("worker", log=tmp_path / "log", run_folder=tmp_path / "run")
    with pytest.raises(OSError, match="run"):
        child.start(["sleep", "60"])
    assert await child.wait() == -9


def test_a_record_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("where a folder should be")
    said: list[Event] = []
    Supervisor(Plan(data_dir=str(tmp_path / "data")), say=said.append)._record("ready")
    assert ["instance.json could not be written" in event.text for event in said] == [True]
