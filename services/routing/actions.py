"""Carrying out an action on a case: one transaction, then its events, with the history entry as outbox."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import structlog
from msgspec import structs

from services.routing.domain import action_types
from services.routing.domain.action_types import AnyAction, name_of
from services.routing.domain.assignment import give_by_hand, settle
from services.routing.domain.case_file import (
    CaseFile,
    Step,
    ask_for_assignment,
    ask_for_roster,
    sealed_step,
    tell,
)
from services.routing.domain.changes import Changes
from services.routing.domain.lifecycle import Evidence, Illegal, act, check
from services.routing.domain.merging import merge
from services.routing.domain.permission import check_may_act
from services.routing.domain.pool import Pool
from services.routing.domain.roster import roster
from services.routing.store import CaseStore, entry_id
from shared import topics
from shared.clock import Clock
from shared.codec import Outgoing, encode
from shared.errors import CQMError, TransientError
from shared.events import Words
from shared.handler import Cause, Emit, Partition
from shared.mongo import Mongo, Session, transaction
from shared.permission import sees
from shared.policy import Policy
from shared.principal import Principal
from shared.publish import Publisher
from shared.sealing import Seals, whose_is

log = structlog.get_logger("cqm.routing.actions")
_NO_PARTITION = Partition(topics.CASES.name, -1)
"""An action comes over HTTP: no fence keeps its events, the history entry does."""
KEYS_KEPT = 16
_canonical = msgspec.json.Encoder(order="deterministic")


class NoSuchCase(CQMError):
    """The case does not exist, or the caller may not know that it does."""


class Stale(CQMError):
    """The case has another version than the caller believes."""


class Reused(CQMError):
    """The Idempotency-Key was used before, for something else, or before the customer was erased."""


class Asked(NamedTuple):
    """An action as it came in. `versions`: one of them it has to be, None: any; `key`: the Idempotency-Key,
    which is the caller's own, or ""."""

    action: AnyAction
    by: Principal
    versions: Collection[str] | None = None
    key: str = ""
    traceparent: bytes = b""

    @property
    def actor(self) -> str:
        return self.by.name

    def mark(self, marking: bytes) -> str:
        """The key and what was asked by it, as a case's books keep it. `marking`: of whom the case is about,
        whose words what was asked may hold: nobody can try them out once that key is destroyed."""
        return f"{_digest([self.actor, self.key])}:{_digest([self.actor, self.action], marking)}"


def _digest(said: list[Any], key: bytes = b"") -> str:
    return hashlib.blake2b(_canonical.encode(said), digest_size=8, key=key).hexdigest()


class Done(NamedTuple):
    """What a transaction did: each step with the case before it. Without steps: it was done before."""

    file: CaseFile
    steps: list[tuple[CaseFile, Step]]
    changes: Changes


class Actions:
    """What people do with cases, and what time does."""

    def __init__(
        self,
        mongo: Mongo,
        store: CaseStore,
        publisher: Publisher,
        clock: Clock,
        policy: Callable[[], Policy],
        seals: Seals,
    ) -> None:
        self._mongo, self._store, self._publisher = mongo, store, publisher
        self._clock, self._policy, self._seals = clock, policy, seals

    async def carry_out(self, case_id: UUID, asked: Asked) -> CaseFile:
        """The case after the action; its events are on Kafka, or will be by the sweep.

        Asked again with the same key, it answers the case as it is. Raises NoSuchCase, Forbidden, Stale,
        Reused, and what `act` raises; Unavailable when the outcome is unknown.
        """
        now, policy = self._clock.now(), self._policy()

        async def decide(file: CaseFile, session: Session) -> Done:
            # asked of the case as it is now: its owner and department may have changed since it was read
            if not sees(asked.by, file.case.department):
                raise NoSuchCase
            mark = asked.mark(self._marking(file)) if asked.key else ""
            if mark and _seen(file, mark):
                return Done(file, [], Changes())
            check_may_act(asked.by, name_of(asked.action), file.case)
            if asked.versions is not None and str(file.case.version) not in asked.versions:
                raise Stale
            done = await self._decide(file, asked, now, policy, session)
            return _marked(done, mark) if mark else done

        return await self._change(case_id, decide, asked.traceparent)

    async def by_itself(self, case_id: UUID, step: Callable[[CaseFile], Step | None]) -> CaseFile:
        """What time does with a case; `step` answers None when there is nothing to do any more."""

        async def decide(file: CaseFile, session: Session) -> Done:
            taken = step(file)
            if taken is None:
                return Done(file, [], Changes())
            return Done(taken.file, [(file, taken)], Changes())

        return await self._change(case_id, decide, b"")

    async def _change(
        self, case_id: UUID, decide: Callable[[CaseFile, Session], Awaitable[Done]], traceparent: bytes
    ) -> CaseFile:
        async def body(session: Session) -> tuple[CaseFile, list[tuple[bytes, list[Outgoing]]]]:
            file = (await self._store.files([case_id], session)).get(case_id)
            if file is None:
                raise NoSuchCase
            done = await decide(file, session)
            said: list[tuple[bytes, list[Outgoing]]] = []
            for before, step in done.steps:
                done.changes.files[before.case.id] = step.file
                done.changes.before[before.case.id] = before.case.version
            await self._store.save(done.changes, session)
            for before, step in done.steps:
                outgoing = [_outgoing(emit) for emit in events_of(step, before, traceparent)]
                await self._store.save_said(step.entry, outgoing, session)
                said.append((entry_id(step.entry.case_id, step.entry.version), outgoing))
            return done.file, said

        async with self._mongo.session() as session:
            file, said = await transaction(session, body)
        for entry, outgoing in said:
            try:
                await self._say(entry, outgoing)
            except TransientError as error:
                log.warning("said_later", case=str(case_id), why=str(error))
        return file

    async def _decide(
        self, file: CaseFile, asked: Asked, now: datetime, policy: Policy, session: Session
    ) -> Done:
        action = asked.action
        if isinstance(action, action_types.Assign):
            return await self._assign(file, action, asked.actor, now, policy, session)
        if isinstance(action, action_types.Merge):
            check(file, action)
            into = await self._store.find(action.into, session)
            if into is None or not sees(asked.by, into.case.department):
                raise Evidence("/into", "must be the id or reference of a case")
            check_may_act(asked.by, "merge", into.case)
            gone, taken = merge(file, into, actor=asked.actor, at=now)
            changes = Changes(moved={into.case.id: file.case.feedback_ids})
            return Done(gone.file, [(file, gone), (into, taken)], changes)
        step = self._sealed(file, act(file, action, actor=asked.actor, at=now, policy=policy), action)
        return Done(step.file, [(file, step)], Changes())

    def _sealed(self, before: CaseFile, step: Step, action: AnyAction) -> Step:
        """What is written on a case belongs to whom the case is about."""
        words = Words(text=getattr(action, "text", ""), reason=getattr(action, "reason", ""))
        sealed = self._seals.sealed_words(before.case, words)
        return sealed_step(before, step, sealed) if sealed else step

    def _marking(self, file: CaseFile) -> bytes:
        """By what the books keep what was asked; nothing where the case is nobody's, and stays readable.

        Raises Unavailable.
        """
        owner = whose_is(file.case)
        return b"" if owner is None else self._seals.known.of(owner)[1].marking

    async def _assign(
        self,
        file: CaseFile,
        action: action_types.Assign,
        actor: str,
        now: datetime,
        policy: Policy,
        session: Session,
    ) -> Done:
        """The pool is written in the same transaction, so that its consumer cannot overbook the owner."""
        check(file, action)
        department = file.case.department
        if file.books.counted.department not in ("", department):
            raise Illegal("assign", file.case, "its former department has not let go of it yet")
        pool = Pool((await self._store.pools([department], session)).get(department, {}))
        there = roster(policy, department, now, await self._store.absences(session))
        weigh = policy.load.__getitem__
        step = give_by_hand(file, action.owner, there, pool, weigh(file.case.priority), actor=actor, now=now)
        settled = Step(settle(step.file, pool, department, weigh), step.entry)
        return Done(settled.file, [(file, settled)], Changes(pools={department: pool.seats}))

    async def ask_for_roster(self, department: str, because: str, at: datetime) -> None:
        """Have the department's pool look at its people and its queue. Raises Unavailable."""
        emit = ask_for_roster(department, because, at, Cause(_NO_PARTITION))
        await self._publisher.publish([_outgoing(emit)])

    async def say_unsaid(self, before: datetime) -> int:
        """Publish what a crash or an outage kept back; returns how many entries."""
        count = 0
        async for entry, said in self._store.unsaid(before):
            await self._say(entry, said)
            count += 1
        return count

    async def _say(self, entry: bytes, said: list[Outgoing]) -> None:
        await self._publisher.publish(said)
        await self._store.said(entry)


def _seen(file: CaseFile, mark: str) -> bool:
    """Whether this was done already. Raises Reused when the key stood for something else, or was used before
    the customer was erased."""
    key = mark.partition(":")[0]
    known = next((one for one in file.books.keys if one.startswith(key)), "")
    if known and known != mark:
        raise Reused
    return bool(known)


def _marked(done: Done, mark: str) -> Done:
    """The key is kept with the case that was asked about."""
    (before, step), *others = done.steps
    books = structs.replace(step.file.books, keys=(*step.file.books.keys, mark)[-KEYS_KEPT:])
    file = CaseFile(step.file.case, books)
    return Done(file, [(before, Step(file, step.entry)), *others], done.changes)


def events_of(step: Step, before: CaseFile, traceparent: bytes) -> list[Emit]:
    """The step for everyone, and a request to the pool that has to give, take back, or count anew."""
    cause = Cause(_NO_PARTITION, traceparent)
    case, was, at = step.file.case, before.case, step.entry.change.at
    emits = [tell(step, cause)]
    if case.department != was.department:
        # who still counts it lets go first, and passes it on
        counting = before.books.counted.department or case.department
        emits.append(ask_for_assignment(counting, case, "transferred", at, cause))
    elif before.is_open and not step.file.is_open:
        emits.append(ask_for_assignment(case.department, case, "ended", at, cause))
    elif step.file.is_open and not before.is_open:
        emits.append(ask_for_assignment(case.department, case, "reopened", at, cause))
    elif case.owner != was.owner:
        emits.append(ask_for_assignment(case.department, case, "released", at, cause))
    elif case.priority != was.priority:
        emits.append(ask_for_assignment(case.department, case, "escalated", at, cause))
    return emits


def _outgoing(emit: Emit) -> Outgoing:
    return encode(emit.event, key=emit.key, source="routing", at=emit.at, traceparent=emit.cause.traceparent)
