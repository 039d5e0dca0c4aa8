"""The audit of all histories: verified page by page, and anchored once a day, so that a chain that was
rewritten as a whole is found too (docs/adr/0014-a-hash-chain-per-case-and-daily-anchors.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from services.routing.domain.audit import Flaw, Head, flaws_of, flaws_of_head
from services.routing.store import AuditStore
from shared.mongo import Document, Mongo

log = structlog.get_logger("cqm.routing.audit")
FIRST = UUID(int=0)
LOOK_SECONDS = 60.0
OVERLAP = timedelta(minutes=5)
"""A change may be stored a little after the time it carries; what two anchors have seen does no harm."""


class Page(NamedTuple):
    """What a part of the audit has found; `next` is where it goes on, None at the end."""

    cases: int
    entries: int
    flaws: list[Flaw]
    next: UUID | None


@dataclass(frozen=True)
class Audit:
    """Verifies and anchors."""

    store: AuditStore
    mongo: Mongo

    async def verify(self, after: UUID, limit: int) -> Page:
        """The histories of the next `limit` cases."""
        files, histories, following = await self.store.page(after, limit)
        flaws = [
            flaw for case in sorted(histories) for flaw in flaws_of(case, files.get(case), histories[case])
        ]
        return Page(len(histories), sum(map(len, histories.values())), flaws, following)

    async def verify_anchored(self, anchor: Document, after: UUID, limit: int) -> Page:
        """The next `limit` heads of an anchor against the histories."""
        heads = [head async for head in self.store.heads(anchor["token"], after, limit)]
        entries = await self.store.entries(heads)
        flaws = [
            flaw for head in heads for flaw in flaws_of_head(head, entries.get((head.case_id, head.version)))
        ]
        return Page(len(heads), len(entries), flaws, heads[-1].case_id if len(heads) == limit else None)

    async def holds(self, anchor: Document, previous: str) -> bool:
        """Whether an anchor is what it was: linked to the one before, its root that of its heads."""
        root, _ = await _root(previous, self.store.heads(anchor["token"]))
        return bool(anchor["previous"] == previous and anchor["root"] == root)

    async def keep_anchoring(self) -> None:
        """Runs until cancelled: soon after each midnight (UTC, by the database's clock) one replica anchors
        the day that has ended."""
        while True:
            await self.anchor(await self.mongo.now())
            await asyncio.sleep(LOOK_SECONDS)

    async def anchor(self, now: datetime) -> bool:
        """Anchor yesterday unless that is done; whether this replica has done it."""
        day = (now - timedelta(days=1)).date().isoformat()
        token = await self.store.claim(day, now)
        if token is None:
            return False
        earlier = [anchor for anchor in await self.store.anchors() if anchor["_id"] < day]
        before = earlier[-1] if earlier else None
        await self.store.keep_heads(token, before["at"] - OVERLAP if before else None)
        previous = before["root"] if before else ""
        root, count = await _root(previous, self.store.heads(token))
        done = await self.store.complete(day, token, at=now, previous=previous, root=root, count=count)
        if done:
            # outside of MongoDB, too: who keeps the logs can tell an anchor that was rewritten
            log.info("audit_anchored", day=day, root=root, cases=count)
        return done


async def _root(previous: str, heads: AsyncIterator[Head]) -> tuple[str, int]:
    """SHA-256 over the root before and every head in order; and how many there are."""
    digest, count = hashlib.sha256(previous.encode()), 0
    async for head in heads:
        digest.update(head.case_id.bytes + head.version.to_bytes(4, "big") + bytes.fromhex(head.hash))
        count += 1
    return digest.hexdigest(), count
