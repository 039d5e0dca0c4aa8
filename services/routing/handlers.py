"""Kafka in: feedback opens or joins cases, requests are answered from the pools, escalations are obeyed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.routing.domain import opening
from services.routing.domain.assignment import Seat, gone
from services.routing.domain.case_file import CaseFile, Step, ask_for_assignment, ask_for_roster, tell
from services.routing.domain.escalation import obey, remember
from services.routing.domain.queue import search
from services.routing.domain.roster import Absence, closed, heir, roster
from services.routing.domain.turn import Taken, Turn, take
from services.routing.store import CaseStore, Changes, Outcome
from shared.errors import ConflictError
from shared.events import AssignmentReason, AssignmentRequested, EscalationRaised, Event, FeedbackReceived
from shared.handler import Batch, Cause, Decision, Emit, Handler, Received, Refusal
from shared.mongo import Session
from shared.policy import Policy

QUEUE_PAGE = 1000
"""Cases of a department's queue that are looked at in one transaction."""


class Desk(NamedTuple):
    """A department whose pool this replica writes and whose queue is empty: its turn is taken at once."""

    seats: dict[str, Seat]
    absences: Mapping[str, Absence]


class Known(NamedTuple):
    """What is stored about a batch of feedback: earlier outcomes, cases that could be joined, and desks by
    department."""

    outcomes: dict[UUID, Outcome]
    cases: list[CaseFile]
    desks: Mapping[str, Desk] = {}


class Ask(NamedTuple):
    """Why a department's pool has to look at a case, and what that is due to."""

    reason: AssignmentReason
    cause: Cause


def nowhere(department: str) -> bool:
    """Whether this replica writes the department's pool: not here."""
    return False


def on_feedback_received(
    store: CaseStore, policy: Callable[[], Policy], writes: Callable[[str], bool] = nowhere
) -> Handler[Batch[FeedbackReceived], tuple[Known, Policy], Changes]:
    """`writes` says of which departments this replica writes the pool (docs/adr/0015)."""

    async def load(batch: Batch[FeedbackReceived], session: Session) -> tuple[Known, Policy]:
        # one policy for the whole batch, however often it is reloaded meanwhile
        feedbacks, current = [received.event for received in batch.records], policy()
        outcomes = await store.outcomes([feedback.id for feedback in feedbacks], session)
        new = [feedback for feedback in feedbacks if feedback.id not in outcomes]
        if not new:
            return Known(outcomes, []), current
        since = min(one.occurred_at for one in new) - opening.LOOKS_BACK
        customers = opening.customers_of(new)
        cases = await store.cases_of(customers, since, session) if customers else []
        return Known(
            outcomes, cases, await _desks(store, filter(writes, current.departments), session)
        ), current

    def decide(batch: Batch[FeedbackReceived], loaded: tuple[Known, Policy]) -> Decision[Changes]:
        return decide_feedback(batch, *loaded)

    return Handler(load, decide, store.save, lambda feedback: opening.assess(feedback, policy()))


async def _desks(store: CaseStore, departments: Iterable[str], session: Session) -> dict[str, Desk]:
    """Where others wait, new cases queue up: the requests' turn looks at all of them in order."""
    if not (written := set(departments)):
        return {}
    written -= await store.queues(session)
    pools, absences = await store.pools(written, session), await store.absences(session)
    return {department: Desk(pools.get(department, {}), absences) for department in written}


def decide_feedback(batch: Batch[FeedbackReceived], known: Known, policy: Policy) -> Decision[Changes]:
    """Each feedback once: recorded, opening a case, or joining one; an id with other words is refused."""
    changes, events, refused = Changes(), [], []
    outcomes = dict(known.outcomes)
    cases = opening.KnownCases(known.cases, policy)
    stored = {file.case.id: file.case.version for file in known.cases}
    asked: dict[UUID, Ask] = {}
    for received in batch.records:
        feedback = received.event
        earlier = outcomes.get(feedback.id)
        if earlier is not None:
            if earlier.fingerprint != feedback.fingerprint:
                refused.append(_conflict(received))
            continue
        assessed: opening.Assessment | None = received.foreseen
        if assessed is None or assessed.policy is not policy:
            assessed = opening.assess(feedback, policy)
        outcome, step = _place(feedback, assessed, cases, batch.now)
        outcomes[feedback.id] = outcome
        changes.outcomes.append(outcome)
        if step is not None:
            before = cases.files.get(step.file.case.id)
            cases.put(step.file)
            _keep(changes, step, stored.get(step.file.case.id))
            events.append(tell(step, received.cause))
            if (reason := _due(before, step.file)) is not None:
                asked.setdefault(step.file.case.id, Ask(reason, received.cause))
    events += _give_or_ask(asked, changes, known.desks, policy, batch.now)
    return Decision(changes, events, refused)


def _due(before: CaseFile | None, after: CaseFile) -> AssignmentReason | None:
    """Why the pool has to look at a case: it is new, or evidence reopened it or made it graver."""
    if before is None:
        return "opened"
    if after.is_open and not before.is_open:
        return "reopened"
    return "escalated" if after.case.priority != before.case.priority else None


def _give_or_ask(
    asked: Mapping[UUID, Ask], changes: Changes, desks: Mapping[str, Desk], policy: Policy, now: datetime
) -> list[Emit]:
    """Owners for the batch's cases: at once where the department's desk is here, else by its writer."""
    events: list[Emit] = []
    here: defaultdict[str, list[CaseFile]] = defaultdict(list)
    for case_id, (reason, cause) in asked.items():
        file = changes.files[case_id]
        department = file.case.department
        if department in desks:
            here[department].append(file)
        else:
            events.append(ask_for_assignment(department, file.case, reason, now, cause))
    causes = {case_id: ask.cause for case_id, ask in asked.items()}
    for department, files in here.items():
        desk, cause = desks[department], causes[files[0].case.id]
        there = roster(policy, department, now, desk.absences)
        turn = Turn(there, desk.seats, files, [], cause, causes=causes)
        taken = take(turn, policy, now)
        _keep_turn(changes, turn, taken)
        events += taken.events
    return events


def _place(
    feedback: FeedbackReceived, assessed: opening.Assessment, cases: opening.KnownCases, now: datetime
) -> tuple[Outcome, Step | None]:
    if assessed.judgement is None:
        return Outcome(feedback.id, "recorded", feedback.fingerprint), None
    category = assessed.reading.category
    file, ended = cases.about(feedback, category), None
    if file is None and (ended := cases.ended_about(feedback, category)) is not None:
        file = ended if cases.may_come_back(ended, feedback) else None
    if file is not None:
        joined = Outcome(feedback.id, "joined", feedback.fingerprint, file.case.id)
        return joined, opening.join(file, feedback, assessed, now)
    step = opening.open_case(feedback, assessed, now, after=ended)
    return Outcome(feedback.id, "case", feedback.fingerprint, step.file.case.id), step


def _conflict(received: Received[FeedbackReceived]) -> Refusal:
    error = ConflictError("the same source and external_id were received before with another content")
    return Refusal(received.offset, received.cause.partition, error)


def _keep(changes: Changes, step: Step, before: int | None) -> None:
    changes.files[step.file.case.id] = step.file
    changes.before.setdefault(step.file.case.id, before)
    changes.entries.append(step.entry)


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
        # other people can do other things: their queue is looked at, whatever room they have
        others = {one.event.department for one in batch.records if one.event.case_id is None}
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
            wanted = search(there, seats, found, current.load, others=department in others)
            waiting = [] if wanted.is_idle else await store.waiting(wanted, QUEUE_PAGE, session)
            turns.append(Turn(there, seats, found, waiting, causes[department]))
        return turns, current

    return Handler(load, lambda batch, loaded: decide_assignments(batch, *loaded), store.save)


def decide_assignments(
    batch: Batch[AssignmentRequested], turns: list[Turn], policy: Policy
) -> Decision[Changes]:
    """Every department of the batch gives out what waits, by one writer at a time; one that lets a case go
    and one that takes it may both be among them."""
    changes, events = Changes(), []
    for turn in turns:
        for file in (*turn.asked, *turn.waiting):
            changes.before.setdefault(file.case.id, file.case.version)
        taken = take(turn.after(changes.files), policy, batch.now)
        events += taken.events
        if max(len(turn.asked), len(turn.waiting)) >= QUEUE_PAGE and taken.done.files:  # there may be more
            events.append(ask_for_roster(turn.roster.department, policy.version, batch.now, turn.cause))
        _keep_turn(changes, turn, taken)
    return Decision(changes, events)


def _keep_turn(changes: Changes, turn: Turn, taken: Taken) -> None:
    """A turn that changed a case writes its pool, even with the loads of before: of two turns at once, which
    have not seen each other's cases, one then runs again."""
    changes.files |= taken.done.files
    changes.entries += [step.entry for step in taken.done.steps]
    if taken.done.files:
        changes.pools[turn.roster.department] = taken.seats


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
        after = step.file if step else remember(file, escalation)
        if after is file:
            continue
        case = after.case
        current[case.id] = changes.files[case.id] = after
        changes.before[case.id] = files[case.id].case.version
        if step is not None:
            changes.entries.append(step.entry)
            events.append(tell(step, cause))
            events.append(ask_for_assignment(case.department, case, "escalated", batch.now, cause))
    return Decision(changes, events)
