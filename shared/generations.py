"""Generations of analytics' figures: each a database, counted from the log once; one of them is live.

One document says which, so a switch is one write (docs/adr/0028-a-second-generation-beside-the-live-one.md).
It stands in the database of the first generation, which has the name that the service's always had.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pymongo import ReturnDocument

from shared.mongo import Database, Document, Mongo, driver_errors

_ID = "analytics"
COLLECTION = "generations"


class State(NamedTuple):
    """The generation that is read and written, one that is being built, and those that were live before."""

    live: int = 1
    building: int | None = None
    kept: tuple[int, ...] = ()


class Generations:
    """Those of one system, by the prefix of its databases. Raises Unavailable when MongoDB is away."""

    def __init__(self, mongo: Mongo, prefix: str) -> None:
        self._mongo, self._prefix = mongo, prefix

    def database(self, number: int) -> Database:
        name = f"{self._prefix}_analytics"
        return self._mongo.database(name if number == 1 else f"{name}_g{number}")

    @property
    def _said(self) -> Any:
        return self.database(1)[COLLECTION]

    async def state(self) -> State:
        with driver_errors():
            found = await self._said.find_one({"_id": _ID})
        if found is None:
            return State()
        return State(found["live"], found["building"], tuple(found["kept"]))

    async def begin(self) -> int:
        """The number of the generation to be built: a new one, or the one that was begun and not finished."""
        first: Document = {"live": 1, "building": None, "kept": [], "last": 1}
        following = {"last": {"$add": ["$last", 1]}, "building": {"$add": ["$last", 1]}}
        with driver_errors():
            await self._said.update_one({"_id": _ID}, {"$setOnInsert": first}, upsert=True)
            found = await self._said.find_one_and_update(
                {"_id": _ID, "building": None},
                [{"$set": following}],
                return_document=ReturnDocument.AFTER,
            ) or await self._said.find_one({"_id": _ID})
        return int(found["building"])

    async def switch(self, building: int) -> bool:
        """Make the generation that was built the live one, and keep the other; False: somebody else has."""
        now = {"kept": {"$concatArrays": ["$kept", ["$live"]]}, "live": building, "building": None}
        with driver_errors():
            done = await self._said.update_one({"_id": _ID, "building": building}, [{"$set": now}])
        return bool(done.matched_count)

    async def give_up(self) -> None:
        """Forget what was begun to be built."""
        building = (await self.state()).building
        if building is not None:
            await self._drop(building)
            with driver_errors():
                await self._said.update_one({"_id": _ID}, {"$set": {"building": None}})

    async def drop_kept(self) -> list[int]:
        """Delete the generations that were live before; returns which."""
        kept = list((await self.state()).kept)
        for number in kept:
            await self._drop(number)
            with driver_errors():
                await self._said.update_one({"_id": _ID}, {"$pull": {"kept": number}})
        return kept

    async def _drop(self, number: int) -> None:
        database = self.database(number)
        with driver_errors():
            for name in await database.list_collection_names():
                if name != COLLECTION:
                    await database.drop_collection(name)
