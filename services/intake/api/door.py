"""What all ways in share: who may enter, how much at a time, what the time is, and the way to Kafka."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from fastapi import Request

from services.intake.api import metrics
from services.intake.api.admission import Budget
from services.intake.api.outlet import Outlet
from services.intake.domain.idempotency import MAX_KEY, key_of, parts_of
from services.intake.domain.signals import Sender
from shared.auth import Access
from shared.clock import Clock
from shared.codec import Outgoing
from shared.errors import TransientError
from shared.problem import Fault, Problem
from shared.sealing import Seals

NO_SOURCE = "other"
"""In metrics: who has not been let in yet, or has no label of its own (shared/key_ring.py)."""


@dataclass(frozen=True)
class Door:
    """`body_seconds`: time a body may take to arrive."""

    outlet: Outlet
    budget: Budget
    clock: Clock
    access: Access
    seals: Seals
    body_seconds: float

    def visit(self, way: str, request: Request) -> Visit:
        """One request that comes in by the `way` that metrics name: single, batch, ..."""
        return Visit(self, way, request)


class Visit:
    """A request from its coming in to its answer, as a `with` block: what is refused inside is counted, and
    the bytes that it held are given back at its end."""

    __slots__ = ("_came", "_counts", "_door", "_held", "_request", "_source", "_way")

    def __init__(self, door: Door, way: str, request: Request) -> None:
        self._door = door
        self._way = way
        self._request = request
        self._held = self._came = 0
        self.known_as(NO_SOURCE)

    def __enter__(self) -> Visit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            self._door.budget.give_back(self._held)
            self._counts.in_flight -= self._held
        if self._came:
            self._counts.received.inc(self._came)
        if error is None:
            return
        if isinstance(error, Problem):
            self.refused(error.status)
        elif isinstance(error, TransientError):
            metrics.REJECTED.labels(self._way, self._source, metrics.UNAVAILABLE).inc()

    def known_as(self, source: str) -> None:
        """For metrics, where a way in has guards of its own: one of the few sources that they know."""
        self._source = source
        self._counts = metrics.counts(self._way, source)

    def sender(self, scope: str) -> Sender:
        """Who sends, with the Idempotency-Key. Raises Problem when it may not, or the key does not fit."""
        try:
            principal = self._door.access.admit(self._request, scope)
        except Problem:
            if known := self._request.scope["state"].get("principal"):
                self.known_as(known.label)  # who may not do everything is known nevertheless
            raise
        self.known_as(principal.label)
        lines = self._request.headers.getlist("idempotency-key")
        key = key_of(lines)
        if lines and key is None:
            fault = Fault("Idempotency-Key", f"must be one key of 1 to {MAX_KEY} ASCII characters", MAX_KEY)
            raise Problem(422, "A header does not fit; see errors.", [fault])
        return Sender(principal.source, parts_of(key, principal), principal.fixed_source)

    def charge(self, items: int) -> None:
        """One is paid for by the request itself. Raises Problem 429."""
        self._door.access.charge(self._request, items - 1)

    def hold(self, count: int) -> None:
        """So many bytes of the body more are about to be held, after `sender`. Raises Problem 503."""
        self.reserve(count)
        self._came += count

    def reserve(self, count: int) -> None:
        """As many may be held at a time of a body that goes on as it comes, and is told by `came`."""
        self._door.budget.take(count)
        self._held += count
        self._counts.in_flight += count

    def came(self, count: int) -> None:
        """So many bytes came, and are not held."""
        self._came += count

    async def publish(self, *records: Outgoing) -> None:
        """Raises Unavailable when not all were acknowledged in time; some may be stored."""
        began = time.perf_counter()
        await self._door.outlet.publish(*records)
        self._counts.acknowledged.observe(time.perf_counter() - began)

    def accepted(self, kind_of_signal: str, count: int = 1) -> None:
        """Kafka has them."""
        self._counts.accepted[kind_of_signal].inc(count)

    def refused(self, status: int) -> None:
        """One item, or the whole request."""
        metrics.REJECTED.labels(self._way, self._source, metrics.reason(status)).inc()
