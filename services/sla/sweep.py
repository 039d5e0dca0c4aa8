"""Time in: what has come due is said, by the database's clock, for the partitions that this replica holds."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import Histogram

from services.sla.domain.clock import Clock
from services.sla.domain.escalation import Raised, Roster, fire
from services.sla.domain.notice import waiting
from services.sla.domain.promise import TARGETS
from services.sla.store import Changes, ClockStore
from shared.errors import Fenced, Unavailable
from shared.events import EscalationRaised
from shared.exactly_once import TooMuchAtOnce
from shared.handler import Cause, Decision, Emit, Handler, Partition, Tick
from shared.mongo import Mongo, Session
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


FEW = 200
"""Of what is due so much is looked at; beyond it all partitions are taken to have some."""


@dataclass
class Sweep:
    """The background work of the service: `run()` until cancelled.

    Idle, a round is one look at an index. What is due goes through the same fence as the records of the
    partition, so a replica that lost it says nothing, and each clock is written over the version it was
    read with: nothing fires twice (docs/domain.md 3.11).
    """

    mongo: Mongo
    stream: Stream
    store: ClockStore
    roster: Roster
    every: float
    clocks: int
    _said: list[tuple[Clock, Raised]] = field(default_factory=list)
    _late: dict[str, Histogram] = field(
        default_factory=lambda: {target: LATE.labels(target) for target in TARGETS}
    )

    async def run(self) -> None:
        while True:
            if not await self.once():
                await asyncio.sleep(self.every)

    async def watch(self) -> None:
        """Keep the figures of what is open and overdue, until cancelled."""
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

    async def once(self) -> bool:
        """Say what is due now, the longest overdue first; True when there may be more."""
        now: datetime = await self.mongo.now()
        topic = self.stream.topic.name
        held = [partition.partition for partition in self.stream.held]
        due = await self.store.due_partitions(held, now, FEW) if held else []
        LAG.set((now - due[0]["next_at"]).total_seconds() if due else 0.0)
        if not due:
            return False
        is_few = len(due) < FEW
        tick = Tick(now, {entry["partition"] for entry in due} if is_few else set(held), topic)
        with SWEEP.time():
            await self._say(tick)
        return len(due) >= min(FEW, self.clocks)

    async def _say(self, tick: Tick) -> None:
        """One transaction; smaller ones when its events would not fit into a fence."""
        limit = self.clocks
        while True:
            self._said = []
            try:
                await self.stream.tick(self._handler(limit), tick)
            except TooMuchAtOnce:
                if limit == 1:
                    raise
                limit //= 2
            else:
                return self._count(tick.now)

    def _handler(self, limit: int) -> Handler[Tick, Sequence[Clock], Changes]:
        async def load(tick: Tick, session: Session) -> Sequence[Clock]:
            held = {held.partition for held in self.stream.held}
            partitions = held.intersection(tick.partitions)
            if not partitions:
                raise Fenced("sla: the partitions went to another replica")
            return await self.store.load_due(partitions, tick.now, limit, session)

        return Handler(load=load, decide=self._decide, store=self.store.save)

    def _decide(self, tick: Tick, clocks: Sequence[Clock]) -> Decision[Changes]:
        changes = Changes()
        emits: list[Emit] = []
        self._said = []
        for before in clocks:
            clock, said = fire(before, tick.now, self.roster)
            cause = Cause(Partition(tick.topic, clock.partition))
            changes.moved.append(clock)
            changes.raised += [event for event in said if isinstance(event, EscalationRaised)]
            emits += [Emit(event, clock.case_id.bytes, tick.now, cause) for event in said]
            self._said += [(before, event) for event in said]
        changes.waiting = waiting(changes.raised, self.roster.quiet_hours, self.roster.zone, tick.now)
        return Decision(changes, emits)

    def _count(self, now: datetime) -> None:
        steps: Counter[tuple[str, int, str]] = Counter()
        breaches: Counter[str] = Counter()
        for clock, event in self._said:
            if isinstance(event, EscalationRaised):
                steps[event.target, event.step, event.action] += 1
                moment = event.step_at
            else:
                breaches[event.target] += 1
                moment = event.due_at
            if moment >= clock.changed_at:
                self._late[event.target].observe((now - moment).total_seconds())
        for step, count in steps.items():
            ESCALATIONS.labels(*step).inc(count)
        for target, count in breaches.items():
            BREACHES.labels(target).inc(count)
