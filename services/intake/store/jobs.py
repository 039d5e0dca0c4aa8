"""Import jobs and the rows that they refused.

imports         one document per job; a unique index lets one unfinished job have a content at a time
import_rejects  one document per refused row, `_id` job and row: written again, it stays the same

Times and leases are judged by the database's own clock ($$NOW), so replicas need not agree on theirs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from bson import MaxKey, MinKey
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from services.intake.domain.imports import Job, Reject, State
from shared.errors import Unavailable
from shared.mongo import Database, Document, driver_errors, ensure_indexes

_MS = 1000
_DUPLICATE = 11000
_UPLOADING = "uploading"
_UNCLAIMED = {"holder": None, "lease_until": "$$NOW"}


class JobStore:
    """`lease`: seconds that a replica holds a job without renewing it."""

    def __init__(self, database: Database, lease: float) -> None:
        self._jobs = database.imports
        self._rejects = database.import_rejects
        self._lease = {"$add": ["$$NOW", round(lease * _MS)]}
        self._held = {"lease_until": self._lease, "started_at": {"$ifNull": ["$started_at", "$$NOW"]}}
        self._prepared = False

    async def prepare(self) -> None:
        """Makes the indexes, the first time that MongoDB is there. Raises Unavailable."""
        if not self._prepared:
            newest_first = [("created_at", DESCENDING), ("_id", DESCENDING)]
            unfinished = {"partialFilterExpression": {"open": True}}
            indexes = [
                IndexModel([("content", ASCENDING)], unique=True, **unfinished),
                IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)], name="unfinished", **unfinished),
                IndexModel(newest_first, name="newest"),
                IndexModel([("sha256", ASCENDING), *newest_first]),
                IndexModel([("finished_at", ASCENDING)]),
            ]
            await ensure_indexes(self._jobs, indexes)
            self._prepared = True

    async def begin(self, identity: UUID) -> None:
        """A file is about to arrive: should this process die meanwhile, what came is found and removed."""
        with driver_errors():
            await self._jobs.update_one(
                {"_id": identity}, [{"$set": {"state": _UPLOADING, "created_at": "$$NOW"}}], upsert=True
            )

    async def still_arrives(self, identity: UUID) -> None:
        """Nobody takes the file for one that was left. Raises Unavailable when somebody has."""
        with driver_errors():
            done = await self._jobs.update_one(
                {"_id": identity, "state": _UPLOADING}, [{"$set": {"created_at": "$$NOW"}}]
            )
        if not done.matched_count:
            raise _removed()

    async def queue(self, job: Job) -> Job:
        """The file is there. Returns the job, or the unfinished one that has the same content.

        Raises Unavailable when the file was taken for one that was left.
        """
        said = {name: {"$literal": value} for name, value in _document(job).items()}
        try:
            with driver_errors():
                found: Document | None = await self._jobs.find_one_and_update(
                    {"_id": job.id},
                    [{"$set": {**said, "open": True, "created_at": "$$NOW", **_UNCLAIMED}}],
                    return_document=ReturnDocument.AFTER,
                )
        except DuplicateKeyError:
            with driver_errors():
                found = await self._jobs.find_one({"content": job.content, "open": True})
            return _job(found) if found else await self.queue(job)  # the other one has ended in between
        if found is None:
            raise _removed()
        return _job(found)

    async def unfinished(self, by: str | None = None) -> int:
        """How many jobs are queued or running: of one caller, or in all."""
        query: Document = {"open": True} | ({} if by is None else {"by": by})
        with driver_errors():
            count: int = await self._jobs.count_documents(query)
        return count

    async def claim(self, holder: UUID) -> Job | None:
        """The oldest job that nobody holds, or that `holder` holds itself; it is held from now on.

        Each holder that takes it over is counted until the job moves, or is known to wait.
        """
        mine = {"$literal": holder}
        free = {"$or": [{"$lte": ["$lease_until", "$$NOW"]}, {"$eq": ["$holder", mine]}]}
        anew = {"$cond": [{"$eq": ["$holder", mine]}, 0, 1]}
        claims = {"$add": [{"$ifNull": ["$claims", 0]}, anew]}
        with driver_errors():
            found = await self._jobs.find_one_and_update(
                {"open": True, "$expr": free},
                [{"$set": {"state": "running", "holder": mine, "claims": claims, **self._held}}],
                sort=[("created_at", ASCENDING), ("_id", ASCENDING)],
                return_document=ReturnDocument.AFTER,
            )
        return _job(found) if found else None

    async def renew(self, identity: UUID, holder: UUID, waiting: str | None = None) -> bool:
        """Whether `holder` still has the job; then for another lease. `waiting`: why nothing moves."""
        told = {} if waiting is None else {"waiting": {"$literal": waiting}, "claims": 0}
        return await self._update(identity, holder, {"lease_until": self._lease, **told})

    async def save(self, job: Job, holder: UUID) -> bool:
        """Keeps how far a job is, if `holder` still has it."""
        progress = {
            "mark": {"$literal": msgspec.to_builtins(job.mark)}, "accepted": job.accepted, "waiting": "",
            "rejected": job.rejected, "share": job.share, "worked": job.worked, "lease_until": self._lease,
            "claims": 0,
        }  # fmt: skip
        return await self._update(job.id, holder, progress)

    async def finish(self, identity: UUID, holder: UUID, state: State, reason: str = "") -> bool:
        """The end of a job, if `holder` still has it."""
        return await self._update(identity, holder, _ended(state, reason))

    async def cancel(self, identity: UUID) -> bool:
        """Whether it was cancelled while nobody held it: then nobody will read its file. Whoever works on it
        notices when it saves; a job that has ended stays as it is."""
        free = {"$expr": {"$lte": ["$lease_until", "$$NOW"]}}
        with driver_errors():
            for held in (free, {}):
                done = await self._jobs.update_one(
                    {"_id": identity, "open": True, **held}, [{"$set": _ended("cancelled", "")}]
                )
                if done.matched_count:
                    return held is free
        return False

    async def find(self, identity: UUID) -> Job | None:
        with driver_errors():
            found = await self._jobs.find_one({"_id": identity, "state": {"$ne": _UPLOADING}})
        return _job(found) if found else None

    async def newest(self, limit: int, before: tuple[datetime, UUID] | None, sha256: str | None) -> list[Job]:
        """The latest first, beyond `before`; those of a file where its hash is given."""
        query: dict[str, Any] = {"state": {"$ne": _UPLOADING}} | ({"sha256": sha256} if sha256 else {})
        if before:
            at, last = before
            query["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last}}]
        with driver_errors():
            found = self._jobs.find(query).sort([("created_at", DESCENDING), ("_id", DESCENDING)])
            return [_job(document) for document in await found.limit(limit).to_list(None)]

    async def expired(self, days: float, upload_seconds: float) -> list[UUID]:
        """Jobs that ended so long ago, and uploads that never did."""
        query = {
            "$or": [
                {"finished_at": {"$exists": True}, **_older("$finished_at", days * 86_400)},
                {"state": _UPLOADING, **_older("$created_at", upload_seconds)},
            ]
        }
        with driver_errors():
            found = await self._jobs.find(query, {"_id": 1}).limit(100).to_list(None)
        return [document["_id"] for document in found]

    async def over(self, identities: Sequence[UUID]) -> list[UUID]:
        """Those of these jobs that have ended: nobody reads their files any more."""
        query = {"_id": {"$in": list(identities)}, "finished_at": {"$exists": True}}
        with driver_errors():
            return [document["_id"] async for document in self._jobs.find(query, {"_id": 1})]

    async def delete(self, identity: UUID) -> None:
        """A job and its refused rows; its file goes first, so that none is left without a job."""
        with driver_errors():
            await self._rejects.delete_many(_of(identity))
            await self._jobs.delete_one({"_id": identity})

    async def reject(self, identity: UUID, rejects: Sequence[Reject]) -> None:
        """Keeps refused rows by their number: what is said again is there once, as it was said first."""
        if not rejects:
            return
        documents = [
            {"_id": {"job": identity, "row": one.row}, **msgspec.to_builtins(one)} for one in rejects
        ]
        with driver_errors():
            try:
                # inserts alone: of an update that took long, mongod writes all that it sets into its log
                await self._rejects.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                _raise_unless_repeated(error)

    async def rejects(self, identity: UUID, batch: int = 500) -> AsyncIterator[list[Reject]]:
        """All refused rows in the order of the file, some at a time."""
        held: list[Reject] = []
        with driver_errors():
            async for document in self._rejects.find(_of(identity)).sort("_id", ASCENDING):
                held.append(msgspec.convert(document, Reject))
                if len(held) == batch:
                    yield held
                    held = []
        yield held

    async def _update(self, identity: UUID, holder: UUID, change: Document) -> bool:
        with driver_errors():
            done = await self._jobs.update_one(
                {"_id": identity, "open": True, "holder": holder}, [{"$set": change}]
            )
        return bool(done.matched_count)


def _removed() -> Unavailable:
    return Unavailable("the file was so long in coming that it was removed: send it again")


def _ended(state: State, reason: str) -> Document:
    return {
        "state": state, "reason": {"$literal": reason}, "waiting": "", "finished_at": "$$NOW",
        "open": "$$REMOVE", "holder": "$$REMOVE", "lease_until": "$$REMOVE",
        "share": 1.0 if state == "done" else "$share",
    }  # fmt: skip


def _raise_unless_repeated(error: BulkWriteError) -> None:
    """Raises OperationFailure for what is no repetition; without the rows, which the driver's own error holds
    and which belong in no log."""
    failed = [one for one in error.details["writeErrors"] if one["code"] != _DUPLICATE]
    for one in (*failed, *error.details["writeConcernErrors"]):
        raise OperationFailure(one["errmsg"], one["code"]) from None


def _older(time: str, seconds: float) -> Document:
    return {"$expr": {"$lt": [time, {"$subtract": ["$$NOW", round(seconds * _MS)]}]}}


def _of(identity: UUID) -> Document:
    return {"_id": {"$gt": {"job": identity, "row": MinKey()}, "$lt": {"job": identity, "row": MaxKey()}}}


def _document(job: Job) -> Document:
    """What is known of a job from its beginning; the rest comes from the database's clock."""
    document: Document = msgspec.to_builtins(job, builtin_types=(UUID, datetime))
    return {name: value for name, value in document.items() if value is not None and name != "id"}


def _job(document: Document) -> Job:
    return msgspec.convert({"id": document["_id"], **document}, Job)
