"""What SLA asks of a case: a higher priority, or somebody else. Each escalation is obeyed once, by its id."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import structs

from services.routing.domain.case_file import CaseFile, Step, advance
from services.routing.domain.lifecycle import released
from shared.events import Change, EscalationRaised, Priority

OBEYED_KEPT = 64
SLA = "sla"
_HIGHER: dict[Priority, Priority] = {"P4": "P3", "P3": "P2", "P2": "P1"}


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
