"""Kafka in: feedback opens or joins cases, requests are answered from the pools, escalations are obeyed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from services.routing.domain import opening
from services.routing.domain.assignment import Heir, Pool, Roster, Seat, assign, dissolve, gone, may_give
from services.routing.domain.case_file import CaseFile, Step, ask_for_assignment, ask_for_roster, tell
from services.routing.domain.escalation import obey
from services.routing.domain.roster import closed, heir, roster
from services.routing.store import CaseStore, Changes, Outcome
from shared.errors import ConflictError
from shared.events import AssignmentRequested, EscalationRaised, Event, FeedbackReceived
from shared.handler import Batch, Cause, Decision, Emit, Handler, Received, Refusal
from shared.mongo import Session
from shared.policy import Policy

QUEUE_PAGE = 1000
"""Cases of a department's queue that are looked at in one transaction."""


class Known(NamedTuple):
    """What is stored about a batch of feedback: earlier outcomes, and cases that could be joined."""

    outcomes: dict[UUID, Outcome]
    open_cases: list[CaseFile]


def on_feedback_received(
    store: CaseStore, policy: Callable[[], Policy]
) -> Handler[Batch[FeedbackReceived], tuple[Known, Policy], Changes]:
    async def load(batch: Batch[FeedbackReceived], session: Session) -> tuple[Known, Policy]:
        # one policy for the whole batch, however often it is reloaded meanwhile
        feedbacks, current = [received.event for received in batch.records], policy()
        outcomes = await store.outcomes([feedback.id for feedback in feedbacks], session)
        customers = opening.customers_of([one for one in feedbacks if one.id not in outcomes])
        if not customers:
            return Known(outcomes, []), current
        oldest = min(feedback.occurred_at for feedback in feedbacks)
        since = oldest - timedelta(seconds=current.cases.join.within.seconds)
        return Known(outcomes, await store.open_cases_of(customers, since, session)), current

    return Handler(load, lambda batch, loaded: decide_feedback(batch, *loaded), store.save)


def decide_feedback(batch: Batch[FeedbackReceived], known: Known, policy: Policy) -> Decision[Changes]:
    """Each feedback once: recorded, opening a case, or joining one; an id with other words is refused."""
    changes, events, refused = Changes(), [], []
    outcomes = dict(known.outcomes)
    cases = opening.OpenCases(known.open_cases, policy)
    stored = {file.case.id: file.case.version for file in known.open_cases}
    for received in batch.records:
        feedback = received.event
        earlier = outcomes.get(feedback.id)
        if earlier is not None:
            if earlier.fingerprint != feedback.fingerprint:
                refused.append(_conflict(received))
            continue
        outcome, step = _place(feedback, cases, policy, batch.now)
        outcomes[feedback.id] = outcome
        changes.outcomes.append(outcome)
        if step is not None:
            cases.put(step.file)
            _keep(changes, step, stored.get(step.file.case.id))
            events.append(tell(step, received.cause))
            if step.file.case.version == 1:
                case = step.file.case
                events.append(ask_for_assignment(case.department, case, "opened", batch.now, received.cause))
    return Decision(changes, events, refused)


def _place(
    feedback: FeedbackReceived, cases: opening.OpenCases, policy: Policy, now: datetime
) -> tuple[Outcome, Step | None]:
    reading = opening.read(feedback, policy)
    if not opening.opens(reading, policy):
        return Outcome(feedback.id, "recorded", feedback.fingerprint), None
    if (file := cases.about(feedback, reading.category)) is not None:
        return Outcome(feedback.id, "joined", feedback.fingerprint, file.case.id), opening.join(
            file, feedback, now
        )
    step = opening.open_case(feedback, reading, policy, now)
    return Outcome(feedback.id, "case", feedback.fingerprint, step.file.case.id), step


def _conflict(received: Received[FeedbackReceived]) -> Refusal:
    error = ConflictError("the same source and external_id were received before with another content")
    return Refusal(received.offset, received.cause.partition, error)


def _keep(changes: Changes, step: Step, before: int | None) -> None:
    changes.files[step.file.case.id] = step.file
    changes.before.setdefault(step.file.case.id, before)
    changes.entries.append(step.entry)


@dataclass(frozen=True, slots=True)
class Turn:
    """A department's turn: who is there, the seats, the cases asked about (with those whose owner has left),
    the queue. `heir`: the department has left the policy, and this one takes its cases."""

    roster: Roster
    seats: dict[str, Seat]
    asked: list[CaseFile]
    waiting: list[CaseFile]
    cause: Cause
    heir: Heir | None = None


def on_assignment_requested(
    store: CaseStore, policy: Callable[[], Policy]
) -> Handler[Batch[AssignmentRequested], tuple[list[Turn], Policy], Changes]:
    async def load(batch: Batch[AssignmentRequested], session: Session) -> tuple[list[Turn], Policy]:
        asked: defaultdict[str, dict[UUID, None]] = defaultdict(dict)
        causes: dict[str, Cause] = {}
        for received in batch.records:
            department = received.event.department
            causes.setdefault(department, received.cause)
            asked[department] |= {received.event.case_id: None} if received.event.case_id else {}
        pools, absences, current = await store.pools(asked, session), await store.absences(session), policy()
        files = await store.files({case: None for cases in asked.values() for case in cases}, session)
        turns = []
        for department, cases in asked.items():
            found, seats = [files[case] for case in cases if case in files], pools.get(department, {})
            if department not in current.departments:
                found += await store.open_cases_in(department, QUEUE_PAGE, session)
                turns.append(Turn(closed(department), seats, found, [], causes[department], heir(current)))
                continue
            there = roster(current, department, batch.now, absences)
            if left := gone(there, seats):
                found += await store.open_cases_of_owners(department, left, QUEUE_PAGE, session)
            room = may_give(there, seats, found)
            waiting = await store.waiting(department, QUEUE_PAGE, session) if room else []
            turns.append(Turn(there, seats, found, waiting, causes[department]))
        return turns, current

    return Handler(load, lambda batch, loaded: decide_assignments(batch, *loaded), store.save)


def decide_assignments(
    batch: Batch[AssignmentRequested], turns: list[Turn], policy: Policy
) -> Decision[Changes]:
    """Every department of the batch gives out what waits, by one writer at a time."""
    changes, events = Changes(), []
    for turn in turns:
        pool, weight = Pool(dict(turn.seats)), policy.load.__getitem__
        asked = {file.case.id: file for file in turn.asked}
        if turn.heir is None:
            done = assign(turn.roster, pool, asked.values(), turn.waiting, now=batch.now, weight=weight)
        else:
            done = dissolve(turn.roster, pool, asked.values(), turn.heir, now=batch.now, weight=weight)
        stored = {file.case.id: file.case.version for file in (*turn.asked, *turn.waiting)}
        for case_id, file in done.files.items():
            changes.files[case_id] = file
            changes.before[case_id] = stored[case_id]
        changes.entries += [step.entry for step in done.steps]
        events += [tell(step, turn.cause) for step in done.steps]
        events += _passed_on(turn, done.files.values(), batch.now)
        if len(turn.asked) >= QUEUE_PAGE and done.files:  # there may be more of them
            events.append(ask_for_roster(turn.roster.department, policy.version, batch.now, turn.cause))
        if pool.seats != turn.seats:
            changes.pools[turn.roster.department] = pool.seats
    return Decision(changes, events)


def _passed_on(turn: Turn, files: Iterable[CaseFile], now: datetime) -> Iterator[Emit]:
    """Another department's cases that this one counts no longer: only now may theirs give them out."""
    for file in files:
        case = file.case
        elsewhere = case.department != turn.roster.department
        if elsewhere and not case.owner and not file.books.counted.weight and file.is_open:
            yield ask_for_assignment(case.department, case, "transferred", now, turn.cause)


def on_escalation_raised(
    store: CaseStore, policy: Callable[[], Policy]
) -> Handler[Batch[Event], dict[UUID, CaseFile], Changes]:
    async def load(batch: Batch[Event], session: Session) -> dict[UUID, CaseFile]:
        return await store.files({escalation.case_id for _, escalation in _orders(batch)}, session)

    return Handler(load, lambda batch, files: decide_escalations(batch, files, policy()), store.save)


def _orders(batch: Batch[Event]) -> list[tuple[Cause, EscalationRaised]]:
    return [
        (received.cause, received.event)
        for received in batch.records
        if isinstance(received.event, EscalationRaised)
        and received.event.action in ("reassign", "raise_priority")
    ]


def decide_escalations(batch: Batch[Event], files: dict[UUID, CaseFile], policy: Policy) -> Decision[Changes]:
    """Raise or give away, each escalation once; the pool is asked to settle what changed."""
    changes, events = Changes(), []
    current = dict(files)
    for cause, escalation in _orders(batch):
        file = current.get(escalation.case_id)
        if file is None:
            continue
        person = policy.people.get(file.case.owner)
        step = obey(file, escalation, backup=person.backup or "" if person else "", now=batch.now)
        if step is None:
            continue
        current[step.file.case.id] = step.file
        _keep(changes, step, files[step.file.case.id].case.version)
        case = step.file.case
        events.append(tell(step, cause))
        events.append(ask_for_assignment(case.department, case, "escalated", batch.now, cause))
    return Decision(changes, events)
