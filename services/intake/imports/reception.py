"""From a file that arrives to a job that is queued, or to a dry run after which nothing is left."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.intake.domain.imports import Full, Job, Layout, Mark, Options, Room
from services.intake.imports import workbook
from services.intake.imports.layout import find_layout, open_table
from services.intake.imports.preview import preview
from services.intake.imports.rows import RowReader
from services.intake.imports.table import Unreadable
from services.intake.imports.text import Detector, NotText
from services.intake.imports.worker import sender_of
from services.intake.store.files import FileStore
from services.intake.store.jobs import JobStore
from shared import ids
from shared.clock import Clock
from shared.errors import TransientError
from shared.mapping import Mapping
from shared.sealing import Seals

_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_HEAD = 4
RENEW_SECONDS = 600.0
"""So often a file that still arrives is said to do so; worker.py takes one for dead after two hours."""


class Sniffer:
    """Looks at a file's bytes as they pass: its hash, whether it is a workbook, its encoding."""

    def __init__(self, encoding: str) -> None:
        self._hash = hashlib.sha256()
        self._detector = Detector(encoding)
        self._head = b""

    async def through(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self._hash.update(piece)
            if len(self._head) < _HEAD:
                self._head += piece[:_HEAD]
            if self._head[:_HEAD] != workbook.SIGNATURE:
                self._detector.feed(piece)
            yield piece

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def encoding(self) -> str:
        """ "" for a workbook. Raises Unreadable."""
        if self._head.startswith(workbook.SIGNATURE):
            return ""
        if self._head.startswith(_OLD_EXCEL):
            raise Unreadable("is a workbook of Excel 97-2003: save it as XLSX or CSV")
        try:
            return self._detector.finish()
        except NotText as error:
            raise Unreadable(str(error)) from None


@dataclass
class Arrived:
    """A file that is stored, under the id of the job that it may become."""

    id: UUID
    name: str
    size: int
    sniffer: Sniffer
    kept: bool = False


@dataclass(frozen=True)
class Reception:
    """`wake` tells the worker of this replica that there is something to do."""

    jobs: JobStore
    files: FileStore
    clock: Clock
    wake: Callable[[], None]
    room: Room
    seals: Seals

    @asynccontextmanager
    async def arriving(
        self, pieces: AsyncIterator[bytes], name: str, options: Options
    ) -> AsyncIterator[Arrived]:
        """Stores what arrives. At the end of the block it is removed, unless a job has been made of it."""
        await self.jobs.prepare()
        await self.files.prepare()
        arrived = Arrived(ids.fresh_id(), name, 0, Sniffer(options.encoding))
        await self.jobs.begin(arrived.id)
        try:
            pieces = self._renewed(arrived.id, arrived.sniffer.through(pieces))
            arrived.size = await self.files.write(arrived.id, name, pieces)
            yield arrived
        finally:
            if not arrived.kept:
                with suppress(TransientError):  # the sweep removes what is left of an upload
                    await self.files.delete(arrived.id)
                    await self.jobs.delete(arrived.id)

    async def _renewed(self, identity: UUID, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces, while whose coming no other replica removes what came. Raises Unavailable."""
        renewed = self.clock.monotonic()
        async for piece in pieces:
            if self.clock.monotonic() - renewed > RENEW_SECONDS:
                renewed = self.clock.monotonic()
                await self.jobs.still_arrives(identity)
            yield piece

    async def layout(self, arrived: Arrived, mapping: Mapping, options: Options) -> tuple[Layout, Mark]:
        """How the file is to be read. Raises Unreadable, and MappingError when it lacks columns."""
        if not arrived.size:
            raise Unreadable("the file is empty")
        encoding = arrived.sniffer.encoding()
        file = self.files.open(arrived.id, arrived.size)
        layout, start = await asyncio.to_thread(find_layout, file, encoding, options, mapping.columns)
        mapping.check_columns(layout.header)
        return layout, start

    async def dry_run(self, job: Job, mapping: Mapping) -> dict[str, Any]:
        """What the file would become. Raises Unreadable."""
        file, now = self.files.open(job.id, job.size), self.clock.now()

        def look() -> dict[str, Any]:
            table = open_table(file, job.layout, job.size)
            rows = RowReader(table, mapping, sender_of(job), self.seals)
            return preview(table, mapping, rows, job.mark, now)

        return await asyncio.to_thread(look)

    async def ask_for_room(self, by: str) -> None:
        """Whether another import of this caller is taken: before its file is read, and before it is a job.

        Raises Full.
        """
        if await self.jobs.unfinished(by) >= self.room.of_caller:
            raise Full(self.room.of_caller, of_caller=True)
        if await self.jobs.unfinished() >= self.room.in_all:
            raise Full(self.room.in_all, of_caller=False)

    async def queue(self, arrived: Arrived, job: Job) -> Job:
        """The job, or the unfinished one of the same content."""
        queued = await self.jobs.queue(job)
        arrived.kept = queued.id == arrived.id
        self.wake()
        return queued


def content_of(sha256: str, mapping_yaml: str) -> str:
    """By which the same import is known again: the hash of a file and its mapping."""
    return hashlib.sha256(f"{sha256}\0{mapping_yaml}".encode()).hexdigest()
