"""The key tree in MongoDB: the one thing that services share besides events, because a key that is destroyed
has to be gone for all of them (docs/adr/0040-a-person-is-erased-by-a-key.md)."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime

from bson import Binary

from shared.key_tree import SEED, Cut, KeyTree, destroyed, place_of
from shared.mongo import Document, Mongo, Session, driver_errors, transaction
from shared.sealing import Seals

LOOK_SECONDS = 1.0
"""A service uses a destroyed key for so long, and for as long as reading anew takes."""
_TREE = "tree"


class KeyStore:
    """Collections `cuts` and `revisions` of the database PREFIX_keys; `seals` gets each tree that is read."""

    def __init__(self, mongo: Mongo, prefix: str, seals: Seals) -> None:
        self._mongo, self._seals = mongo, seals
        database = mongo.database(f"{prefix}_keys")
        self._cuts, self._revisions = database.cuts, database.revisions
        self._read = -1

    async def keep_fresh(self) -> None:
        """Look for destroyed keys until cancelled. Raises Unavailable."""
        while True:
            await self.refresh()
            await asyncio.sleep(LOOK_SECONDS)

    async def refresh(self) -> None:
        """Use what is stored, if that is another tree than before. Raises Unavailable."""
        with driver_errors():
            revision = await self._revision()
            while revision != self._read:
                cuts = [_cut(document) async for document in self._cuts.find({})]
                if not cuts:
                    await self._plant()
                    continue
                again = await self._revision()
                if again == revision:  # else a key was destroyed between two pages of what was read
                    # beside the loop: after thousands of erasures it takes seconds
                    self._seals.use(await asyncio.to_thread(KeyTree, cuts))
                    self._read = revision
                revision = again

    async def destroy(self, name: bytes, at: datetime) -> None:
        """Destroy the key by which a person is sealed now; the next words of theirs get another one.

        Raises Unavailable: then it may have been done, and doing it again is safe.
        """
        await self.refresh()

        async def body(session: Session) -> None:
            cuts = [_cut(document) async for document in self._cuts.find({}, session=session)]
            turn = 0
            while (changed := destroyed(cuts, place_of(name, turn))) is None:
                turn += 1
            kept, made = changed
            await self._cuts.replace_one({"_id": kept.place.decode()}, _document(kept), session=session)
            await self._cuts.insert_one(_document(made) | {"at": at}, session=session)
            await self._revisions.update_one(
                {"_id": _TREE}, {"$inc": {"number": 1}}, upsert=True, session=session
            )

        async with self._mongo.session() as session:
            await transaction(session, body)

    async def _revision(self) -> int:
        found = await self._revisions.find_one({"_id": _TREE})
        return int(found["number"]) if found else 0

    async def _plant(self) -> None:
        """The first of all replicas decides."""
        seed = _document(Cut(b"", 0, os.urandom(SEED)))
        await self._cuts.update_one({"_id": seed.pop("_id")}, {"$setOnInsert": seed}, upsert=True)


def _document(cut: Cut) -> Document:
    return {"_id": cut.place.decode(), "depth": cut.depth, "seeds": Binary(cut.seeds)}


def _cut(document: Document) -> Cut:
    return Cut(document["_id"].encode(), document["depth"], bytes(document["seeds"]))
