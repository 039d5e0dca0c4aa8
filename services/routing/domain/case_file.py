"""A case as routing keeps it: the case that everyone sees, and the bookkeeping that nobody else needs."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct, structs

from services.routing.domain.past import remembering
from shared import ids
from shared.clock import in_milliseconds
from shared.events import AssignmentReason, AssignmentRequested, Case, CaseChanged, Change
from shared.handler import Cause, Emit

OPEN_STATUSES = frozenset(
    {"new", "assigned", "acknowledged", "in_progress", "pending_customer", "pending_internal", "reopened"}
)
OWNERLESS_STATUSES = frozenset({"new", "reopened"})
_canonical = msgspec.json.Encoder(order="deterministic")


class Counted(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a department's pool counts for this case at the moment; zero weight: nothing."""

    department: str = ""
    owner: str = ""
    weight: int = 0


class Books(Struct, frozen=True, omit_defaults=True, gc=False):
    """`waiting`: in the department's queue. `obeyed`: escalations already acted on. `head`: hash of the
    newest history entry. `avoid` and `prefer` guide the next assignment (somebody else; the backup, the
    owner of before). `raised`: steps by which the policy raised the priority at the opening.
    `acknowledge_by`: when an owner who has not acknowledged it loses it. `keys`: the newest
    Idempotency-Keys, each with what was asked by it. `passed`: departments that had nobody for it and handed
    it to their backup."""

    counted: Counted = Counted()
    waiting: bool = False
    obeyed: tuple[UUID, ...] = ()
    head: str = ""
    avoid: str = ""
    prefer: str = ""
    raised: int = 0
    acknowledge_by: datetime | None = None
    keys: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()


class CaseFile(Struct, frozen=True, gc=False):
    """The case and its books, always stored together."""

    case: Case
    books: Books = Books()

    @property
    def is_open(self) -> bool:
        return self.case.status in OPEN_STATUSES


class Entry(Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a case's history, linked to the one before by its hash (docs/domain.md 1, audit).
    `said` is the canonical JSON of all the others but the hash, which is made of it."""

    case_id: UUID
    version: int
    change: Change
    policy_version: str
    previous: str
    hash: str
    said: bytes = b""


class Step(NamedTuple):
    """A case's next version with its history entry."""

    file: CaseFile
    entry: Entry


def begin(case: Case, change: Change, **books: Any) -> Step:
    """Version 1 of a case; its times are such that MongoDB keeps them as they are."""
    if case.updated_at != change.at:
        case = structs.replace(case, updated_at=change.at)
    return _entered(case, Books(), books, _storable(change))


def advance(file: CaseFile, change: Change, *, books: dict[str, Any] | None = None, **fields: Any) -> Step:
    """The next version: `fields` of the case and of the `books` changed, by `change`, at its time."""
    before, kept = file.case, dict(books or ())
    case = structs.replace(
        before, version=before.version + 1, updated_at=max(change.at, before.updated_at), **fields
    )
    case = remembering(before, case, case.updated_at)
    if file.books.waiting and (case.owner or case.status not in OWNERLESS_STATUSES):
        kept["waiting"] = False  # what is owned or ended has left the queue
    if case.status != "assigned":
        kept["acknowledge_by"] = None
    change = structs.replace(_storable(change), from_status=before.status, to_status=case.status)
    return _entered(case, file.books, kept, change)


def _storable(change: Change) -> Change:
    """A hash over microseconds could not be computed from what MongoDB keeps."""
    return structs.replace(change, at=in_milliseconds(change.at)) if change.at.microsecond % 1000 else change


def _entered(case: Case, before: Books, kept: dict[str, Any], change: Change) -> Step:
    said = _canonical.encode([case.id, case.version, change, case.policy_version, before.head])
    digest = hashlib.sha256(said).hexdigest()
    entry = Entry(case.id, case.version, change, case.policy_version, before.head, digest, said)
    return Step(CaseFile(case, structs.replace(before, **kept, head=digest)), entry)


def entry_hash(case_id: UUID, version: int, change: Change, policy_version: str, previous: str) -> str:
    """SHA-256 over canonical JSON of all that an entry says and the hash of the one before it."""
    content = _canonical.encode([case_id, version, change, policy_version, previous])
    return hashlib.sha256(content).hexdigest()


def sealed_step(before: CaseFile, step: Step, sealed: bytes) -> Step:
    """The step with what somebody wrote in `sealed` alone: its text and its reason."""
    change = step.entry.change
    data = {name: value for name, value in change.data.items() if name != "text"}
    change = structs.replace(change, reason="", data=data, sealed=sealed)
    books = structs.replace(step.file.books, head=before.books.head)
    return _entered(step.file.case, books, {}, change)


def tell(step: Step, cause: Cause, earlier: tuple[Change, ...] = ()) -> Emit:
    """The step as an outgoing event, keyed by its case. `earlier`: changes of the versions right before it
    that no other event tells."""
    case, change = step.file.case, step.entry.change
    event = CaseChanged(
        id=ids.event_id(case.id, CaseChanged.type, case.version), case=case, change=change, earlier=earlier
    )
    return Emit(event, case.id.bytes, change.at, cause)


def ask_for_roster(department: str, because: str, at: datetime, cause: Cause) -> Emit:
    """Ask the writer of the department's pool to look at its people and its queue: who came, who left."""
    request = AssignmentRequested(
        id=ids.name_id(department, AssignmentRequested.type, "roster", because, at.isoformat()),
        department=department,
        reason="roster",
        at=at,
    )
    return Emit(request, department.encode(), at, cause)


def ask_for_assignment(
    department: str, case: Case, reason: AssignmentReason, at: datetime, cause: Cause
) -> Emit:
    """Ask the writer of the department's pool to look at the case."""
    request = AssignmentRequested(
        id=ids.name_id(case.id.hex, AssignmentRequested.type, str(case.version), department),
        department=department,
        case_id=case.id,
        reason=reason,
        at=at,
    )
    return Emit(request, department.encode(), at, cause)
