"""Many signals in one body: split without reading them, taken one by one, answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.intake.api import metrics
from services.intake.api.outlet import Outlet
from services.intake.api.signals import Signal, prepare, problem_of
from services.intake.domain.inputs import Refused
from services.intake.domain.signals import Sender
from shared.codec import Outgoing
from shared.problem import Fault, Problem

MAX_ITEMS = 10_000
MAX_ERRORS_OF_AN_ITEM = 5
JSON, NDJSON = "application/json", "application/x-ndjson"
# Items per publication: large enough for Kafka, small enough that other requests get their turn.
_SLICE = 500

# An array of at most MAX_ITEMS pieces that are left unread. A plain list would have to be built whole before
# it can be counted, half a gigabyte of it for a body of commas.
_Array = msgspec.defstruct(
    "_Array",
    [(f"item_{index}", msgspec.Raw, msgspec.Raw()) for index in range(MAX_ITEMS)],
    array_like=True,
    forbid_unknown_fields=True,
)
_array: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Array)


def split(body: bytes, media_type: str) -> list[bytes]:
    """The items of a batch as they stand, unread. Raises Problem 400 (no array), 413 (too many items)."""
    if media_type == NDJSON:
        if body.count(b"\n") > 2 * MAX_ITEMS:
            raise _too_many()
        items = [line for line in body.split(b"\n") if line.strip()]
    else:
        try:
            items = [bytes(raw) for raw in msgspec.structs.astuple(_array.decode(body)) if raw]
        except msgspec.ValidationError as error:
            if "at most length" in str(error):
                raise _too_many() from None
            raise Problem(400, "The body must be a JSON array.", [Fault("", "must be an array")]) from None
        except (msgspec.DecodeError, RecursionError):
            raise Problem(400, "The body is not JSON.", [Fault("", "is not JSON")]) from None
    if len(items) > MAX_ITEMS:
        raise _too_many()
    return items


def _too_many() -> Problem:
    return Problem(413, "The batch has too many items.", [Fault("", "has too many items", MAX_ITEMS)])


@dataclass
class Taking:
    """One batch on its way: what was accepted and what was refused so far."""

    signal: Signal
    sender: Sender
    now: datetime
    traceparent: bytes
    show_accepted: bool
    accepted: int = 0
    rejected: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)
    _seen: dict[UUID, str] = field(default_factory=dict)

    async def take(self, bodies: Sequence[bytes], outlet: Outlet) -> None:
        """Publish what is right. Raises Unavailable; what was said before is safe to say again."""
        for start in range(0, len(bodies), _SLICE):
            records = [
                record
                for index, raw in enumerate(bodies[start : start + _SLICE], start)
                if (record := self._one(index, raw))
            ]
            await outlet.publish(*records)
            await asyncio.sleep(0)  # a slice without any record must give way to other requests too
        metrics.ACCEPTED.labels("batch", self.signal.name).inc(self.accepted)

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and body: 202 when nothing was refused, else 207."""
        body = {"accepted": self.accepted, "rejected": self.rejected, "items": self.items}
        return (207 if self.rejected else 202), body

    def _one(self, index: int, raw: bytes) -> Outgoing | None:
        sender = self.sender._replace(key=(*self.sender.key, str(index))) if self.sender.key else self.sender
        try:
            ready = prepare(self.signal, raw, sender, self.now, self.traceparent)
        except Refused as refused:
            self._refuse(index, problem_of(self.signal, refused, MAX_ERRORS_OF_AN_ITEM))
            return None
        before = self._seen.get(ready.id)
        if before not in (None, ready.fingerprint):
            self._refuse(index, Problem(409, "An earlier item has this identity and another content."))
            return None
        self._seen[ready.id] = ready.fingerprint
        self.accepted += 1
        if self.show_accepted:
            self.items.append({"index": index, "id": ready.id})
        return ready.record if before is None else None

    def _refuse(self, index: int, problem: Problem) -> None:
        metrics.refused("batch", problem.status)
        self.rejected += 1
        self.items.append({"index": index, "problem": problem.document()})
