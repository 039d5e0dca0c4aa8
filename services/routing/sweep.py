"""Time in: what nobody acknowledged goes back to the pool, what is silent closes, queues see who came back,
and events that a crash or an outage kept from Kafka are said again.

Every replica sweeps everything: each step is conditional on the case as it is in its transaction, so two
that meet do it once.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.routing.actions import Actions
from services.routing.domain.case_file import CaseFile, Step
from services.routing.domain.lifecycle import close_silent, unacknowledged
from services.routing.domain.roster import agents, roster
from services.routing.store import CaseStore
from shared.clock import Clock
from shared.mongo import Mongo
from shared.policy import Policy
from shared.policy_in_force import PolicyInForce

log = structlog.get_logger("cqm.routing.sweep")


@dataclass
class Sweep:
    """The background work of routing; the loops run until cancelled. `every`: seconds between two looks."""

    actions: Actions
    store: CaseStore
    mongo: Mongo
    clock: Clock
    policy: PolicyInForce
    every: float
    _there: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)

    async def outbox(self) -> None:
        """What is older than `every` and not on Kafka is said again."""
        while True:
            await asyncio.sleep(self.every)
            if count := await self.actions.say_unsaid(self.clock.now() - timedelta(seconds=self.every)):
                log.warning("said_again", entries=count)

    async def policies(self) -> None:
        """A changed policy takes over."""
        await self.policy.keep_fresh(self.policy_changed)

    async def cases(self) -> None:
        """Due is decided by the database's clock, which is one for all replicas."""
        while True:
            now, policy = await self.mongo.now(), self.policy()
            again = await self.release_unacknowledged(now, policy)
            again = await self.close_silent(now, policy) or again
            await self.look_at_rosters(now, policy)
            if not again:
                await asyncio.sleep(self.every)

    async def policy_changed(self, policy: Policy) -> None:
        """A policy came into force: keep it for ever, have every pool look at its people and its queue."""
        now = await self.mongo.now()
        await self.store.keep_policy(policy.version, policy.content, now, socket.gethostname())
        for department in await self.store.departments() | policy.departments.keys():
            await self.actions.ask_for_roster(department, policy.version, now)

    async def release_unacknowledged(self, now: datetime, policy: Policy) -> bool:
        """Whether there was any."""

        def step(file: CaseFile) -> Step | None:
            due = file.books.acknowledge_by
            return unacknowledged(file, now, policy) if due is not None and due <= now else None

        late = await self.store.unacknowledged(now)
        for case in late:
            await self.actions.by_itself(case, step)
        return bool(late)

    async def close_silent(self, now: datetime, policy: Policy) -> bool:
        """Whether there was any."""
        before = now - timedelta(seconds=policy.cases.close_after.seconds)

        def step(file: CaseFile) -> Step | None:
            case = file.case
            silent = case.status == "resolved" and case.resolved_at is not None and case.resolved_at <= before
            return close_silent(file, now, policy) if silent else None

        silent = await self.store.silent(before)
        for case in silent:
            await self.actions.by_itself(case, step)
        return bool(silent)

    async def look_at_rosters(self, now: datetime, policy: Policy) -> None:
        """Ask for a look at each queue whose department has other people there than at the last look, or
        another policy; and where somebody carries cases who has left, or the whole department has.

        Where nothing waits, who is there is forgotten: people may come and go before the next case waits.
        """
        queues, loads = await self.store.queue_lengths(), await self.store.loads()
        absences = await self.store.absences()
        before, self._there = self._there, {}
        for department in queues.keys() | loads.keys():
            busy = {name for name, seat in loads.get(department, {}).items() if seat.load}
            changed = bool(busy - agents(policy, department))
            if department in queues:
                members = roster(policy, department, now, absences).members
                there = policy.version, frozenset(members)
                changed = changed or before.get(department) != there
                self._there[department] = there
            if changed:
                await self.actions.ask_for_roster(department, policy.version, now)
