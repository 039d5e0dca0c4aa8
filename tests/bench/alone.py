"""A MongoDB of its own for a benchmark that asks one database, in a folder that ends with it, or is kept."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rich.console import Console

from deploy.local.folder import DataFolder
from deploy.local.mongod import LocalMongod
from deploy.local.part import running
from deploy.local.ports import PortBook
from shared.mongo import Database, Mongo
from tests.bench.machine import machine, show_machine

CACHE_GB = 4.0

Measure = Callable[[Console, Mongo, Database], Awaitable[None]]


def on_its_own_mongod(name: str, measure: Measure, kept: Path | None = None) -> None:
    """Say what machine this is, then run `measure` on the database `name`: an empty one, or, in a folder that
    is `kept`, what an earlier run has left there."""
    console = Console(width=None if Console().is_terminal else 120)
    show_machine(console, machine())
    with (
        _folder(name, kept) as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_measured(console, folder, name, measure))


@contextmanager
def _folder(name: str, kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix=f"cqm-{name}-") as folder:
        yield Path(folder)


async def _measured(console: Console, folder: Path, name: str, measure: Measure) -> None:
    data = DataFolder(folder).create()
    mongod = LocalMongod(data, PortBook(data.ports_file).claim("mongo"), cache_gb=CACHE_GB)
    async with running(mongod):
        mongo = Mongo(mongod.url)
        await measure(console, mongo, mongo.database(name))
        mongo.close()
