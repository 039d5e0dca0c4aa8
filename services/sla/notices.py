"""Time in, for people: what waits to be told becomes notices, a minute's flood one digest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from services.sla.domain.escalation import Roster
from services.sla.domain.notice import notices
from services.sla.store import NoticeStore
from shared.errors import Fenced
from shared.mongo import Mongo, Session, transaction
from shared.observability import counter
from shared.stream import Stream

NOTICES = counter("cqm_sla_notices_total", "Notices told to a recipient: single or digest", ["outcome"])
MOST = 500
"""Entries of the waiting line that one transaction takes; each may stand for many steps."""


@dataclass
class Teller:
    """The background work of the replica that holds partition 0: `run()` until cancelled.

    More than one at a time, in a rebalance, would do no harm: who tells something takes it out of the line.
    """

    mongo: Mongo
    stream: Stream
    store: NoticeStore
    roster: Roster
    every: float

    async def run(self) -> None:
        async with self.mongo.session() as session:
            while True:
                if not (self._is_mine() and await self.once(session)):
                    await asyncio.sleep(self.every)

    async def once(self, session: Session) -> bool:
        """Tell what is to be told by now; True when there may be more."""
        now: datetime = await self.mongo.now()
        if not await self.store.any_due(now):
            return False

        async def body(session: Session) -> tuple[int, list[bool]]:
            waits = await self.store.load(now, MOST, session)
            known = await self.store.known(list({one.recipient for one in waits}), now, session)
            made, postponed = notices(waits, known, self.roster.digest_over, now)
            await self.store.settle(waits, made, postponed, session)
            return len(waits), [one.digest for one in made]

        try:
            count, digests = await transaction(session, body)
        except Fenced:
            return True
        for is_digest in digests:
            NOTICES.labels("digest" if is_digest else "single").inc()
        return count == MOST

    def _is_mine(self) -> bool:
        return any(partition.partition == 0 for partition in self.stream.held)
