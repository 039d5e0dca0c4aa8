"""Feedback in: record it, open a case, or join one; with the words, the rule and the policy that decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from services.routing.domain.case_file import CaseFile, Step, advance, begin
from shared import ids
from shared.events import Case, Change, FeedbackReceived, Severity, Urgency
from shared.policy import Category, Context, Policy, WordMatch, feedback_context

ROUTING = "routing"
EVIDENCE_LIMIT = 1000
"""Feedbacks that one case holds at most; the next one opens another, so that no case outgrows a record."""


class Reading(NamedTuple):
    """What the policy sees in a feedback: its category, and how that was found."""

    category: str
    found: WordMatch | None
    context: Context

    @property
    def why(self) -> str:
        """How the category came to be, in words."""
        if self.found is None:
            return f"category {self.category} as given" if self.category else "no category word found"
        words = ", ".join(f"'{word}'" for word in self.found.words)
        return f"category {self.category} by {words}"


def read(feedback: FeedbackReceived, policy: Policy) -> Reading:
    """A given category is kept as it is; a missing one is found by the policy's words."""
    if feedback.category:
        return Reading(feedback.category, None, feedback_context(feedback))
    found = policy.words.match(feedback.subject, feedback.text)
    category = found.category if found else ""
    return Reading(category, found, feedback_context(feedback, category=category))


def opens(reading: Reading, policy: Policy) -> bool:
    """Whether this feedback is somebody's work (`cases.open_when`)."""
    return policy.open_when.evaluate(reading.context)


def open_case(feedback: FeedbackReceived, reading: Reading, policy: Policy, now: datetime) -> Step:
    """Version 1 of the case that a feedback opens: department, priority, accountable, and why."""
    place = policy.rules.index(reading.context)
    assert place is not None, "the last rule has no condition"
    rule = policy.routing[place]
    department = policy.departments[rule.assign.department]
    severity, urgency = _harm(feedback, reading, policy)
    raised = sum(condition.evaluate(reading.context) for condition in policy.raise_for)
    language = "zh" if feedback.language == "zh" else "en"
    because = rule.because.in_language(language) if rule.because else rule.name
    reason = f"{because}: rule '{rule.name}', {reading.why}"
    case = Case(
        id=ids.document_id(feedback.received_at, feedback.id),
        reference=ids.reference(feedback.id),
        version=1,
        status="new",
        priority=policy.priority(severity, urgency, raised),
        severity=severity,
        urgency=urgency,
        category=reading.category,
        kind=feedback.kind,
        channel=feedback.channel,
        source=feedback.source,
        language=feedback.language,
        touchpoint=feedback.touchpoint,
        department=rule.assign.department,
        accountable=department.head or department.supervisor or "",
        skills=tuple(rule.assign.skills),
        customer=feedback.customer,
        product=feedback.product,
        supplier_id=feedback.supplier_id,
        subject=feedback.subject or feedback.text[:120],
        feedback_ids=(feedback.id,),
        policy_version=policy.version,
        rule=rule.name,
        reason=reason,
        opened_at=feedback.occurred_at,
        updated_at=now,
        unanswered_since=feedback.occurred_at,
    )
    data = {"words": list(reading.found.words)} if reading.found else {}
    change = Change(
        type="opened", actor=ROUTING, at=now, reason=reason, to_status="new",
        feedback_id=feedback.id, data=data,
    )  # fmt: skip
    return begin(case, change)


def join(file: CaseFile, feedback: FeedbackReceived, now: datetime) -> Step:
    """The case with one more feedback about the same matter as evidence."""
    case = file.case
    at = max(now, case.updated_at)
    change = Change(type="joined", actor=ROUTING, at=at, feedback_id=feedback.id, reason="same matter")
    waiting_since = case.unanswered_since or feedback.occurred_at
    return advance(
        file, change, feedback_ids=(*case.feedback_ids, feedback.id), unanswered_since=waiting_since
    )


class OpenCases:
    """Open cases by what makes two feedbacks one matter (`cases.join.same`)."""

    def __init__(self, files: Iterable[CaseFile], policy: Policy) -> None:
        self._within = timedelta(seconds=policy.cases.join.within.seconds)
        self._same = policy.cases.join.same
        self._by_matter: defaultdict[tuple[str, ...], list[UUID]] = defaultdict(list)
        self.files: dict[UUID, CaseFile] = {}
        for file in files:
            self.put(file)

    def put(self, file: CaseFile) -> None:
        """Add a case, or its next version."""
        if file.case.id not in self.files and (matter := self._matter_of(file.case)):
            self._by_matter[matter].append(file.case.id)
        self.files[file.case.id] = file

    def about(self, feedback: FeedbackReceived, category: str) -> CaseFile | None:
        """The newest open case that this feedback belongs to, within the policy's window; else None."""
        matter = tuple(_value(feedback, name, category) for name in self._same)
        if not feedback.customer.id:
            return None
        for case_id in reversed(self._by_matter.get(matter, [])):
            file = self.files[case_id]
            apart = abs(feedback.occurred_at - file.case.opened_at)
            if file.is_open and apart <= self._within and len(file.case.feedback_ids) < EVIDENCE_LIMIT:
                return file
        return None

    def _matter_of(self, case: Case) -> tuple[str, ...]:
        if not case.customer.id:
            return ()
        return tuple(_value(case, name, case.category) for name in self._same)


def customers_of(feedbacks: Sequence[FeedbackReceived]) -> list[str]:
    """Whose open cases a batch may join."""
    return list({feedback.customer.id: None for feedback in feedbacks if feedback.customer.id})


def _value(of: FeedbackReceived | Case, name: str, category: str) -> str:
    if name == "category":
        return category
    value: object = of
    for part in name.split("."):
        value = getattr(value, part)
    return str(value)


def _harm(feedback: FeedbackReceived, reading: Reading, policy: Policy) -> tuple[Severity, Urgency]:
    category = _category(reading.category, policy.categories)
    severity: Severity = feedback.severity or (category.severity if category else None) or "medium"
    urgency: Urgency = feedback.urgency or (category.urgency if category else None) or "medium"
    return severity, urgency


def _category(name: str, categories: Mapping[str, Category]) -> Category | None:
    """The category or its nearest named ancestor: logistics.damage.glass is a logistics.damage."""
    while name and name not in categories:
        name = name.rpartition(".")[0]
    return categories.get(name)
