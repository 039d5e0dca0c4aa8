"""Routing's decisions at one desk: its handlers, actions and sweep over a shelf in memory, step by step.

What is stored is the component tests' business; here only what is decided, in any order and by anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

from services.routing.actions import Actions, Asked, Done, NoSuchCase, events_of
from services.routing.domain.case_file import CaseFile, Entry, ask_for_roster
from services.routing.domain.changes import Changes, Outcome
from services.routing.domain.pool import Seat
from services.routing.domain.queue import Search
from services.routing.domain.roster import Absence
from services.routing.handlers import on_assignment_requested, on_escalation_raised, on_feedback_received
from services.routing.sweep import Sweep
from shared import topics
from shared.clock import FixedClock
from shared.events import AssignmentRequested, CaseChanged, EscalationRaised, Event, FeedbackReceived
from shared.handler import Batch, Cause, Emit, Handler, Partition, Received
from shared.mongo import Session
from shared.policy import Policy
from tests.support.seals import SEALS

T = TypeVar("T")
CAUSE = Cause(Partition(topics.ASSIGNMENTS.name, 0))
NO_SESSION = cast(Session, None)


class Shelf:
    """What `CaseStore` keeps, as dictionaries, with its questions."""

    def __init__(self) -> None:
        self.cases: dict[UUID, CaseFile] = {}
        self.seats: dict[str, dict[str, Seat]] = {}
        self.away: dict[str, Absence] = {}
        self.newest = ""
        self.known: dict[UUID, Outcome] = {}
        self.history: defaultdict[UUID, list[Entry]] = defaultdict(list)

    def _open(self, **given: Any) -> list[CaseFile]:
        """Open cases with these fields, oldest first."""
        found = [file for file in self.cases.values() if file.is_open and _is(file.case, given)]
        return sorted(found, key=lambda file: file.case.opened_at)

    async def outcomes(self, ids: Sequence[UUID], session: Session) -> dict[UUID, Outcome]:
        return {one: self.known[one] for one in ids if one in self.known}

    async def cases_of(
        self, customers: Sequence[str], opened: tuple[datetime, datetime], session: Session
    ) -> list[CaseFile]:
        first, last = opened
        going = [one for one in self.cases.values() if one.case.status not in ("merged", "cancelled")]
        theirs = [
            one for one in going if one.case.customer.id in customers and first <= one.case.opened_at <= last
        ]
        return sorted(theirs, key=lambda file: file.case.opened_at)

    async def files(self, ids: Iterable[UUID], session: Session) -> dict[UUID, CaseFile]:
        return {one: self.cases[one] for one in ids if one in self.cases}

    async def find(self, identity: str, session: Session) -> CaseFile | None:
        for file in self.cases.values():
            if identity in (str(file.case.id), file.case.reference):
                return file
        return None

    async def open_cases_in(self, department: str, limit: int, session: Session) -> list[CaseFile]:
        return self._open(department=department)

    async def open_cases_of_owners(
        self, department: str, owners: Sequence[str], limit: int, session: Session
    ) -> list[CaseFile]:
        return [file for file in self._open(department=department) if file.case.owner in owners]

    async def waiting(self, search: Search, limit: int, session: Session) -> list[CaseFile]:
        return [file for file in self._open(department=search.department) if file.books.waiting]

    async def pools(self, departments: Iterable[str], session: Session) -> dict[str, dict[str, Seat]]:
        return {name: self.seats[name] for name in departments if name in self.seats}

    async def absences(self, session: Session | None = None) -> dict[str, Absence]:
        return self.away

    async def queues(self, session: Session) -> set[str]:
        return set(await self.queue_lengths())

    async def newest_policy(self, session: Session) -> str:
        return self.newest

    async def loads(self) -> dict[str, dict[str, Seat]]:
        return self.seats

    async def queue_lengths(self) -> dict[str, int]:
        lengths: defaultdict[str, int] = defaultdict(int)
        for file in self.cases.values():
            lengths[file.case.department] += file.books.waiting
        return {name: length for name, length in lengths.items() if length}

    async def unacknowledged(self, now: datetime) -> list[UUID]:
        dues = {one: file.books.acknowledge_by for one, file in self.cases.items()}
        return [one for one, due in dues.items() if due is not None and due <= now]

    async def silent(self, before: datetime) -> list[UUID]:
        resolved = [file.case for file in self.cases.values() if file.case.status == "resolved"]
        return [case.id for case in resolved if case.resolved_at and case.resolved_at <= before]

    async def save(self, changes: Changes, session: Session) -> None:
        for case_id, file in changes.files.items():
            before = self.cases[case_id].case.version if case_id in self.cases else None
            assert changes.before[case_id] == before, "written over another version than was read"
            self.cases[case_id] = file
        for entry in changes.entries:
            self.history[entry.case_id].append(entry)
        self.known |= {outcome.id: outcome for outcome in changes.outcomes}
        self.seats |= changes.pools
        for case_id, feedbacks in changes.moved.items():
            for one in feedbacks:
                self.known[one] = Outcome(one, "joined", self.known[one].fingerprint, case_id)


def _is(case: Any, given: dict[str, Any]) -> bool:
    return all(getattr(case, name) == value for name, value in given.items())


class Desk(Actions):
    """Everything that decides, and what it has said. `asked` waits for a department's turn; `writes_pools`:
    new cases get their owners at once where nobody waits."""

    def __init__(self, policy: Policy, at: datetime) -> None:
        self.policy, self.time, self.shelf = policy, FixedClock(at), Shelf()
        self.asked: list[AssignmentRequested] = []
        self.writes_pools = False
        self.told: list[CaseChanged] = []
        shelf = cast(Any, self.shelf)
        super().__init__(cast(Any, None), shelf, cast(Any, None), self.time, lambda: self.policy, SEALS)
        self._sweep = Sweep(self, shelf, cast(Any, None), self.time, lambda: self.policy, 1.0)
        self._on = {
            FeedbackReceived: on_feedback_received(
                shelf, lambda: self.policy, SEALS.sealed_case, lambda _: self.writes_pools
            ),
            AssignmentRequested: on_assignment_requested(shelf, lambda: self.policy),
            EscalationRaised: on_escalation_raised(shelf, lambda: self.policy),
        }

    @property
    def now(self) -> datetime:
        return self.time.now()

    def take(self, *events: Event) -> None:
        """A batch of one kind of events arrives."""
        handler: Handler[Any, Any, Any] = cast(Any, self._on[cast(Any, type(events[0]))])
        batch = Batch([Received(event, CAUSE, place) for place, event in enumerate(events)], self.now)
        decision = handler.decide(batch, at_once(handler.load(batch, NO_SESSION)))
        at_once(handler.store(decision.changes, NO_SESSION))
        assert not decision.refused
        self._hear(decision.events)

    def act(self, case_id: UUID, asked: Asked) -> CaseFile:
        return at_once(self.carry_out(case_id, asked))

    def look(self) -> None:
        """What time does now."""
        at_once(self._sweep.release_unacknowledged(self.now, self.policy))
        at_once(self._sweep.close_silent(self.now, self.policy))
        at_once(self._sweep.look_at_rosters(self.now, self.policy))

    async def ask_for_roster(self, department: str, because: str, at: datetime) -> None:
        self._hear([ask_for_roster(department, because, at, CAUSE)])

    async def _change(
        self, case_id: UUID, decide: Callable[[CaseFile, Session], Awaitable[Done]], traceparent: bytes
    ) -> CaseFile:
        if case_id not in self.shelf.cases:
            raise NoSuchCase
        done = await decide(self.shelf.cases[case_id], NO_SESSION)
        for before, step in done.steps:
            done.changes.files[before.case.id] = step.file
            done.changes.before[before.case.id] = before.case.version
            done.changes.entries.append(step.entry)
        await self.shelf.save(done.changes, NO_SESSION)
        for before, step in done.steps:
            self._hear(events_of(step, before, traceparent))
        return done.file

    def _hear(self, emits: Iterable[Emit]) -> None:
        for emit in emits:
            if isinstance(emit.event, CaseChanged):
                self.told.append(emit.event)
            elif isinstance(emit.event, AssignmentRequested):
                self.asked.append(emit.event)


def at_once(work: Awaitable[T]) -> T:
    """The result of what has nothing to wait for."""
    try:
        cast(Coroutine[Any, Any, T], work).send(None)
    except StopIteration as ended:
        return cast(T, ended.value)
    raise AssertionError("it waits for something")
