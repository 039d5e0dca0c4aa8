"""What a batch of feedback does: each is recorded, opens a case or joins one, and cases get their owners at
once where their department's desk is here (docs/adr/0015-owners-at-once-where-the-pool-is-written.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.routing.domain.case_file import CaseFile, Step, ask_for_assignment
from services.routing.domain.changes import Changes, Outcome
from services.routing.domain.opening import Assessment, KnownCases, Work, assess, join, open_case
from services.routing.domain.pool import Seat
from services.routing.domain.roster import Absence, roster
from services.routing.domain.turn import Turn, take
from shared.errors import ConflictError
from shared.events import AssignmentReason, Case, FeedbackReceived
from shared.handler import Batch, Cause, Decision, Emit, Received, Refusal
from shared.policy import Policy


class Desk(NamedTuple):
    """A department whose pool this replica writes and whose queue is empty: its turn is taken at once."""

    seats: dict[str, Seat]
    absences: Mapping[str, Absence]


class Known(NamedTuple):
    """What is stored about a batch of feedback: earlier outcomes, cases that could be joined, and desks by
    department. `seal`: how a new case keeps what its customer said."""

    outcomes: dict[UUID, Outcome]
    cases: list[CaseFile]
    seal: Callable[[Case], Case]
    desks: Mapping[str, Desk] = {}


class Ask(NamedTuple):
    """Why a department's pool has to look at a case, and what that is due to."""

    reason: AssignmentReason
    cause: Cause


def decide_feedback(batch: Batch[FeedbackReceived], known: Known, policy: Policy) -> Decision[Changes]:
    """Each feedback once; an id with other words than before is refused."""
    changes, refused = Changes(), []
    outcomes = dict(known.outcomes)
    cases = KnownCases(known.cases, policy)
    stored = {file.case.id: file.case.version for file in known.cases}
    asked: dict[UUID, Ask] = {}
    for received in batch.records:
        feedback = received.event
        earlier = outcomes.get(feedback.id)
        if earlier is not None:
            if earlier.fingerprint != feedback.fingerprint:
                refused.append(_conflict(received))
            continue
        assessed: Assessment | None = received.foreseen
        if assessed is None or assessed.policy is not policy:
            assessed = assess(feedback, policy)
        outcome = Outcome(feedback.id, "recorded", feedback.fingerprint)
        if assessed.work is not None:
            before, step = _place(feedback, assessed.work, cases, known.seal, policy, batch.now)
            cases.put(step.file)
            case_id = step.entry.case_id
            outcome = Outcome(feedback.id, "joined" if before else "case", feedback.fingerprint, case_id)
            changes.add(step, received.cause, stored.get(case_id))
            if (reason := _due(before, step.file)) is not None:
                asked.setdefault(case_id, Ask(reason, received.cause))
        outcomes[feedback.id] = outcome
        changes.outcomes.append(outcome)
    requests = _give_or_ask(asked, changes, known.desks, policy, batch.now)
    return Decision(changes, [*changes.events(), *requests], refused)


def _place(
    feedback: FeedbackReceived,
    work: Work,
    cases: KnownCases,
    seal: Callable[[Case], Case],
    policy: Policy,
    now: datetime,
) -> tuple[CaseFile | None, Step]:
    """The case that it joins as it was, or None, and the case with it."""
    ended = None
    if alike := cases.known(feedback, work.reading.category):
        file = cases.about(feedback, alike)
        if file is None and (ended := cases.ended_about(feedback, alike)) is not None:
            file = ended if cases.may_come_back(ended, feedback) else None
        if file is not None:
            return file, join(file, feedback, work, policy, now)
    return None, open_case(feedback, work, seal, policy, now, after=ended)


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
    """Owners for the batch's cases: at once where the department's desk is here, else by its writer, who has
    to be asked."""
    requests: list[Emit] = []
    here: defaultdict[str, list[CaseFile]] = defaultdict(list)
    for case_id, (reason, cause) in asked.items():
        file = changes.files[case_id]
        department = file.case.department
        if department in desks:
            here[department].append(file)
        else:
            requests.append(ask_for_assignment(department, file.case, reason, now, cause))
    causes = {case_id: ask.cause for case_id, ask in asked.items()}
    for department, files in here.items():
        desk, cause = desks[department], causes[files[0].case.id]
        there = roster(policy, department, now, desk.absences)
        turn = Turn(there, desk.seats, files, [], cause, causes=causes)
        requests += take(turn, changes, policy, now)
    return requests


def _conflict(received: Received[FeedbackReceived]) -> Refusal:
    error = ConflictError("the same source and external_id were received before with another content")
    return Refusal(received.offset, received.cause.partition, error)
