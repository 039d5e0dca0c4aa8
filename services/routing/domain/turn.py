"""A department's turn: what waits and what is asked about is settled and given out, and what is said of it.

It is taken by whoever writes the department's pool: for requests, and for cases that were just opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.routing.domain.assignment import Heir, Roster, assign, dissolve
from services.routing.domain.case_file import CaseFile, ask_for_assignment
from services.routing.domain.changes import Changes
from services.routing.domain.pool import Pool, Seat
from shared.handler import Cause, Emit
from shared.policy import Policy


@dataclass(frozen=True, slots=True)
class Turn:
    """Who is there, the seats, the cases asked about (with those whose owner has left), the queue.

    `cause` is what the turn is due to, `causes` what single cases are. `heir`: the department has left the
    policy, and this one takes its cases.
    """

    roster: Roster
    seats: dict[str, Seat]
    asked: Sequence[CaseFile]
    waiting: Sequence[CaseFile]
    cause: Cause
    heir: Heir | None = None
    causes: Mapping[UUID, Cause] = field(default_factory=dict)

    def after(self, earlier: Mapping[UUID, CaseFile]) -> Turn:
        """The same turn over cases that turns before it, in the same transaction, have already changed."""
        asked = [earlier.get(file.case.id, file) for file in self.asked]
        waiting = [earlier.get(file.case.id, file) for file in self.waiting]
        return replace(self, asked=asked, waiting=waiting)


def take(turn: Turn, changes: Changes, policy: Policy, now: datetime) -> list[Emit]:
    """Give the turn's cases out: what it does is added to `changes`, what has to be asked of others is
    answered. The same turn has the same end.

    A turn that changed a case writes its pool, even with the loads of before: of two turns at once, which
    have not seen each other's cases, one then runs again.
    """
    pool, weight = Pool(dict(turn.seats)), policy.load.__getitem__
    asked = {file.case.id: file for file in turn.asked}.values()
    if turn.heir is None:
        done = assign(turn.roster, pool, asked, turn.waiting, now=now, weight=weight)
    else:
        done = dissolve(turn.roster, pool, asked, turn.heir, now=now, weight=weight)
    for step in done.steps:
        changes.add(step, turn.causes.get(step.entry.case_id, turn.cause), None)
    changes.files |= done.files
    if done.files:
        changes.pools[turn.roster.department] = pool.seats
    return list(_passed_on(turn, done.files.values(), now))


def _passed_on(turn: Turn, files: Iterable[CaseFile], now: datetime) -> Iterator[Emit]:
    """Another department's cases that this one counts no longer: only now may theirs give them out."""
    for file in files:
        case = file.case
        elsewhere = case.department != turn.roster.department
        if elsewhere and not case.owner and not file.books.counted.weight and file.is_open:
            yield ask_for_assignment(case.department, case, "transferred", now, turn.cause)
