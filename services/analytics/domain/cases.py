"""Case facts: one per case, always that of its highest version; and the word of cases about feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import field

from services.analytics.domain import feedback
from services.analytics.domain.facts import Outcome
from services.analytics.domain.feedback import FeedbackFact, Link
from services.analytics.domain.rollups import Fact, Measure, correct
from shared.events import Case, CaseChanged, Status

COLLECTION = "case_facts"
DONE: frozenset[Status] = frozenset({"resolved", "closed", "merged", "cancelled"})


class CaseFact(Fact, frozen=True, kw_only=True):
    """A case as figures need it; nothing that names a person."""

    id: UUID = field(name="_id")
    version: int
    reference: str
    status: Status
    owner: str
    customer_id: str
    feedback_ids: tuple[UUID, ...]
    cause_code: str
    reopened: int
    opened_at: datetime
    first_reply_at: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None

    @property
    def link(self) -> Link:
        """What the case says about each feedback that it lists."""
        return Link(self.d["department"], self.d["category"], self.status == "merged")


class Known(NamedTuple):
    """What is stored about the cases of a batch, and about the feedback that it touches."""

    cases: Mapping[UUID, CaseFact]
    feedback: Mapping[UUID, FeedbackFact]


def newest(events: Sequence[CaseChanged], known: Mapping[UUID, CaseFact]) -> dict[UUID, CaseFact]:
    """The facts that replace what is stored: the highest version of each case, where it is higher."""
    found: dict[UUID, Case] = {}
    for event in events:
        case = event.case
        stored, seen = known.get(case.id), found.get(case.id)
        if (stored is None or case.version > stored.version) and (
            seen is None or case.version > seen.version
        ):
            found[case.id] = case
    return {identity: _fact(case) for identity, case in found.items()}


def touched(old: CaseFact | None, new: CaseFact) -> set[UUID]:
    """The feedback about which the case says something else now than it did before."""
    before = set(old.feedback_ids) if old else set()
    now = set(new.feedback_ids)
    return before ^ now if old and old.link == new.link else before | now


def take(events: Sequence[CaseChanged], known: Known) -> Outcome:
    """Highest version wins; feedback that changes hands or category is counted anew."""
    outcome = Outcome()
    cases, told = dict(known.cases), dict(known.feedback)
    for identity, new in newest(events, known.cases).items():
        old = known.cases.get(identity)
        cases[identity] = new
        correct(outcome.deltas, old, new)
        listed = frozenset(new.feedback_ids)
        for feedback_id in touched(old, new):
            before = told.get(feedback_id)
            link = new.link if feedback_id in listed else None
            told[feedback_id] = feedback.relink(before, feedback_id, identity, link)
            correct(outcome.deltas, before, told[feedback_id])
    outcome.keep(COLLECTION, known.cases, cases)
    outcome.keep(feedback.COLLECTION, known.feedback, told)
    return outcome


def _fact(case: Case) -> CaseFact:
    measures = {"case_volume": Measure(case.opened_at, {"n": 1})}
    if case.status not in DONE:
        measures["backlog"] = Measure(case.opened_at, {"n": 1})
    return CaseFact(
        id=case.id,
        version=case.version,
        reference=case.reference,
        status=case.status,
        owner=case.owner,
        customer_id=case.customer.id,
        feedback_ids=case.feedback_ids,
        cause_code=case.cause_code,
        reopened=case.reopened,
        opened_at=case.opened_at,
        first_reply_at=case.first_reply_at,
        resolved_at=case.resolved_at,
        closed_at=case.closed_at,
        d=_dimensions(case),
        m=measures,
    )


def _dimensions(case: Case) -> dict[str, str]:
    return {
        "channel": case.channel,
        "kind": case.kind,
        "category": case.category,
        "department": case.department,
        "priority": case.priority,
        "source": case.source,
        "region": case.customer.region,
        "tier": case.customer.tier,
    }
