"""Carrying out an action on a case: one transaction, then its events, with the history entry as outbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog

from services.routing.domain.case_file import CaseFile, Step, ask_for_assignment, tell
from services.routing.domain.lifecycle import AnyAction, act
from services.routing.store import CaseStore, Changes, entry_id
from shared import topics
from shared.clock import Clock
from shared.codec import Outgoing, encode
from shared.errors import CQMError, TransientError
from shared.handler import Cause, Emit, Partition
from shared.mongo import Mongo, Session, transaction
from shared.policy import Policy
from shared.publish import Publisher

log = structlog.get_logger("cqm.routing.actions")
_NO_PARTITION = Partition(topics.CASES.name, -1)
"""An action comes over HTTP: no fence keeps its events, the history entry does."""


class NoSuchCase(CQMError):
    """The case does not exist."""


class Stale(CQMError):
    """The case has another version than the caller believes."""


class Actions:
    """What people do with cases."""

    def __init__(
        self, mongo: Mongo, store: CaseStore, publisher: Publisher, clock: Clock, policy: Callable[[], Policy]
    ) -> None:
        self._mongo, self._store, self._publisher = mongo, store, publisher
        self._clock, self._policy = clock, policy

    async def carry_out(
        self, case_id: UUID, action: AnyAction, *, actor: str, version: int | None, traceparent: bytes
    ) -> CaseFile:
        """The case after the action; its events are on Kafka, or will be by the sweep.

        Raises NoSuchCase, Stale, and what `act` raises; Unavailable when the outcome is unknown.
        """
        now = self._clock.now()

        async def body(session: Session) -> tuple[Step, list[Outgoing]]:
            file = (await self._store.files([case_id], session)).get(case_id)
            if file is None:
                raise NoSuchCase
            if version is not None and version != file.case.version:
                raise Stale
            step = act(file, action, actor=actor, at=now, causes=self._policy().causes)
            said = [_outgoing(emit) for emit in _emits(step, file, traceparent)]
            changes = Changes(files={case_id: step.file}, before={case_id: file.case.version})
            await self._store.save(changes, session)
            await self._store.save_said(step.entry, said, session)
            return step, said

        async with self._mongo.session() as session:
            step, said = await transaction(session, body)
        try:
            await self._say(entry_id(case_id, step.file.case.version), said)
        except TransientError as error:
            log.warning("said_later", case=str(case_id), why=str(error))
        return step.file

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


def _emits(step: Step, before: CaseFile, traceparent: bytes) -> list[Emit]:
    cause = Cause(_NO_PARTITION, traceparent)
    case, at = step.file.case, step.entry.change.at
    emits = [tell(step, cause)]
    if before.is_open and not step.file.is_open:
        emits.append(ask_for_assignment(case.department, case, "ended", at, cause))
    return emits


def _outgoing(emit: Emit) -> Outgoing:
    return encode(emit.event, key=emit.key, source="routing", at=emit.at, traceparent=emit.cause.traceparent)
