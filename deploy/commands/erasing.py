"""Where a person stands in what is stored, and the destruction of their key."""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from deploy.commands.checkup import needed
from deploy.commands.doctor import surroundings
from deploy.commands.terminal import Failure, note, plain
from shared.generations import Generations
from shared.ids import reference
from shared.key_store import LOOK_SECONDS, KeyStore
from shared.mongo import Collection, Database, Document, Mongo, driver_errors
from shared.sealing import Seals


@dataclass(frozen=True)
class Unread:
    """Refused rows that were kept without having been read as rows, and do not name the person in full.
    `ended`: when the last of their imports has ended; None while one has not."""

    rows: int
    ended: datetime | None = None


@dataclass(frozen=True)
class Erased:
    """What is counted on, without words: feedback, activities and cases of the person. `rejects`: rows of
    imports that were refused and named the person, deleted.

    What may still hold words: `files` of imports that are stored, `unread` rows, and cases of somebody else
    into which a case of the person was `merged`, by reference. `certain`: whether it is known that something
    was sealed with the key.
    """

    feedback: int
    activities: int
    cases: int
    rejects: int
    files: int
    unread: Unread
    merged: list[str]
    certain: bool = True

    @property
    def known(self) -> bool:
        return any((self.feedback, self.activities, self.cases, self.rejects))


async def erase_person(
    data_dir: Path | None, mongo: str | None, name: str, signal: UUID | None, *, unknown: bool
) -> Erased | None:
    """`name`: the customer's id, or that of the `signal` as text. None: nothing is known of them, and so
    nothing was done, but with `unknown`.

    Raises Failure where the key of a signal is not the one of its words.
    """
    around = surroundings(data_dir, None, mongo, None)
    client, prefix = Mongo(needed(around.mongo, "MongoDB")), around.database_prefix
    try:
        with driver_errors():
            await client.ping()
            stored = await _Stored.of(client, prefix)
            found = await (stored.customer(name) if signal is None else stored.sender(signal))
            if not (found.known or unknown):
                return None
            # the key at last: whoever is stopped before it sees that nothing was erased, and does it again
            await stored.rejects.delete_many(naming(name))
            await KeyStore(client, prefix, Seals()).destroy(name.encode(), datetime.now(UTC))
        note("the services read the keys anew")
        await asyncio.sleep(2 * LOOK_SECONDS)  # what they may take to look, and as long again
        return found
    finally:
        client.close()


class _Stored(NamedTuple):
    """The databases in which a person may stand; errors are the driver's."""

    facts: Database
    routing: Database
    intake: Database

    @classmethod
    async def of(cls, client: Mongo, prefix: str) -> _Stored:
        generations = Generations(client, prefix)
        facts = generations.database((await generations.state()).live)
        return cls(facts, client.database(f"{prefix}_routing"), client.database(f"{prefix}_intake"))

    async def customer(self, name: str) -> Erased:
        return Erased(
            feedback=await self.facts.feedback_facts.count_documents({"said.customer_id": name}),
            activities=await self.facts.activity_facts.count_documents({"customer_id": name}),
            cases=await self.routing.cases.count_documents({"customer.id": name}),
            rejects=await self.rejects.count_documents(naming(name)),
            files=await self._files(),
            unread=await self._unread(name),
            merged=await self._merged({"customer.id": name}, name),
        )

    async def sender(self, identity: UUID) -> Erased:
        """Of one feedback or activity. Raises Failure where its words are sealed with another key, or not."""
        own = {"_id": identity}
        heard = await self.facts.feedback_facts.find_one({**own, "said": {"$ne": None}}, {"said": 1})
        done = await self.facts.activity_facts.find_one(own, {"customer_id": 1})
        # the case that it has opened, which keeps its words wherever the evidence has gone since
        opened = {"reference": reference(identity), "feedback_ids": identity}
        case = await self.routing.cases.find_one(opened, {"customer.id": 1, "sealed": 1})
        if customer := _customer_of(heard, done, case):
            raise Failure(
                f"{identity} is of customer {customer}, whose key seals its words: nothing was erased",
                f"`cqm erase {shlex.quote(customer)}`, without --feedback, erases the customer",
            )
        if case is not None and not case.get("sealed"):
            raise Failure(
                f"{identity} names nobody, so nothing of it was ever sealed, and nothing was erased",
                "its words stay readable: there is no key of theirs to destroy",
            )
        of_case = {**own, "case_id": {"$ne": None}}
        return Erased(
            feedback=int(heard is not None),
            activities=int(done is not None),
            cases=await self.routing.feedback.count_documents(of_case),
            rejects=await self.rejects.count_documents(naming(str(identity))),
            files=await self._files(),
            unread=await self._unread(str(identity)),
            merged=await self._merged(opened),
            certain=case is not None,
        )

    @property
    def rejects(self) -> Collection:
        return self.intake.import_rejects

    async def _files(self) -> int:
        """Of imports that are not done, uploads among them, and of those that have just ended."""
        return len(await self.intake["imports.chunks"].distinct("files_id"))

    async def _unread(self, name: str) -> Unread:
        whole = {"column": "", "cells": {"$not": naming(name)["cells"]}}
        grouped = [{"$match": whole}, {"$group": {"_id": "$_id.job", "rows": {"$sum": 1}}}]
        rows = {one["_id"]: one["rows"] async for one in self.rejects.aggregate(grouped)}
        jobs = self.intake.imports.find({"_id": {"$in": list(rows)}}, {"finished_at": 1})
        ends = [job.get("finished_at") async for job in jobs]
        return Unread(sum(rows.values()), None if None in ends else max(ends, default=None))

    async def _merged(self, own: Document, customer: str = "") -> list[str]:
        """The cases of anybody but the customer into which such a case was merged, and those into which they
        were: whoever wrote on them may have written of the person."""
        into = [case["merged_into"] async for case in self.routing.cases.find(own | {"status": "merged"})]
        found: dict[UUID, Document] = {}
        while into := [one for one in into if one not in found]:
            survivors = await self.routing.cases.find({"_id": {"$in": into}}).to_list(None)
            found |= {case["_id"]: case for case in survivors}
            into = [case["merged_into"] for case in survivors if case.get("merged_into")]
        others = (case for case in found.values() if not customer or case["customer"].get("id") != customer)
        return sorted(case["reference"] for case in others)


def naming(name: str) -> Document:
    """Rows with a cell in which the id stands, and not as a part of a longer one: C-1 is not in C-10."""
    return {"cells": {"$regex": rf"(?<![\w-]){re.escape(name)}(?![\w-])"}}


def _customer_of(heard: Document | None, done: Document | None, case: Document | None) -> str:
    """Whose signal it was; "" where no id was given."""
    places = ((heard or {}).get("said"), done, case and {"customer_id": case["customer"].get("id")})
    return next((plain(at["customer_id"]) for at in places if at and at.get("customer_id")), "")
