"""Cases as people ask for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from services.routing.domain.case_file import CaseFile, Entry
from services.routing.domain.changes import Outcome
from services.routing.store import listing
from services.routing.store.documents import entry_id, entry_of, file_of, from_document
from services.routing.store.listing import Walk, Wanted
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
            months = await self._by_months(wanted) if listing.is_span_by_change(wanted) else None
            for walk in [months] if months else listing.walks(wanted):
                found = self._cases.find(walk.query).sort(walk.order).limit(limit - len(files))
                if walk.hint is not None:
                    found = found.hint(walk.hint)
                files += [file_of(document) for document in await found.to_list(None)]
                if len(files) >= limit:
                    break
        return files

    async def _by_months(self, wanted: Wanted) -> Walk | None:
        """The walk through a span that has too many cases to be sorted; None for one that has not."""
        along = listing.span(wanted)
        limit: Document = {"limit": listing.LONG, "hint": along.hint}
        if await self._cases.count_documents(along.query, **limit) < listing.LONG:
            return None
        edges = []
        for direction in (1, -1):
            order = [(name, direction) for name, _ in along.order]
            found = self._cases.find(along.query, {"opened_at": 1}).sort(order).limit(1).hint(along.hint)
            edges += [document["opened_at"] async for document in found]
        return listing.by_months(wanted, *edges) if len(edges) == 2 else None

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


def _identified(identity: str) -> Document | None:
    """The question for a case by its name; None for what only looks like one (`UUID` takes full-width digits
    and 0x, `upper` makes an S of a long one)."""
    if _ID.fullmatch(identity):
        return {"_id": UUID(identity)}
    return {"reference": identity.upper()} if _REFERENCE.fullmatch(identity) else None
