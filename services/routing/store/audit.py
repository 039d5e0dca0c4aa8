"""What the audit reads and keeps: whole histories in order, and anchors of where they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from bson import Binary
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from services.routing.domain.audit import Head
from services.routing.domain.case_file import CaseFile, Entry
from services.routing.store.documents import entry_id, entry_of, file_of
from shared.mongo import Database, Document, driver_errors, ensure_indexes

LEASE = timedelta(minutes=5)
_LAST = UUID(int=2**128 - 1)
_INSERT = 1000


class AuditStore:
    """Collections case_history and cases (read), anchors and anchor_heads (written, never changed)."""

    def __init__(self, database: Database) -> None:
        self._cases = database.cases
        self._history = database.case_history
        self._anchors = database.anchors
        self._heads = database.anchor_heads

    async def prepare(self) -> None:
        await ensure_indexes(self._anchors, [IndexModel("done")])

    async def page(
        self, after: UUID, limit: int
    ) -> tuple[dict[UUID, CaseFile], dict[UUID, list[Entry]], UUID | None]:
        """The next cases by id with their histories, histories without a case too; and where to go on."""
        with driver_errors():
            found = self._cases.find({"_id": {"$gt": after}}).sort("_id", 1).limit(limit)
            files = {document["_id"]: file_of(document) async for document in found}
            last = max(files) if len(files) == limit else _LAST
            histories: dict[UUID, list[Entry]] = {case: [] for case in files}
            # by the id, not by what the entry says of itself: that may have been altered
            span = {"$gt": entry_id(after, 2**32 - 1), "$lte": entry_id(last, 2**32 - 1)}
            async for document in self._history.find({"_id": span}).sort("_id", 1):
                case = UUID(bytes=bytes(document["_id"][:16]))
                histories.setdefault(case, []).append(entry_of(document))
        return files, histories, last if last != _LAST else None

    async def entries(self, heads: Sequence[Head]) -> dict[tuple[UUID, int], Entry]:
        """The entries that anchors have seen, as far as they are there."""
        wanted = [entry_id(head.case_id, head.version) for head in heads]
        with driver_errors():
            found = [d async for d in self._history.find({"_id": {"$in": wanted}})]
        entries = (entry_of(document) for document in found)
        return {(entry.case_id, entry.version): entry for entry in entries}

    # --- anchors -------------------------------------------------------------------------------------

    async def anchors(self) -> list[Document]:
        """All that are complete, oldest first."""
        with driver_errors():
            return [document async for document in self._anchors.find({"done": True}).sort("_id", 1)]

    async def anchor(self, day: str) -> Document | None:
        with driver_errors():
            return await self._anchors.find_one({"_id": day, "done": True})

    async def claim(self, day: str, now: datetime) -> UUID | None:
        """The right to write the anchor of a day, as a token; None when it is there or somebody writes it."""
        token = uuid4()
        free = {"_id": day, "done": False, "until": {"$lt": now}}
        mine = {"token": token, "until": now + LEASE, "done": False}
        with driver_errors():
            try:
                claimed = await self._anchors.find_one_and_update(free, {"$set": mine}, upsert=True)
            except DuplicateKeyError:
                return None
            if claimed is not None:  # a writer died: what it left belongs to no anchor
                await self._heads.delete_many(_of(claimed["token"]))
        return token

    async def keep_heads(self, token: UUID, since: datetime | None) -> None:
        """Keep where the history of every case ends now that has changed since then (None: of every case)."""
        query = {"updated_at": {"$gte": since}} if since else {}
        shown = {"version": 1, "books.head": 1}
        part: list[Document] = []
        with driver_errors():
            async for case in self._cases.find(query, shown):
                head = {"version": case["version"], "hash": case["books"]["head"]}
                part.append({"_id": Binary(token.bytes + case["_id"].bytes), **head})
                if len(part) == _INSERT:
                    await self._heads.insert_many(part, ordered=False)
                    part = []
            if part:
                await self._heads.insert_many(part, ordered=False)

    async def heads(self, token: UUID, after: UUID | None = None, limit: int = 0) -> AsyncIterator[Head]:
        """The heads of an anchor by case id; all without a limit."""
        with driver_errors():
            found = self._heads.find(_of(token, after)).sort("_id", 1).limit(limit)
            async for document in found:
                case = UUID(bytes=bytes(document["_id"][16:]))
                yield Head(case, document["version"], document["hash"])

    async def complete(
        self, day: str, token: UUID, *, at: datetime, previous: str, root: str, count: int
    ) -> bool:
        """Make the anchor valid; False when its writer was too slow and lost it to another."""
        done = {"done": True, "at": at, "previous": previous, "root": root, "count": count}
        with driver_errors():
            result = await self._anchors.update_one({"_id": day, "token": token}, {"$set": done})
        return bool(result.matched_count)


def _of(token: UUID, after: UUID | None = None) -> Document:
    first = Binary(token.bytes + (after.bytes if after else b""))
    return {"_id": {"$gt": first, "$lte": Binary(token.bytes + _LAST.bytes)}}
