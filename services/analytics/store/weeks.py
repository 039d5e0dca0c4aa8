"""Sums by week: a question over a quarter reads them instead of most of its days.

They are written with the days, in the transactions of the compactor. A version that does not know them may
compact, too, in an upgrade or after the way back. So the round up to which they hold all that the days hold
stands beside the number of rounds: where the two differ, days are read, and weeks are summed from them anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import structlog

from services.analytics.domain.tallies import TALLIES
from services.analytics.store import summing
from services.analytics.store.places import day_ids, day_of_key, monday_of
from shared.mongo import Database, Document, Mongo, Session, driver_errors, transaction

log = structlog.get_logger("cqm.weeks")

COMPACTOR = "compactor"
"""The document in `leases` that counts rounds."""
SUMS_AT_ONCE = 32
"""Documents of sums in one answer of MongoDB, which has a deadline: a full one of 16 MB may take longer
to read from a disk."""


async def are_whole(database: Database, session: Session | None = None) -> bool:
    """Whether weeks may be read instead of their days, at the session's moment."""
    return hold_all(await database.leases.find_one({"_id": COMPACTOR}, session=session))


def hold_all(compactor: Document | None) -> bool:
    """`compactor`: the document, if there is one."""
    if compactor is None or compactor.get("weeks") is None:
        return False
    return bool(compactor["weeks"] == compactor.get("round"))


async def sum_anew(mongo: Mongo, database: Database, hold: Callable[[], Awaitable[bool]]) -> None:
    """All weeks from all days; `hold` renews the lease. Nobody reads them until it has ended; where somebody
    has compacted meanwhile, nobody does afterwards either. Raises as the driver does.

    Whoever begins anew takes the turn from whoever had begun before: one that stood still meanwhile would
    else write old sums over weeks that are read.
    """
    turn = {"_id": COMPACTOR, "summing": uuid4().hex}
    mine = {"$set": {"summing": turn["summing"]}}
    with driver_errors():
        begun: Document | None = await database.leases.find_one_and_update({"_id": COMPACTOR}, mine)
        if begun is None:
            return
        for tally in TALLIES.values():
            for by in tally.rollups:
                if not await hold():
                    return
                async for monday, days in _days_of_weeks(database, tally.name, by):
                    week = await asyncio.to_thread(summing.week, tally.name, by, monday, days)
                    async with mongo.session() as session:
                        if not await transaction(session, partial(_written, database, turn, week)):
                            log.warning("weeks_overtaken")
                            return
        same = turn | {"round": begun.get("round")}
        done = await database.leases.update_one(same, {"$set": {"weeks": begun.get("round")}})
    log.info("weeks_summed_anew", whole=bool(done.matched_count))


async def _written(database: Database, turn: Document, week: Any, session: Session) -> bool:
    """Whether it is still the turn of this one."""
    still = await database.leases.update_one(turn, {"$inc": {"summed": 1}}, session=session)
    if still.matched_count:
        await database.weeks.bulk_write([week], session=session)
    return bool(still.matched_count)


async def _days_of_weeks(
    database: Database, tally: str, by: Sequence[str]
) -> AsyncIterator[tuple[int, list[Document]]]:
    """The days that there are by week, in the order of time."""
    monday, days = 0, list[Document]()
    stored = database.days.find({"_id": day_ids(tally, by)}, {"v": 1})
    async for day in stored.sort("_id", 1).batch_size(SUMS_AT_ONCE):
        of = monday_of(day_of_key(day["_id"]))
        if days and of != monday:
            yield monday, days
            days = []
        monday = of
        days.append(day)
    if days:
        yield monday, days
