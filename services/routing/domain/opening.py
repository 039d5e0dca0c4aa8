"""Feedback in: record it, open a case, join or reopen one; with the words, the rule and the policy that
decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from services.routing.domain.case_file import CaseFile, Step, advance, begin
from services.routing.domain.lifecycle import may_reopen, reopened
from shared import ids
from shared.clock import in_milliseconds
from shared.events import Case, Change, FeedbackReceived
from shared.policy import SEVERITIES, URGENCIES, Judgement, Policy, Reading, judge, read_if_it_opens, wording

ROUTING = "routing"
ENDED = frozenset({"resolved", "closed"})
LOOKS_BACK = timedelta(days=366)
"""A case that was opened longer ago is not linked to any more."""
EVIDENCE_LIMIT = 1000
"""Feedbacks that one case holds at most; the next one opens another, so that no case outgrows a record."""


class Assessment(NamedTuple):
    """All that a policy says of a feedback by itself. `work` is None where it is only recorded."""

    policy: Policy
    work: Work | None


class Work(NamedTuple):
    """A feedback that somebody has to look at: what was read in it, and how it is judged."""

    reading: Reading
    judgement: Judgement


def assess(feedback: FeedbackReceived, policy: Policy) -> Assessment:
    """Whether it is somebody's work, of which category, and whose."""
    reading = read_if_it_opens(feedback, policy)
    work = Work(reading, judge(feedback, reading, policy)) if reading else None
    return Assessment(policy, work)


def open_case(
    feedback: FeedbackReceived,
    work: Work,
    seal: Callable[[Case], Case],
    policy: Policy,
    now: datetime,
    after: CaseFile | None = None,
) -> Step:
    """Version 1 of the case that a feedback opens: department, priority, accountable, and why.

    `seal`: how it keeps what its customer said (shared/sealing.py). `after`: a case about the same matter
    that ended too long ago to be reopened; the two are linked.
    """
    reading, judgement = work
    reason = wording.reason(reading, judgement, wording.reader_of(feedback.language))
    said = in_milliseconds(feedback.occurred_at)
    case = Case(
        id=ids.document_id(feedback.received_at, feedback.id),
        reference=ids.reference(feedback.id),
        version=1,
        status="new",
        priority=judgement.priority,
        severity=judgement.severity.value,
        urgency=judgement.urgency.value,
        category=reading.category,
        kind=feedback.kind,
        channel=feedback.channel,
        source=feedback.source,
        language=feedback.language,
        touchpoint=feedback.touchpoint,
        department=judgement.department,
        accountable=judgement.accountable,
        consulted=judgement.raci.consulted,
        informed=judgement.raci.informed,
        skills=tuple(judgement.rule.assign.skills),
        customer=feedback.customer,
        product=feedback.product,
        supplier_id=feedback.supplier_id,
        subject=feedback.subject or feedback.text[:120],
        sealed=feedback.sealed,
        feedback_ids=(feedback.id,),
        linked_to=after.case.id if after else None,
        policy_version=policy.version,
        rule=judgement.rule.name,
        reason=reason,
        opened_at=said,
        updated_at=now,
        unanswered_since=said,
    )
    change = Change(
        type="opened", actor=ROUTING, at=now, reason=reason, to_status="new",
        feedback_id=feedback.id, data=wording.details(reading, judgement),
    )  # fmt: skip
    return begin(seal(case), change, raised=len(judgement.raised))


def join(file: CaseFile, feedback: FeedbackReceived, work: Work, policy: Policy, now: datetime) -> Step:
    """The case with one more feedback about the same matter as evidence, which may make it graver.

    An ended case is reopened by what was said after its resolution; what was said before is evidence only.
    """
    case = file.case
    graver, books = _graver(file, work.judgement, policy)
    change = Change(
        type="joined", actor=ROUTING, at=max(now, case.updated_at), feedback_id=feedback.id,
        reason="same matter", data={name: [getattr(case, name), value] for name, value in graver.items()},
    )  # fmt: skip
    evidence = {"feedback_ids": (*case.feedback_ids, feedback.id), **graver}
    said = in_milliseconds(feedback.occurred_at)
    if file.is_open:
        return advance(file, change, books=books, unanswered_since=case.unanswered_since or said, **evidence)
    if said <= (case.resolved_at or case.updated_at):
        return advance(file, change, books=books, **evidence)
    again = structs.replace(change, type="reopened", reason="the same matter again")
    return reopened(file, again, books=books, unanswered_since=case.unanswered_since or said, **evidence)


def _graver(file: CaseFile, judgement: Judgement, policy: Policy) -> tuple[dict[str, str], dict[str, int]]:
    """The higher of what the case has and what the new feedback says, where it is higher; and the books."""
    case, raised = file.case, max(file.books.raised, len(judgement.raised))
    severity = min(case.severity, judgement.severity.value, key=SEVERITIES.index)
    urgency = min(case.urgency, judgement.urgency.value, key=URGENCIES.index)
    priority = min(case.priority, policy.priority(severity, urgency, raised))
    found = {"severity": severity, "urgency": urgency, "priority": priority}
    return {name: value for name, value in found.items() if value != getattr(case, name)}, {"raised": raised}


class KnownCases:
    """Cases by what makes two feedbacks one matter (`cases.join.same`)."""

    def __init__(self, files: Iterable[CaseFile], policy: Policy) -> None:
        self._within = timedelta(seconds=policy.cases.join.within.seconds)
        self._matter = _matter_by(policy.cases.join.same)
        self._policy = policy
        self._by_matter: defaultdict[tuple[object, ...], list[UUID]] = defaultdict(list)
        self.files: dict[UUID, CaseFile] = {}
        for file in files:
            self.put(file)

    def put(self, file: CaseFile) -> None:
        """Add a case, or its next version."""
        case = file.case
        if case.id not in self.files and case.customer.id:  # nobody's matters are all different ones
            self._by_matter[self._matter(case, case.category)].append(case.id)
        self.files[case.id] = file

    def known(self, feedback: FeedbackReceived, category: str) -> Sequence[CaseFile]:
        """Cases about the same matter, newest first; none for a customer whom nobody knows."""
        if not feedback.customer.id:
            return ()
        ids = self._by_matter.get(self._matter(feedback, category))
        return [self.files[case_id] for case_id in reversed(ids)] if ids else ()

    def about(self, feedback: FeedbackReceived, alike: Iterable[CaseFile]) -> CaseFile | None:
        """The newest open case of these that this feedback belongs to, within the policy's window; else
        None."""
        return next((file for file in alike if self._joins(file, feedback)), None)

    def ended_about(self, feedback: FeedbackReceived, alike: Iterable[CaseFile]) -> CaseFile | None:
        """The newest resolved or closed case of these that was opened before this was said."""
        said = feedback.occurred_at
        return next((f for f in alike if f.case.status in ENDED and f.case.opened_at <= said), None)

    def may_come_back(self, file: CaseFile, feedback: FeedbackReceived) -> bool:
        """Whether an ended case takes this feedback as evidence: within the policy's `reopen_within`."""
        room = len(file.case.feedback_ids) < EVIDENCE_LIMIT
        return room and may_reopen(file.case, feedback.occurred_at, self._policy)

    def _joins(self, file: CaseFile, feedback: FeedbackReceived) -> bool:
        apart = abs(feedback.occurred_at - file.case.opened_at)
        return file.is_open and apart <= self._within and len(file.case.feedback_ids) < EVIDENCE_LIMIT


def customers_of(feedbacks: Sequence[FeedbackReceived]) -> list[str]:
    """Whose cases a batch may join."""
    return list({feedback.customer.id: None for feedback in feedbacks if feedback.customer.id})


def may_have_opened(feedbacks: Sequence[FeedbackReceived], policy: Policy) -> tuple[datetime, datetime]:
    """The earliest and the latest moment at which a case was opened that a batch may join or be linked to."""
    said = [feedback.occurred_at for feedback in feedbacks]
    within = timedelta(seconds=policy.cases.join.within.seconds)
    return min(said) - LOOKS_BACK, max(said) + within


def _matter_by(same: Sequence[str]) -> Callable[[FeedbackReceived | Case, str], tuple[object, ...]]:
    """What a feedback or case is about: the values of the fields `same`, with a category that may have been
    found by words."""
    by_category = "category" in same
    fields = [attrgetter(name) for name in same if name != "category"]

    def matter(of: FeedbackReceived | Case, category: str) -> tuple[object, ...]:
        values = tuple([value(of) for value in fields])
        return (category, *values) if by_category else values

    return matter
