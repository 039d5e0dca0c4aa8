"""The key tree in MongoDB: the one thing that services share besides events, because a key that is destroyed
has to be gone for all of them (docs/adr/0040-a-person-is-erased-by-a-key.md)."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from bson import Binary
from pymongo.errors import DuplicateKeyError

from shared.errors import SetupError
from shared.key_tree import SEED, Cut, KeyTree, destroyed, place_of
from shared.mongo import Document, Mongo, Session, driver_errors, transaction
from shared.sealing import Seals

LOOK_SECONDS = 1.0
"""A service uses a destroyed key for so long, and for as long as reading anew takes."""
_TREE = "tree"


class _Revision(NamedTuple):
    """Which tree it is, and how many of its keys were destroyed. Stores of earlier versions do not say which,
    and nothing at all while no key was destroyed."""

    tree: UUID | None
    number: int


class KeyStore:
    """Collections `cuts` and `revisions` of the database PREFIX_keys; `seals` gets each tree that is read.

    Seeds are written by inserts alone: mongod writes an update that took long into its log, with all that it
    sets, and an insert without its documents.
    """

    def __init__(self, mongo: Mongo, prefix: str, seals: Seals) -> None:
        self._mongo, self._seals = mongo, seals
        self._name = f"{prefix}_keys"
        database = mongo.database(self._name)
        self._cuts, self._revisions = database.cuts, database.revisions
        self._tree: UUID | None = None
        self._read: _Revision | None = None

    async def keep_fresh(self) -> None:
        """Look for destroyed keys until cancelled. Raises as `refresh`."""
        while True:
            await self.refresh()
            await asyncio.sleep(LOOK_SECONDS)

    async def refresh(self, *, plant: bool = True) -> None:
        """Use what is stored, if it is not what was read before. Raises Unavailable. `plant`: make the tree
        where none was ever there.

        Raises SetupError where the seeds are gone, or those of another tree came in their place: with a new
        seed nothing that was sealed could be read any more, and nobody would be told.
        """
        with driver_errors():
            revision = await self._revision()
            while self._read is None or revision != self._read:
                self._check(revision)
                cuts = [_cut(document) async for document in self._cuts.find({})]
                again = await self._revision()
                if again != revision:  # a key was destroyed between two pages of what was read
                    revision = again
                elif not cuts and (revision is not None or not plant):
                    raise self._lost()
                elif revision is None or revision.tree is None:
                    await self._plant(first=not cuts)
                    revision = await self._revision()
                else:
                    # beside the loop: after thousands of erasures it takes seconds
                    self._seals.use(await asyncio.to_thread(KeyTree, cuts))
                    self._tree, self._read = revision.tree, revision

    async def destroy(self, name: bytes, at: datetime) -> None:
        """Destroy the key by which a person is sealed now; the next words of theirs get another one.

        Raises as `refresh`; Unavailable: then it may have been done, and doing it again is safe.
        """
        await self.refresh(plant=False)  # where no key is, none is destroyed

        async def body(session: Session) -> None:
            stored = {_cut(document): document async for document in self._cuts.find({}, session=session)}
            if not stored:
                raise self._lost()
            turn = 0
            while (changed := destroyed(stored, place_of(name, turn))) is None:
                turn += 1
            kept, made = changed
            before = next(document for cut, document in stored.items() if cut.place == kept.place)
            await self._cuts.delete_one({"_id": before["_id"]}, session=session)
            written = [before | _document(kept), _document(made) | {"at": at}]
            await self._cuts.insert_many(written, session=session)
            await self._revisions.update_one({"_id": _TREE}, {"$inc": {"number": 1}}, session=session)

        async with self._mongo.session() as session:
            await transaction(session, body)

    def _check(self, revision: _Revision | None) -> None:
        """Raises SetupError where it is not the tree that was read before."""
        if self._tree is None or (revision is not None and revision.tree == self._tree):
            return
        if revision is None:
            raise self._lost()
        # what it cannot open would pass for erased, and what it seals could be read by nobody else
        self._seals.forget()
        self._read = None
        raise SetupError(
            f"the keys in the database {self._name} are not those of before: restore the right copy of it, "
            "or restart the services if this is the right one"
        )

    def _lost(self) -> SetupError:
        return SetupError(
            f"the keys in the database {self._name} are gone, and with them all that people said: restore it "
            "from its copy (docs/runbook.md)"
        )

    async def _revision(self) -> _Revision | None:
        found = await self._revisions.find_one({"_id": _TREE})
        return _Revision(found.get("tree"), found["number"]) if found else None

    async def _plant(self, *, first: bool) -> None:
        """The first of all replicas decides on the seed, and then on the tree's id: what has an id had a
        seed. `first`: there is no seed yet."""
        try:
            if first:
                await self._cuts.insert_one(_document(Cut(b"", 0, os.urandom(SEED))))
            told = {"tree": {"$ifNull": ["$tree", uuid4()]}, "number": {"$ifNull": ["$number", 0]}}
            await self._revisions.update_one({"_id": _TREE}, [{"$set": told}], upsert=True)
        except DuplicateKeyError:
            pass  # another one was faster: what it has written is read next


def _document(cut: Cut) -> Document:
    return {"_id": cut.place.decode(), "depth": cut.depth, "seeds": Binary(cut.seeds)}


def _cut(document: Document) -> Cut:
    return Cut(document["_id"].encode(), document["depth"], bytes(document["seeds"]))
