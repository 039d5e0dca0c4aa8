"""Kafka in: the clock of a case follows its snapshots."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from uuid import UUID

import structlog

from services.sla.domain.clock import Clock
from services.sla.domain.following import follow
from services.sla.domain.promise import Promises
from services.sla.store import Changes, ClockStore
from shared.calendar import CalendarError, NoWorkingTime
from shared.errors import PermanentError
from shared.events import CaseChanged
from shared.handler import Batch, Decision, Emit, Handler, Received, Refusal
from shared.mongo import Session

log = structlog.get_logger("cqm.sla")
CaseBatch = Batch[CaseChanged]


def on_case_changed(store: ClockStore, promises: Promises) -> Handler[CaseBatch, dict[UUID, Clock], Changes]:
    """Of each case only the highest version counts; one that was seen before does nothing."""

    async def load(batch: CaseBatch, session: Session) -> dict[UUID, Clock]:
        return await store.load({received.event.case.id for received in batch.records}, session)

    return Handler(load=load, decide=partial(_decide, promises), store=store.save)


def _decide(promises: Promises, batch: CaseBatch, clocks: dict[UUID, Clock]) -> Decision[Changes]:
    changes = Changes()
    emits: list[Emit] = []
    refused: list[Refusal] = []
    for received in _newest(batch.records):
        case, cause = received.event.case, received.cause
        old = clocks.get(case.id)
        if old is not None and old.case_version >= case.version:
            continue
        try:
            clock, said = follow(old, case, cause.partition.partition, promises, batch.now)
        except (NoWorkingTime, CalendarError) as error:
            reason = PermanentError("no_due", f"case.opened_at: {error}")
            refused.append(Refusal(received.offset, cause.partition, reason))
            continue
        if old is None:
            changes.new.append(clock)
        else:
            changes.moved.append(clock)
            if (old.open_dues, old.labels) != (clock.open_dues, clock.labels):
                changes.relisted.append(clock)
        emits += [Emit(event, case.id.bytes, batch.now, cause) for event in said]
    for sla, target in promises.not_told_of():
        why = "after 2199, or after 366 days without working time: cases go on without it"
        log.warning("step_beyond_the_calendar", sla=sla, target=target, why=why)
    return Decision(changes, emits, refused)


def _newest(records: Iterable[Received[CaseChanged]]) -> Iterable[Received[CaseChanged]]:
    newest: dict[UUID, Received[CaseChanged]] = {}
    for received in records:
        case = received.event.case
        known = newest.get(case.id)
        if known is None or known.event.case.version < case.version:
            newest[case.id] = received
    return newest.values()
