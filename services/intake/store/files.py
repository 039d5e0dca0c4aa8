"""Files of import jobs, in the layout of GridFS (collections imports.files and imports.chunks).

Chunks are written one by one: the driver's own writer gathers 32 MB of each file before it writes.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import BinaryIO, cast
from uuid import UUID

from pymongo import ASCENDING, IndexModel

from shared.mongo import Database, driver_errors, ensure_indexes

CHUNK_BYTES = 1024 * 1024


class FileStore:
    def __init__(self, database: Database) -> None:
        self._files = database["imports.files"]
        self._chunks = database["imports.chunks"]
        self._prepared = False

    async def prepare(self) -> None:
        """Makes the index, the first time that MongoDB is there. Raises Unavailable."""
        if not self._prepared:
            keys = [("files_id", ASCENDING), ("n", ASCENDING)]
            await ensure_indexes(self._chunks, [IndexModel(keys, unique=True)])
            self._prepared = True

    async def write(self, identity: UUID, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Stores a file as it arrives; returns its size. Raises Unavailable, and what `pieces` raises."""
        held, number, size = bytearray(), 0, 0
        async for piece in pieces:
            held += piece
            size += len(piece)
            while len(held) >= CHUNK_BYTES:
                await self._write_chunk(identity, number, bytes(held[:CHUNK_BYTES]))
                del held[:CHUNK_BYTES]
                number += 1
        if held:
            await self._write_chunk(identity, number, bytes(held))
        with driver_errors():
            await self._files.insert_one(
                {"_id": identity, "length": size, "chunkSize": CHUNK_BYTES, "filename": name}
            )
        return size

    async def chunk(self, identity: UUID, number: int) -> bytes:
        """Raises Unavailable; KeyError when the file has no such chunk."""
        with driver_errors():
            found = await self._chunks.find_one({"files_id": identity, "n": number}, {"data": 1})
        if found is None:
            raise KeyError(f"chunk {number} of file {identity} is not there")
        return cast(bytes, found["data"])

    async def identities(self) -> list[UUID]:
        """Of all files that are kept whole."""
        with driver_errors():
            return [document["_id"] async for document in self._files.find({}, {"_id": 1})]

    async def delete(self, identity: UUID) -> None:
        with driver_errors():
            await self._files.delete_one({"_id": identity})
            await self._chunks.delete_many({"files_id": identity})

    def open(self, identity: UUID, size: int) -> BinaryIO:
        """The file for a thread to read, while this event loop runs."""
        raw = StoredFile(self, identity, size, asyncio.get_running_loop())
        return cast(BinaryIO, io.BufferedReader(raw, CHUNK_BYTES))

    async def _write_chunk(self, identity: UUID, number: int, data: bytes) -> None:
        with driver_errors():
            await self._chunks.insert_one({"files_id": identity, "n": number, "data": data})


class StoredFile(io.RawIOBase):
    """A stored file as a thread sees it; one chunk is held at a time."""

    def __init__(self, store: FileStore, identity: UUID, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._identity, self._size, self._loop = store, identity, size, loop
        self._at = 0
        self._number, self._chunk = -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._at >= self._size:
            return 0
        number, start = divmod(self._at, CHUNK_BYTES)
        if number != self._number:
            fetch = self._store.chunk(self._identity, number)
            self._chunk = asyncio.run_coroutine_threadsafe(fetch, self._loop).result()
            self._number = number
        piece = memoryview(self._chunk)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
