"""What SLA asks of a case: a higher priority, or somebody else. Each escalation is obeyed once, by its id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import structs

from services.routing.domain.case_file import CaseFile, Step, advance, ask_for_assignment
from services.routing.domain.changes import Changes
from services.routing.domain.lifecycle import released
from shared.events import Change, EscalationRaised, Event, Priority
from shared.handler import Batch, Cause, Decision, Emit
from shared.policy import Policy

OBEYED_KEPT = 64
SLA = "sla"
_HIGHER: dict[Priority, Priority] = {"P4": "P3", "P3": "P2", "P2": "P1"}


def orders(batch: Batch[Event]) -> list[tuple[Cause, EscalationRaised]]:
    """What of a batch asks for something, with what it is due to."""
    return [
        (received.cause, received.event)
        for received in batch.records
        if isinstance(received.event, EscalationRaised)
        and received.event.action in ("reassign", "raise_priority")
    ]


def decide_escalations(
    batch: Batch[Event], files: Mapping[UUID, CaseFile], policy: Policy
) -> Decision[Changes]:
    """Raise or give away, each escalation once; the pool is asked to settle what changed."""
    changes, requests = Changes(), list[Emit]()
    for cause, escalation in orders(batch):
        read = files.get(escalation.case_id)
        if read is None:
            continue
        file = changes.files.get(read.case.id, read)
        person = policy.people.get(file.case.owner)
        step = obey(file, escalation, backup=person.backup or "" if person else "", now=batch.now)
        if step is not None:
            case = step.file.case
            changes.add(step, cause, read.case.version)
            requests.append(ask_for_assignment(case.department, case, "escalated", batch.now, cause))
        elif (after := remember(file, escalation)) is not file:
            changes.files[read.case.id] = after
            changes.before[read.case.id] = read.case.version
    return Decision(changes, [*changes.events(), *requests])


def obey(file: CaseFile, asked: EscalationRaised, *, backup: str, now: datetime) -> Step | None:
    """The case's next version, or None when there is nothing to do: ended, already obeyed, already P1.

    `backup` is the owner's in the policy ("" for none): the pool prefers them for the next assignment.
    """
    if asked.id in file.books.obeyed or not file.is_open:
        return None
    at = max(now, file.case.updated_at)
    obeyed = {"obeyed": _with(file, asked)}
    if asked.action == "raise_priority" and (higher := _HIGHER.get(file.case.priority)):
        data = {"from": file.case.priority, "to": higher, "escalation": str(asked.id)}
        change = Change(type="prioritised", actor=SLA, at=at, reason=f"{asked.target} escalated", data=data)
        return advance(file, change, books=obeyed, priority=higher)
    if asked.action == "reassign" and file.case.owner:
        books = {**obeyed, "avoid": file.case.owner, "prefer": backup}
        data = {"escalation": str(asked.id)}
        return released(file, actor=SLA, at=at, reason=f"{asked.target} escalated", data=data, **books)
    return None


def remember(file: CaseFile, asked: EscalationRaised) -> CaseFile:
    """The file of a case that had nothing to obey. Should the same escalation come again when the case has
    been reopened or its priority lowered, it still has had its answer."""
    if asked.id in file.books.obeyed:
        return file
    return CaseFile(file.case, structs.replace(file.books, obeyed=_with(file, asked)))


def _with(file: CaseFile, asked: EscalationRaised) -> tuple[UUID, ...]:
    return (*file.books.obeyed, asked.id)[-OBEYED_KEPT:]
