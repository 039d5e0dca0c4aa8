"""Cases as people ask for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from uuid import UUID

from services.routing.domain.case_file import CaseFile, Entry
from services.routing.domain.changes import Outcome
from services.routing.store import listing
from services.routing.store.documents import entry_id, entry_of, file_of, from_document
from services.routing.store.listing import ORDERS, Order, Walk, Wanted
from services.routing.store.parts import Part
from shared.events import Case
from shared.mongo import Document, Session, driver_errors

_ID = re.compile("[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
_REFERENCE = re.compile("[0-9A-Za-z]{4}(-[0-9A-Za-z]{4}){2}")
ORIGINS = {"batch": "product.batch", "supplier": "supplier_id"}
"""Where what a case is about came from: cases that have it in common may have one cause."""


class Reading(Part):
    """Single cases with all that belongs to them, and lists of cases."""

    async def find(self, identity: str, session: Session | None = None) -> CaseFile | None:
        """A case by id, or by the reference that people read out."""
        query = _identified(identity)
        if query is None:
            return None
        if session is not None:
            document = await self._cases.find_one(query, session=session)
        else:
            with driver_errors():
                document = await self._cases.find_one(query)
        return file_of(document) if document else None

    async def search(self, wanted: Wanted, limit: int) -> list[CaseFile]:
        """The first `limit` cases of a list."""
        files: list[CaseFile] = []
        with driver_errors():
            counted = listing.counted(wanted)
            short = counted is not None and await self._is_short(counted)
            if counted is not None and wanted.opened and not short:
                return await self._of_long_span(wanted, limit)
            for walks in listing.sorted_by_keys(wanted) if short else listing.walks(wanted):
                found = await self._side_by_side(walks, limit - len(files))
                files += merged(found, wanted.order)[: limit - len(files)]
                if len(files) >= limit:
                    break
        return files

    async def _of_long_span(self, wanted: Wanted, limit: int) -> list[CaseFile]:
        """The last days first, until the page is full; of the days before, what has changed since its end."""
        ends = await self._side_by_side(listing.ends(wanted), 1)
        days = listing.days(wanted, [file.case for file in chain.from_iterable(ends)])
        files: list[CaseFile] = []
        at_once = listing.NEWEST
        while days and len(files) < limit:
            some, days = days[-at_once:], days[:-at_once]
            found = await self._walk(listing.by_days(wanted, some), limit)
            files, at_once = merged([files, found], wanted.order)[:limit], listing.MERGED
        if days:
            since = listing.changed_since(wanted, days, files[-1].case.updated_at)
            files = merged([files, *await self._side_by_side(since, limit)], wanted.order)[:limit]
        return files

    async def _is_short(self, walk: Walk) -> bool:
        found = self._cases.find(walk.query, {"_id": 1}).hint(walk.hint).skip(listing.LONG - 1)
        return not await found.limit(1).to_list(None)

    async def _side_by_side(self, walks: Iterable[Walk], limit: int) -> list[list[CaseFile]]:
        return await asyncio.gather(*(self._walk(walk, limit) for walk in walks))

    async def _walk(self, walk: Walk, limit: int) -> list[CaseFile]:
        found = self._cases.find(walk.query).sort(walk.order).limit(limit)
        if walk.hint is not None:
            found = found.hint(walk.hint)
        return [file_of(document) for document in await found.to_list(None)]

    async def related(
        self, case: Case, departments: Sequence[str] | None, limit: int
    ) -> dict[str, list[CaseFile]]:
        """The newest other cases of the same product batch and of the same supplier, in these departments."""
        found = {}
        of_case = {"batch": case.product.batch, "supplier": case.supplier_id}
        for name, value in of_case.items():
            query: Document = {ORIGINS[name]: {"$eq": value, "$gt": ""}, "_id": {"$ne": case.id}}
            if departments is not None:
                query["department"] = {"$in": list(departments)}
            with driver_errors():
                cursor = self._cases.find(query).sort("_id", -1).limit(limit) if value else None
                found[name] = [file_of(document) async for document in cursor] if cursor else []
        return found

    async def history(self, case_id: UUID) -> list[Entry]:
        """All versions of a case in order."""
        first, last = entry_id(case_id, 0), entry_id(case_id, 2**32 - 1)
        with driver_errors():
            found = self._history.find({"_id": {"$gte": first, "$lte": last}}).sort("_id", 1)
            return [entry_of(document) async for document in found]

    async def outcome(self, feedback_id: UUID) -> Outcome | None:
        with driver_errors():
            document = await self._feedback.find_one({"_id": feedback_id})
        return from_document(document, Outcome) if document else None

    async def queue_lengths(self) -> dict[str, int]:
        """How many cases wait in each department's queue."""
        stages: list[Document] = [
            {"$match": {"books.waiting": True}},
            {"$group": {"_id": "$department", "n": {"$sum": 1}}},
        ]
        with driver_errors():
            return {d["_id"]: d["n"] async for d in self._cases.aggregate(stages)}


def merged(lists: Sequence[list[CaseFile]], order: Order) -> list[CaseFile]:
    """Lists that are each in order as one."""
    if len(lists) == 1:
        return lists[0]
    moment, direction = ORDERS[order]

    def rank(file: CaseFile) -> tuple[str, datetime, bytes]:
        priority = file.case.priority if order == "priority" else ""
        return priority, getattr(file.case, moment), file.case.id.bytes  # as MongoDB compares ids

    return sorted(chain.from_iterable(lists), key=rank, reverse=direction < 0)


def _identified(identity: str) -> Document | None:
    """The question for a case by its name; None for what only looks like one (`UUID` takes full-width digits
    and 0x, `upper` makes an S of a long one)."""
    if _ID.fullmatch(identity):
        return {"_id": UUID(identity)}
    return {"reference": identity.upper()} if _REFERENCE.fullmatch(identity) else None
