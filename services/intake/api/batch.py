"""Many signals in one body: taken one by one, answered in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from fastapi import Response

from services.intake.api.door import Visit
from services.intake.api.signals import Heard, Received, Receiver, Signal, problem_of
from services.intake.api.splitting import JSON
from services.intake.domain.inputs import Refused
from services.intake.domain.signals import Sender
from shared.problem import Problem
from shared.sealing import Seals

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one signal, alone or in a batch: to say what is wrong with one takes time that grows with it."""
MAX_ERRORS_OF_AN_ITEM = 5
# Items per publication: large enough for Kafka, small enough that other requests get their turn.
_SLICE = 500
_TURN = 20
"""Refused items between two looks at what else there is to do: one may take as long as many good ones."""

Read = Callable[[int, bytes], Heard]
"""An item with its place, read: what may be published. Raises Problem with what is wrong with it."""


def reading(signal: Signal, sender: Sender, now: datetime, seals: Seals, traceparent: bytes) -> Read:
    """How the items of a batch are read that all are of one type and from one sender."""

    hear, keyed = Receiver(signal, sender, now, seals, traceparent).hear, bool(sender.key)

    def read(index: int, raw: bytes) -> Heard:
        try:
            return hear(raw, str(index)) if keyed else hear(raw)
        except Refused as refused:
            raise problem_of(signal, refused, MAX_ERRORS_OF_AN_ITEM) from None

    return read


@dataclass
class Taking:
    """One batch on its way: what was accepted and what was refused so far."""

    read: Read
    seals: Seals
    show_accepted: bool
    visit: Visit
    rejected: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)
    _accepted: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, str] = field(default_factory=dict)

    async def take(self, bodies: Sequence[bytes]) -> None:
        """Publish what is right. Raises Unavailable; what was said before is safe to say again."""
        for start in range(0, len(bodies), _SLICE):
            heard = await self._heard(start, bodies[start : start + _SLICE])
            # the keys of all at once (shared/known_keys.py)
            self.seals.learn(one.whose for one in heard if isinstance(one, Heard))
            records = []
            for index, one in enumerate(heard, start):
                try:
                    received = self._one(index, one)
                except Problem as problem:
                    self._refuse(index, problem)
                else:
                    if received is not None:
                        records.append(received.record)
            await self.visit.publish(*records)
            await asyncio.sleep(0)  # a slice without any record must give way to other requests too
        for kind, count in self._accepted.items():
            self.visit.accepted(kind, count)

    def answer(self) -> Response:
        """202 when nothing was refused, else 207."""
        report = {"accepted": self._accepted.total(), "rejected": self.rejected, "items": self.items}
        return Response(msgspec.json.encode(report), 207 if self.rejected else 202, media_type=JSON)

    async def _heard(self, start: int, bodies: Sequence[bytes]) -> list[Heard | Problem]:
        """Each item, or what is wrong with it."""
        heard: list[Heard | Problem] = []
        refused = 0
        for index, raw in enumerate(bodies, start):
            try:
                if len(raw) > MAX_BODY:
                    raise Problem(413, f"The item is over the limit of {MAX_BODY} bytes.", limit=MAX_BODY)
                heard.append(self.read(index, raw))
            except Problem as problem:
                heard.append(problem)
                refused += 1
                if refused % _TURN == 0:
                    await asyncio.sleep(0)
        return heard

    def _one(self, index: int, heard: Heard | Problem) -> Received | None:
        """None for one that was there before. Raises Problem."""
        if isinstance(heard, Problem):
            raise heard
        received = heard.receive()
        name, mark = received.id, received.fingerprint
        before = self._seen.setdefault(name, mark)
        if before != mark:
            raise Problem(409, "An earlier item has this identity and another content.")
        self._accepted[received.kind] += 1
        if self.show_accepted:
            self.items.append({"index": index, "id": name})
        return received if before is mark else None

    def _refuse(self, index: int, problem: Problem) -> None:
        self.visit.refused(problem.status)
        self.rejected += 1
        self.items.append({"index": index, "problem": problem.document()})
