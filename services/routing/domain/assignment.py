"""Who of a department gets which case: exact under capacity, because one writer at a time holds a pool.

A request only says "look at this case": the state of the case decides, so a repeated or late request does
no harm. What a pool counts for a case stands in the case's own books, so that nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from services.routing.domain.case_file import OWNERLESS_STATUSES, CaseFile, Counted, Step, advance
from services.routing.domain.lifecycle import ROUTING as SYSTEM
from services.routing.domain.lifecycle import Evidence, ended_holds, released, transferred
from services.routing.domain.pool import Member, Pool, Seat, Wanted
from shared.events import Case, Change, Priority


def _no_deadline(owner: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Roster:
    """A department at this moment: its agents (`staff`), those who may be given cases (`members`, the away
    ones are left out), and its supervisor.

    `backup` is the department that takes what nobody here could. `acknowledge_by` says until when an owner
    has to acknowledge what they are given now (None: no limit).
    """

    department: str
    supervisor: str
    members: Mapping[str, Member]
    staff: frozenset[str]
    backup: str = ""
    acknowledge_by: Callable[[str], datetime | None] = _no_deadline
    _able: dict[Wanted, list[Member]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def able(self, case: Case) -> list[Member]:
        """The members who could be given the case, if they had room. Remembered: a turn has many cases that
        want the same."""
        wanted = (case.skills, case.language)
        found = self._able.get(wanted)
        if found is None:
            found = self._able[wanted] = [one for one in self.members.values() if could(one, case)]
        return found


class Heir(NamedTuple):
    """The department that takes the cases of one that has left the policy, and who is accountable there."""

    department: str
    accountable: str


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
    """Settle the asked cases with the pool, then give ownerless ones out: most urgent, oldest first.

    An asked case whose owner is no agent of the department any more is taken from them first.
    """
    done = Assigned()
    ownerless: dict[UUID, CaseFile] = {
        file.case.id: file for file in waiting if _needs_owner(file, roster.department)
    }
    for file in asked:
        left = _leave(file, roster, now)
        if left is not None:
            done.steps.append(left)
        settled = settle(left.file if left else file, pool, roster.department, weight)
        if settled is not file:
            done.files[file.case.id] = settled
        if _needs_owner(settled, roster.department):
            ownerless[file.case.id] = settled
        else:
            ownerless.pop(file.case.id, None)
    for file in sorted(ownerless.values(), key=_urgency):
        counts = weight(file.case.priority)
        owner = choose(file, roster, pool, counts, now)
        step = _give(file, owner, roster, now) if owner else _hand_over(file, roster, counts, now)
        step = step or _queue(file, roster, now)
        if step is None:
            continue
        settled = settle(step.file, pool, roster.department, weight)
        if owner:
            pool.given(owner, now)
        done.files[file.case.id] = settled
        done.steps.append(Step(settled, step.entry))
    return done


def dissolve(
    roster: Roster,
    pool: Pool,
    asked: Iterable[CaseFile],
    to: Heir,
    *,
    now: datetime,
    weight: Callable[[Priority], int],
) -> Assigned:
    """Move the open cases of a department that has left the policy, and empty its pool of them."""
    done = Assigned()
    for file in asked:
        case, moved = file.case, file
        if file.is_open and case.department == roster.department:
            at, reason = max(now, case.updated_at), f"{case.department} has left the policy"
            step = transferred(file, to.department, to.accountable, actor=SYSTEM, at=at, reason=reason)
            done.steps.append(step)
            moved = step.file
        settled = settle(moved, pool, roster.department, weight)
        if settled is not file:
            done.files[case.id] = settled
    return done


def choose(file: CaseFile, roster: Roster, pool: Pool, weight: int, now: datetime) -> str:
    """The member for a case, or "": skill, language, below capacity; then the preferred one, those at work
    before those who come next, least load, longest without a new case."""
    case, prefer, avoid = file.case, file.books.prefer, file.books.avoid
    preferred = roster.members.get(prefer) if prefer and prefer != avoid else None
    if preferred is not None and could(preferred, case) and pool.has_room(preferred, weight):
        return prefer
    return pool.first((case.skills, case.language), roster.able(case), weight, avoid=avoid, now=now)


def gone(roster: Roster, seats: Mapping[str, Seat]) -> list[str]:
    """Who holds load here and is no agent of the department any more."""
    return [name for name, seat in seats.items() if seat.load and name not in roster.staff]


def _leave(file: CaseFile, roster: Roster, now: datetime) -> Step | None:
    case = file.case
    stays = not case.owner or case.owner in roster.staff
    if stays or not file.is_open or case.department != roster.department:
        return None
    reason = f"{case.owner} is no agent of {roster.department} any more"
    return released(file, actor=SYSTEM, at=max(now, case.updated_at), reason=reason)


def could(member: Member, case: Case) -> bool:
    """Whether a member has the skills of the case and its language; who lists none speaks all."""
    speaks = case.language == "other" or not member.languages or case.language in member.languages
    return speaks and member.skills.issuperset(case.skills)


def _urgency(file: CaseFile) -> tuple[str, datetime, bytes]:
    return file.case.priority, file.case.opened_at, file.case.id.bytes


def _needs_owner(file: CaseFile, department: str) -> bool:
    """Ownerless here, and not counted by another department, whose writer gives it back first."""
    case, counted = file.case, file.books.counted
    at_home = case.department == department and counted.department in ("", department)
    return at_home and not case.owner and case.status in OWNERLESS_STATUSES


def settle(file: CaseFile, pool: Pool, department: str, weight: Callable[[Priority], int]) -> CaseFile:
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


def give_by_hand(
    file: CaseFile, owner: str, roster: Roster, pool: Pool, weight: int, *, actor: str, now: datetime
) -> Step:
    """A supervisor names the owner, whatever the case's skill or language; room is never overruled.

    Raises Evidence when the person is not an agent of the department who is there, or has no room.
    """
    case, counted = file.case, file.books.counted
    member = roster.members.get(owner)
    if member is None:
        there = ", ".join(sorted(roster.members)) or "nobody"
        raise Evidence("/owner", f"must be an agent of {roster.department} who is not away: {there}")
    if owner == case.owner:
        raise Evidence("/owner", "is the owner already")
    held = counted.weight if counted.owner == owner and counted.department == roster.department else 0
    load = pool.seat(owner).load - held
    if load + weight > member.capacity:
        raise Evidence("/owner", f"has no room: {load} of {member.capacity} taken, this case counts {weight}")
    step = _give(file, owner, roster, now, actor=actor)
    pool.given(owner, now)
    return step


def _give(file: CaseFile, owner: str, roster: Roster, now: datetime, actor: str = SYSTEM) -> Step:
    at = max(now, file.case.updated_at)
    data = {"owner": owner} | ({"from": file.case.owner} if file.case.owner else {})
    change = Change(type="assigned", actor=actor, at=at, reason=file.case.reason, data=data)
    books = {"waiting": False, "avoid": "", "prefer": "", "acknowledge_by": roster.acknowledge_by(owner)}
    return advance(
        file, change, books=books, status="assigned", owner=owner, holder=owner, assigned_at=at,
        holds=ended_holds(file.case, at),
    )  # fmt: skip


def _hand_over(file: CaseFile, roster: Roster, weight: int, now: datetime) -> Step | None:
    """To the backup department, when nobody here could take it however idle they were; each department once.
    Who may not carry as much as the case weighs could not.

    The accountable head stays: helping out is no transfer of responsibility (docs/domain.md 2.7).
    """
    case, passed = file.case, (*file.books.passed, roster.department)
    if not roster.backup or roster.backup in passed:
        return None
    able = roster.able(case)
    if any(member.id != file.books.avoid and member.capacity >= weight for member in able):
        return None
    lacks = "skill, language and capacity" if able else "skill and language"
    reason = f"nobody of {roster.department} is there with the {lacks}: its backup takes over"
    data = {"from": roster.department, "to": roster.backup, "accountable_to": case.accountable}
    change = Change(type="transferred", actor=SYSTEM, at=max(now, case.updated_at), reason=reason, data=data)
    return advance(
        file, change, books={"passed": passed, "waiting": False, "avoid": "", "prefer": ""},
        department=roster.backup, holder="",
    )  # fmt: skip


def _queue(file: CaseFile, roster: Roster, now: datetime) -> Step | None:
    if file.books.waiting:
        return None
    at = max(now, file.case.updated_at)
    reason = f"nobody of {roster.department} is available below capacity with the skill and language"
    change = Change(type="queued", actor=SYSTEM, at=at, reason=reason, data={"holder": roster.supervisor})
    return advance(file, change, books={"waiting": True}, holder=roster.supervisor)
