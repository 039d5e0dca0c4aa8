"""Routing's collections: feedback (what became of it), cases, case_history, pools, absences."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from services.routing.domain.case_file import OPEN_STATUSES, CaseFile, Entry
from services.routing.domain.changes import Changes, Outcome
from services.routing.domain.pool import Seat
from services.routing.domain.queue import Search
from services.routing.domain.roster import Absence
from services.routing.store import listing, queue
from services.routing.store.documents import (
    BSON_TYPES,
    case_document,
    entry_id,
    entry_of,
    file_of,
    from_document,
    history_document,
)
from services.routing.store.listing import Wanted
from services.routing.store.raw_bson import outcome_document, with_ids
from shared.codec import Outgoing
from shared.events import Case
from shared.mongo import Database, Document, Session, driver_errors, ensure_indexes

_outbox = msgspec.msgpack.Decoder(list[Outgoing])
MOST_OF_CUSTOMERS = 20_000
ORIGINS = {"batch": "product.batch", "supplier": "supplier_id"}
"""Where what a case is about came from: cases that have it in common may have one cause."""


class CaseStore:
    """Reads and writes of routing; those that take a session belong to a transaction."""

    def __init__(self, database: Database) -> None:
        self._feedback = database.feedback
        self._cases = database.cases
        self._history = database.case_history
        self._pools = database.pools
        self._absences = database.absences
        self._policies = database.policies

    async def prepare(self) -> None:
        """Indexes; the history needs none, because its ids begin with the case's."""
        indexes = [
            *listing.indexes(),
            IndexModel("reference", unique=True),
            *(
                IndexModel(
                    [(origin, ASCENDING), ("_id", DESCENDING)],
                    partialFilterExpression={origin: {"$gt": ""}},
                    name=f"of one {origin}",
                )
                for origin in ORIGINS.values()
            ),
            IndexModel(
                [
                    ("books.waiting", ASCENDING),
                    ("department", ASCENDING),
                    ("priority", ASCENDING),
                    ("opened_at", ASCENDING),
                ],
                partialFilterExpression={"books.waiting": True},
                name="queues",
            ),
            IndexModel(
                "books.acknowledge_by",
                partialFilterExpression={"books.acknowledge_by": {"$type": "date"}},
                name="unacknowledged",
            ),
            IndexModel("resolved_at", partialFilterExpression={"status": "resolved"}, name="resolved"),
        ]
        await ensure_indexes(self._cases, indexes, listing.RETIRED)
        unsaid = IndexModel("at", partialFilterExpression={"outbox": {"$exists": True}}, name="unsaid")
        await ensure_indexes(self._history, [unsaid])

    # --- within a transaction ------------------------------------------------------------------------

    async def outcomes(self, ids: Sequence[UUID], session: Session) -> dict[UUID, Outcome]:
        found = await self._feedback.find(with_ids(ids), session=session).to_list(None)
        return {document["_id"]: from_document(document, Outcome) for document in found}

    async def cases_of(self, customers: Sequence[str], since: datetime, session: Session) -> list[CaseFile]:
        """Cases of these customers that were opened since then and may go on, oldest first; the newest
        MOST_OF_CUSTOMERS of them."""
        query = {
            "customer.id": {"$in": list(customers)},
            "opened_at": {"$gte": since},
            "status": {"$nin": ["merged", "cancelled"]},
        }
        found = self._cases.find(query, session=session).sort("opened_at", -1).limit(MOST_OF_CUSTOMERS)
        return [file_of(document) async for document in found][::-1]

    async def files(self, ids: Iterable[UUID], session: Session) -> dict[UUID, CaseFile]:
        found = self._cases.find({"_id": {"$in": list(ids)}}, session=session)
        return {document["_id"]: file_of(document) async for document in found}

    async def open_cases_in(self, department: str, limit: int, session: Session) -> list[CaseFile]:
        """Open cases of a department, in no order."""
        query = {"department": department, "status": {"$in": sorted(OPEN_STATUSES)}}
        return [file_of(d) async for d in self._cases.find(query, session=session).limit(limit)]

    async def open_cases_of_owners(
        self, department: str, owners: Sequence[str], limit: int, session: Session
    ) -> list[CaseFile]:
        """Open cases of a department that these people own."""
        query = {"owner": {"$in": list(owners)}, "department": department}
        query |= {"status": {"$in": sorted(OPEN_STATUSES)}}
        return [file_of(d) async for d in self._cases.find(query, session=session).limit(limit)]

    async def absences(self, session: Session | None = None) -> dict[str, Absence]:
        """Who said to be away, and when."""
        found = self._absences.find({}, session=session)
        return {d["_id"]: Absence(d["start"], d["end"]) async for d in found}

    async def waiting(self, search: Search, limit: int, session: Session) -> list[CaseFile]:
        """What of a department's queue a turn is looking for, most urgent first, then oldest."""
        found = self._cases.find(queue.query_of(search), session=session).sort(queue.ORDER).limit(limit)
        return [file_of(document) async for document in found]

    async def queues(self, session: Session) -> set[str]:
        """The departments in whose queue a case waits."""
        return set(await self._cases.distinct("department", {"books.waiting": True}, session=session))

    async def pools(self, departments: Iterable[str], session: Session) -> dict[str, dict[str, Seat]]:
        found = self._pools.find({"_id": {"$in": list(departments)}}, session=session)
        return {d["_id"]: msgspec.convert(d["seats"], dict[str, Seat]) async for d in found}

    async def save(self, changes: Changes, session: Session) -> None:
        """Write what a decision wants; a case that changed meanwhile makes the transaction run again.

        Cases that changed are taken out and put in again, all at once: in a transaction mongod reads the list
        of a collection's indexes anew for each index of each single update (docs/performance.md).
        """
        if changes.outcomes:
            await self._feedback.insert_many([outcome_document(o) for o in changes.outcomes], session=session)
        changed = [case_id for case_id in changes.files if changes.before[case_id] is not None]
        if changed:
            found = await self._cases.delete_many({"_id": {"$in": changed}}, session=session)
            assert found.deleted_count == len(changed), "a case is not as it was read"
        if changes.files:
            written = [case_document(file) for file in changes.files.values()]
            await self._cases.insert_many(written, ordered=False, session=session)
        if changes.entries:
            await self._history.insert_many([history_document(e) for e in changes.entries], session=session)
        seats = [UpdateOne({"_id": name}, _turned(pool), True) for name, pool in changes.pools.items()]
        if seats:
            await self._pools.bulk_write(seats, ordered=False, session=session)
        for case_id, feedbacks in changes.moved.items():
            moved = {"$set": {"case_id": case_id, "state": "joined"}}
            await self._feedback.update_many({"_id": {"$in": list(feedbacks)}}, moved, session=session)

    async def save_said(self, entry: Entry, said: Sequence[Outgoing], session: Session) -> None:
        """Add a history entry with its outbox: the events that are still to be published."""
        document = history_document(entry) | {"outbox": msgspec.msgpack.encode(said), "at": entry.change.at}
        await self._history.insert_one(document, session=session)

    # --- outbox of actions ---------------------------------------------------------------------------

    async def said(self, entry_id: bytes) -> None:
        """The entry's events are on Kafka: forget them."""
        with driver_errors():
            await self._history.update_one({"_id": entry_id}, {"$unset": {"outbox": 1, "at": 1}})

    async def unsaid(self, before: datetime, limit: int = 200) -> AsyncIterator[tuple[bytes, list[Outgoing]]]:
        """Entries whose events a crash may have kept from Kafka, oldest first."""
        query = {"outbox": {"$exists": True}, "at": {"$lt": before}}
        with driver_errors():
            async for document in self._history.find(query).sort("at", 1).limit(limit):
                yield document["_id"], _outbox.decode(document["outbox"])

    # --- time ----------------------------------------------------------------------------------------

    async def unacknowledged(self, now: datetime, limit: int = 200) -> list[UUID]:
        """Cases whose owners let the time for an acknowledgement pass, longest ago first."""
        return await self._due({"books.acknowledge_by": {"$lte": now}}, "books.acknowledge_by", limit)

    async def silent(self, before: datetime, limit: int = 200) -> list[UUID]:
        """Cases that were resolved before then and are not closed, longest ago first."""
        return await self._due({"status": "resolved", "resolved_at": {"$lte": before}}, "resolved_at", limit)

    async def _due(self, query: Document, order: str, limit: int) -> list[UUID]:
        with driver_errors():
            found = self._cases.find(query, {"_id": 1}).sort(order, 1).limit(limit)
            return [document["_id"] async for document in found]

    # --- reads for people ----------------------------------------------------------------------------

    async def find(self, identity: str, session: Session | None = None) -> CaseFile | None:
        """A case by id, or by the reference that people read out."""
        query = _identified(identity)
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
            for walk in listing.walks(wanted):
                found = self._cases.find(walk.query).sort(walk.order).limit(limit - len(files))
                if walk.hint is not None:
                    found = found.hint(walk.hint)
                files += [file_of(document) for document in await found.to_list(None)]
                if len(files) >= limit:
                    break
        return files

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

    async def loads(self) -> dict[str, dict[str, Seat]]:
        """The seats of every pool."""
        with driver_errors():
            return {d["_id"]: msgspec.convert(d["seats"], dict[str, Seat]) async for d in self._pools.find()}

    async def set_absence(self, person: str, absence: Absence | None) -> None:
        """Away for a span, or (None) not away by their own word."""
        with driver_errors():
            if absence is None:
                await self._absences.delete_one({"_id": person})
            else:
                span = {"start": absence.start, "end": absence.end}
                await self._absences.replace_one({"_id": person}, span, upsert=True)

    async def departments(self) -> set[str]:
        """Every department that has a pool, also when it has left the policy."""
        with driver_errors():
            return {document["_id"] async for document in self._pools.find({}, {"_id": 1})}

    async def keep_policy(self, version: str, content: str, since: datetime, host: str) -> None:
        """Keep a policy that came into force; one that came back keeps the time it came first."""
        first = {"$setOnInsert": {"content": content, "since": since, "host": host}}
        with driver_errors():
            await self._policies.update_one({"_id": version}, first, upsert=True)

    async def policies(self) -> list[Document]:
        """Every policy that was ever in force, newest first, without its content."""
        with driver_errors():
            found = self._policies.find({}, {"content": 0}).sort("since", -1)
            return [{"version": d["_id"], "since": d["since"], "host": d["host"]} async for d in found]

    async def policy(self, version: str) -> Document | None:
        with driver_errors():
            found = await self._policies.find_one({"_id": version})
        return {"version": found.pop("_id"), **found} if found else None

    async def queue_lengths(self) -> dict[str, int]:
        """How many cases wait in each department's queue."""
        stages: list[Document] = [
            {"$match": {"books.waiting": True}},
            {"$group": {"_id": "$department", "n": {"$sum": 1}}},
        ]
        with driver_errors():
            return {d["_id"]: d["n"] async for d in self._cases.aggregate(stages)}


def _turned(seats: dict[str, Seat]) -> Document:
    """The write of a turn. The count makes it one even where the loads are those of before, so that of two
    turns at once MongoDB lets one win."""
    return {"$set": {"seats": msgspec.to_builtins(seats, builtin_types=BSON_TYPES)}, "$inc": {"turns": 1}}


def _identified(identity: str) -> Document:
    try:
        return {"_id": UUID(identity)}
    except ValueError:
        return {"reference": identity.upper()}
