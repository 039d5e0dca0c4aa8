"""Time in: what has come due is said, by the database's clock, for the partitions that this replica holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from services.sla.domain.clock import Clock
from services.sla.domain.escalation import Raised, Roster, fire
from services.sla.domain.notice import waiting
from services.sla.figures import LAG, SWEEP, count_fired
from services.sla.store import Changes, ClockStore
from shared.errors import TooSlow
from shared.events import EscalationRaised
from shared.exactly_once import Position, TooMuchAtOnce
from shared.handler import Cause, Decision, Emit, Handler, Partition, Tick
from shared.mongo import Mongo, Session
from shared.stream import Stream

FEW = 200
"""Of what is due so much is looked at; beyond it all partitions are taken to have some."""
READ = 3
"""Transactions' worth of clocks that are read at once."""
AT_ONCE = 12
"""Clocks between two looks at what else there is to do: under a millisecond of the loop's time."""
BRIEF_SECONDS = 0.5
"""A transaction that was made smaller grows again after one of them: the server ends those of 3 s."""


class Firing(NamedTuple):
    """A clock as it was read and as it is after all that was due, with what that says."""

    before: Clock
    after: Clock
    said: list[Raised]


class Fired(NamedTuple):
    """What was due by `now`, which was asked for at `asked` of this process's monotonic time."""

    now: datetime
    asked: float
    clocks: Sequence[Firing]


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
    _most: int = field(init=False)

    def __post_init__(self) -> None:
        self._most = self.clocks

    async def run(self) -> None:
        while True:
            if not await self.once():
                await asyncio.sleep(self.every)

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
        return await self._drain(tick) or not is_few

    async def _drain(self, tick: Tick) -> bool:
        """In transactions of `_most` clocks. While one is with MongoDB, the next is decided.

        True when as many were due as are read at once.
        """
        positions, limit = self.stream.positions, READ * self._most
        read = await self.store.load_due(tick.partitions, tick.now, limit)
        fired, count = await self._fire(islice(read, self._most)), 0
        while fired.clocks:
            ahead = asyncio.create_task(self._fire(islice(read, self._most)))
            try:
                is_done = await self._say(tick, fired, positions)
            except BaseException:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)  # of no use any more
                raise
            count += len(fired.clocks)
            fired = await ahead
            if not is_done:
                return False
        return count == limit

    async def _fire(self, clocks: Iterable[Clock]) -> Fired:
        """Whoever got an answer meanwhile goes first."""
        now, asked = await self.mongo.now(), time.monotonic()
        found = []
        for number, clock in enumerate(clocks, 1):
            found.append(Firing(clock, *fire(clock, now, self.roster)))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return Fired(now, asked, found)

    async def _say(self, tick: Tick, fired: Fired, positions: Mapping[Partition, Position]) -> bool:
        """One transaction; smaller ones when its events would not fit into a fence, or it takes too long.

        Whether it was done: if not, the next round finds the same work again.
        """
        count, began = len(fired.clocks), time.monotonic()
        said: list[tuple[Clock, Raised]] = []
        try:
            with SWEEP.time():
                is_done = await self.stream.tick(self._handler(fired, positions, said), tick)
        except (TooMuchAtOnce, TooSlow):
            if count == 1:
                raise
            half = self._most = count // 2
            parts = fired.clocks[:half], fired.clocks[half:]
            return all([await self._say(tick, fired._replace(clocks=part), positions) for part in parts])
        if count == self._most and time.monotonic() - began < BRIEF_SECONDS:
            self._most = min(2 * self._most, self.clocks)
        if is_done:
            count_fired(said, fired.now, time.monotonic() - fired.asked)
        return is_done

    def _handler(
        self, fired: Fired, positions: Mapping[Partition, Position], told: list[tuple[Clock, Raised]]
    ) -> Handler[Tick, Sequence[Firing], Changes]:
        """`positions` of the fences when the clocks were read: where one has moved, a record may have changed
        a clock, which then waits for the next round. `told` is what this says, once it is done."""

        async def load(tick: Tick, session: Session) -> Sequence[Firing]:
            mine = [one for one in fired.clocks if one.before.partition in tick.partitions]
            now_held = self.stream.positions
            moved = {held.partition for held in now_held if now_held[held] != positions.get(held)}
            doubtful = [one.before for one in mine if one.before.partition in moved]
            gone = await self.store.changed(doubtful, session) if doubtful else ()
            return [one for one in mine if one.before.case_id not in gone] if gone else mine

        def decide(tick: Tick, clocks: Sequence[Firing]) -> Decision[Changes]:
            changes = Changes(moved=[one.after for one in clocks])
            emits: list[Emit] = []
            told.clear()
            for one in clocks:
                cause = Cause(Partition(tick.topic, one.before.partition))
                changes.raised += [event for event in one.said if isinstance(event, EscalationRaised)]
                emits += [Emit(event, one.before.case_id.bytes, fired.now, cause) for event in one.said]
                told.extend([(one.before, event) for event in one.said])
            roster = self.roster
            changes.waiting = waiting(changes.raised, roster.quiet_hours, roster.zone, fired.now)
            return Decision(changes, emits)

        return Handler(load=load, decide=decide, store=self.store.save)
