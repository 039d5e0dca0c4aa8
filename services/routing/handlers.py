"""Kafka in: feedback opens or joins cases, requests are answered from the pools, escalations are obeyed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from uuid import UUID

from services.routing.domain import opening
from services.routing.domain.arriving import Desk, Known, decide_feedback
from services.routing.domain.assignment import gone
from services.routing.domain.case_file import CaseFile
from services.routing.domain.changes import Changes
from services.routing.domain.escalation import decide_escalations, orders
from services.routing.domain.giving import QUEUE_PAGE, decide_assignments
from services.routing.domain.queue import search
from services.routing.domain.roster import heir, is_known, roster, unknown_in
from services.routing.domain.turn import Turn
from services.routing.store import CaseStore
from shared.events import AssignmentRequested, Case, Event, FeedbackReceived
from shared.handler import Batch, Cause, Handler
from shared.mongo import Session
from shared.policy import Policy


def nowhere(department: str) -> bool:
    """Whether this replica writes the department's pool: not here."""
    return False


def on_feedback_received(
    store: CaseStore,
    policy: Callable[[], Policy],
    seal: Callable[[Case], Case],
    writes: Callable[[str], bool] = nowhere,
) -> Handler[Batch[FeedbackReceived], tuple[Known, Policy], Changes]:
    """`seal`: of a new case (shared/sealing.py); `writes` says of which departments this replica writes the
    pool (docs/adr/0015)."""

    async def load(batch: Batch[FeedbackReceived], session: Session) -> tuple[Known, Policy]:
        # one policy for the whole batch, however often it is reloaded meanwhile
        feedbacks, current = [received.event for received in batch.records], policy()
        outcomes = await store.outcomes([feedback.id for feedback in feedbacks], session)
        new = [feedback for feedback in feedbacks if feedback.id not in outcomes]
        if not new:
            return Known(outcomes, [], seal), current
        customers, opened = opening.customers_of(new), opening.may_have_opened(new, current)
        cases = await store.cases_of(customers, opened, session) if customers else []
        desks = await _desks(store, filter(writes, current.departments), session)
        return Known(outcomes, cases, seal, desks), current

    return Handler(
        load,
        lambda batch, loaded: decide_feedback(batch, *loaded),
        store.save,
        lambda feedback: opening.assess(feedback, policy()),
    )


async def _desks(store: CaseStore, departments: Iterable[str], session: Session) -> dict[str, Desk]:
    """Where others wait, new cases queue up: the requests' turn looks at all of them in order."""
    if not (written := set(departments)):
        return {}
    written -= await store.queues(session)
    pools, absences = await store.pools(written, session), await store.absences(session)
    return {department: Desk(pools.get(department, {}), absences) for department in written}


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
            there = roster(current, department, batch.now, absences)
            left = gone(there, seats)
            if unknown_in(current, there, left, found) and await store.newest_policy(session) not in (
                "", current.version,
            ):  # fmt: skip
                # another replica has a newer policy: whom this one does not know may have come, not left
                found, left = [file for file in found if is_known(file, there)], []
            elif department not in current.departments:
                found += await store.open_cases_in(department, QUEUE_PAGE, session)
                turns.append(Turn(there, seats, found, [], causes[department], heir(current)))
                continue
            if left:
                found += await store.open_cases_of_owners(department, left, QUEUE_PAGE, session)
            wanted = search(there, seats, found, current.load, others=department in others)
            waiting = [] if wanted.is_idle else await store.waiting(wanted, QUEUE_PAGE, session)
            turns.append(Turn(there, seats, found, waiting, causes[department]))
        return turns, current

    return Handler(load, lambda batch, loaded: decide_assignments(batch, *loaded), store.save)


def on_escalation_raised(
    store: CaseStore, policy: Callable[[], Policy]
) -> Handler[Batch[Event], dict[UUID, CaseFile], Changes]:
    async def load(batch: Batch[Event], session: Session) -> dict[UUID, CaseFile]:
        return await store.files({escalation.case_id for _, escalation in orders(batch)}, session)

    return Handler(load, lambda batch, files: decide_escalations(batch, files, policy()), store.save)
