"""Who of a department gets which case: exact under capacity, because one writer at a time holds a pool.

A request only says "look at this case": the state of the case decides, so a repeated or late request does
no harm. What a pool counts for a case stands in the case's own books, so that nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, structs

from services.routing.domain.case_file import OWNERLESS_STATUSES, CaseFile, Counted, Step, advance
from shared.events import Change, Priority

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
SYSTEM = "routing"


class Seat(Struct, frozen=True, omit_defaults=True):
    """A person's place in a pool: weighted open load, and when they were given a case last."""

    load: int = 0
    last_assigned: datetime = NEVER


class Member(NamedTuple):
    """What the policy says of a person at this moment; `starts` is the next working moment (now: at work)."""

    id: str
    capacity: int
    skills: frozenset[str]
    languages: frozenset[str]
    starts: datetime


@dataclass(frozen=True, slots=True)
class Roster:
    """A department at this moment: who may be given cases (away ones are left out), and its supervisor."""

    department: str
    supervisor: str
    members: Mapping[str, Member]


@dataclass(slots=True)
class Pool:
    """The seats of a department while a batch is decided."""

    seats: dict[str, Seat]

    def add(self, owner: str, weight: int) -> None:
        seat = self.seats.get(owner, Seat())
        self.seats[owner] = structs.replace(seat, load=max(0, seat.load + weight))

    def given(self, owner: str, at: datetime) -> None:
        self.seats[owner] = structs.replace(self.seats.get(owner, Seat()), last_assigned=at)


@dataclass(slots=True)
class Assigned:
    """What a department's turn changed: files by case id (the last version), and the steps in order."""

    files: dict[UUID, CaseFile] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def assign(
    roster: Roster,
    pool: Pool,
    asked: Iterable[CaseFile],
    waiting: Iterable[CaseFile],
    *,
    now: datetime,
    weight: Callable[[Priority], int],
) -> Assigned:
    """Settle the asked cases with the pool, then give ownerless ones out: most urgent, oldest first."""
    done = Assigned()
    ownerless: dict[UUID, CaseFile] = {
        file.case.id: file for file in waiting if _needs_owner(file, roster.department)
    }
    for file in asked:
        settled = _settle(file, pool, roster.department, weight)
        if settled is not file:
            done.files[file.case.id] = settled
        if _needs_owner(settled, roster.department):
            ownerless[file.case.id] = settled
        else:
            ownerless.pop(file.case.id, None)
    for file in sorted(ownerless.values(), key=_urgency):
        owner = choose(file, roster, pool, weight(file.case.priority), now)
        step = _give(file, owner, now) if owner else _queue(file, roster, now)
        if step is None:
            continue
        settled = _settle(step.file, pool, roster.department, weight)
        if owner:
            pool.given(owner, now)
        done.files[file.case.id] = settled
        done.steps.append(Step(settled, step.entry))
    return done


def may_give(roster: Roster, seats: Mapping[str, Seat], asked: Iterable[CaseFile]) -> bool:
    """Whether the queue is worth a look: somebody has room, or an asked case may give some back."""
    if any(seats.get(member.id, Seat()).load < member.capacity for member in roster.members.values()):
        return True
    return any(file.books.counted.weight and not (file.is_open and file.case.owner) for file in asked)


def choose(file: CaseFile, roster: Roster, pool: Pool, weight: int, now: datetime) -> str:
    """The member for a case, or "": skill, language, below capacity; then the preferred one, those at work
    before those who come next, least load, longest without a new case."""
    case, books = file.case, file.books
    best: tuple[tuple[bool, datetime, int, datetime, str], str] | None = None
    for member in roster.members.values():
        seat = pool.seats.get(member.id, Seat())
        if member.id == books.avoid or seat.load + weight > member.capacity:
            continue
        if not member.skills.issuperset(case.skills):
            continue
        if case.language != "other" and member.languages and case.language not in member.languages:
            continue
        starts = max(member.starts, now)
        rank = (member.id != books.prefer, starts, seat.load, seat.last_assigned, member.id)
        if best is None or rank < best[0]:
            best = (rank, member.id)
    return best[1] if best else ""


def _urgency(file: CaseFile) -> tuple[str, datetime, bytes]:
    return file.case.priority, file.case.opened_at, file.case.id.bytes


def _needs_owner(file: CaseFile, department: str) -> bool:
    """Ownerless here, and not counted by another department, whose writer gives it back first."""
    case, counted = file.case, file.books.counted
    at_home = case.department == department and counted.department in ("", department)
    return at_home and not case.owner and case.status in OWNERLESS_STATUSES


def _settle(file: CaseFile, pool: Pool, department: str, weight: Callable[[Priority], int]) -> CaseFile:
    """Make the pool count what the case is now: its owner's weight while it is open, else nothing."""
    case, counted = file.case, file.books.counted
    due = Counted()
    if file.is_open and case.owner and case.department == department:
        due = Counted(department, case.owner, weight(case.priority))
    if due == counted:
        return file
    if counted.department == department:
        pool.add(counted.owner, -counted.weight)
    elif counted.weight:
        return file  # the other department's writer gives it back first
    if due.weight:
        pool.add(due.owner, due.weight)
    waiting = file.books.waiting and _needs_owner(file, department)
    return CaseFile(case, structs.replace(file.books, counted=due, waiting=waiting))


def _give(file: CaseFile, owner: str, now: datetime) -> Step:
    at = max(now, file.case.updated_at)
    change = Change(type="assigned", actor=SYSTEM, at=at, reason=file.case.reason, data={"owner": owner})
    books = {"waiting": False, "avoid": "", "prefer": ""}
    return advance(file, change, books=books, status="assigned", owner=owner, holder=owner, assigned_at=at)


def _queue(file: CaseFile, roster: Roster, now: datetime) -> Step | None:
    if file.books.waiting:
        return None
    at = max(now, file.case.updated_at)
    reason = f"nobody of {roster.department} is available below capacity with the skill and language"
    change = Change(type="queued", actor=SYSTEM, at=at, reason=reason, data={"holder": roster.supervisor})
    return advance(file, change, books={"waiting": True}, holder=roster.supervisor)
