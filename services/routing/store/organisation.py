"""People with their loads and absences, and the policies that were ever in force."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.routing.domain.pool import Seat
from services.routing.domain.roster import Absence
from services.routing.store.parts import Part
from shared.mongo import Document, Session, driver_errors


class Organisation(Part):
    """What is kept of the organisation beside its policy's files."""

    async def absences(self, session: Session | None = None) -> dict[str, Absence]:
        """Who said to be away, and when."""
        found = self._absences.find({}, session=session)
        return {d["_id"]: Absence(d["start"], d["end"]) async for d in found}

    async def set_absence(self, person: str, absence: Absence | None) -> None:
        """Away for a span, or (None) not away by their own word."""
        with driver_errors():
            if absence is None:
                await self._absences.delete_one({"_id": person})
            else:
                span = {"start": absence.start, "end": absence.end}
                await self._absences.replace_one({"_id": person}, span, upsert=True)

    async def loads(self) -> dict[str, dict[str, Seat]]:
        """The seats of every pool."""
        with driver_errors():
            return {d["_id"]: msgspec.convert(d["seats"], dict[str, Seat]) async for d in self._pools.find()}

    async def departments(self) -> set[str]:
        """Every department that has a pool, also when it has left the policy."""
        with driver_errors():
            return {document["_id"] async for document in self._pools.find({}, {"_id": 1})}

    async def keep_policy(self, version: str, content: str, since: datetime, host: str) -> None:
        """Keep a policy that came into force; one that came back keeps the time it came first, too."""
        kept = {"$setOnInsert": {"content": content, "since": since, "host": host}, "$max": {"last": since}}
        with driver_errors():
            await self._policies.update_one({"_id": version}, kept, upsert=True)

    async def newest_policy(self, session: Session) -> str:
        """The version that came into force last at any replica; "" before the first one is kept."""
        found = self._policies.find({}, {"_id": 1}, session=session).sort("last", -1).limit(1)
        return "".join([document["_id"] async for document in found])

    async def policies(self) -> list[Document]:
        """Every policy that was ever in force, newest first, without its content."""
        with driver_errors():
            found = self._policies.find({}, {"content": 0}).sort("since", -1)
            return [{"version": d["_id"], "since": d["since"], "host": d["host"]} async for d in found]

    async def policy(self, version: str) -> Document | None:
        with driver_errors():
            found = await self._policies.find_one({"_id": version})
        return {"version": found.pop("_id"), **found} if found else None
