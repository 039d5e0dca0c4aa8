"""What the sla service tells of itself on /metrics: what fired, how late, and how much is open."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.sla.domain.clock import Clock
from services.sla.domain.escalation import Raised
from services.sla.domain.promise import TARGETS
from services.sla.store import ClockStore
from shared.errors import Unavailable
from shared.events import EscalationRaised
from shared.mongo import Mongo
from shared.observability import counter, gauge, histogram
from shared.stream import Stream

ESCALATIONS = counter(
    "cqm_sla_escalations_total",
    "Escalation steps that fired; step is their number in their target",
    ["target", "step", "action"],
)
BREACHES = counter("cqm_sla_breaches_total", "Targets whose due passed unmet, as said when due", ["target"])
LATE = histogram(
    "cqm_sla_late_seconds",
    "From the moment of a step or breach to its event; only moments that lay ahead of their clock",
    ["target"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)
LAG = gauge(
    "cqm_sla_oldest_due_lag_seconds", "Age of the oldest moment that has passed unsaid; 0 without one"
)
SWEEP = histogram("cqm_sla_sweep_duration_seconds", "Time of one transaction that says what has come due")
OPEN = gauge(
    "cqm_sla_open_clocks",
    "Cases with a due that is open and does not wait, of all partitions; 0 but where partition 0 is held",
)
OVERDUE = gauge("cqm_sla_overdue", "Those of them that are past their earliest due; told alike")
COUNT_EVERY_SECONDS = 15.0
COUNT_SHARE = 0.02
"""Of the time, at most: a million entries take MongoDB half a second to count."""
_LATE = {target: LATE.labels(target) for target in TARGETS}


def count_fired(said: Iterable[tuple[Clock, Raised]], now: datetime, since: float) -> None:
    """What clocks said, as of `now`, which was `since` seconds ago when it was done."""
    steps: Counter[tuple[str, int, str]] = Counter()
    breaches: Counter[str] = Counter()
    for clock, event in said:
        if isinstance(event, EscalationRaised):
            steps[event.target, event.step, event.action] += 1
            moment = event.step_at
        else:
            breaches[event.target] += 1
            moment = event.due_at
        if moment >= clock.changed_at:
            _LATE[event.target].observe((now - moment).total_seconds() + since)
    for step, count in steps.items():
        ESCALATIONS.labels(*step).inc(count)
    for target, count in breaches.items():
        BREACHES.labels(target).inc(count)


@dataclass
class OpenCases:
    """Keeps the figures of what is open and overdue: `run()` until cancelled."""

    mongo: Mongo
    stream: Stream
    store: ClockStore

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            mine = any(partition.partition == 0 for partition in self.stream.held)
            is_open, overdue = await self._counted() if mine else (0, 0)
            OPEN.set(is_open)
            OVERDUE.set(overdue)
            await asyncio.sleep(max(COUNT_EVERY_SECONDS, (time.monotonic() - began) / COUNT_SHARE))

    async def _counted(self) -> tuple[int, int]:
        try:
            return await self.store.late_list.count(await self.mongo.now())
        except Unavailable:
            return 0, 0  # readiness says that MongoDB is away
