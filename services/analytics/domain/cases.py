"""Case facts: one per case, always that of its highest version; and the word of cases about feedback.

What sla says about a case (that it was escalated) is in the same document; either side may come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field, structs

from services.analytics.domain import feedback, joints
from services.analytics.domain.facts import Outcome
from services.analytics.domain.feedback import FeedbackFact, Link
from services.analytics.domain.joints import JointFact, Part, Told
from services.analytics.domain.rows import Fact, Measure, Row, correct
from services.analytics.domain.tallies import CASE_FACTS
from shared.events import Case, CaseChanged, Status

COLLECTION = CASE_FACTS
DONE: frozenset[Status] = frozenset({"resolved", "closed", "merged", "cancelled"})
PAUSED: frozenset[Status] = frozenset({"pending_customer", "pending_internal"})
REOPENED_WITHIN = timedelta(days=30)


class State(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The case as of its highest version; nothing that names a person."""

    version: int
    reference: str
    status: Status
    labels: dict[str, str]
    customer_id: str = ""
    feedback_ids: tuple[UUID, ...] = ()
    cause_code: str = ""
    opened_at: datetime
    first_reply_at: datetime | None = None
    resolved_at: datetime | None = None
    reopened_at: datetime | None = None
    closed_at: datetime | None = None
    satisfied: bool | None = None

    @property
    def link(self) -> Link:
        """What the case says about each feedback that it lists."""
        labels = self.labels
        return Link(
            labels["department"], labels["category"], self.status == "merged",
            labels["owner"], labels["priority"], labels["severity"],
        )  # fmt: skip


class Contact(Struct, frozen=True, order=True, array_like=True):
    """Feedback that came to a case which was there already; when, and in which version."""

    version: int
    at: datetime


class CaseFact(Fact, frozen=True, kw_only=True):
    """`state` is None while only sla has spoken of the case; `transfers` are versions, `open` for an index.

    A transfer and a further contact are seen in their own events only, so late older versions still add
    theirs.
    """

    id: UUID = field(name="_id")
    state: State | None = None
    transfers: tuple[int, ...] = ()
    contacts: tuple[Contact, ...] = ()
    escalated: bool = False
    open: bool = False

    @property
    def version(self) -> int:
        return self.state.version if self.state else 0


class Known(NamedTuple):
    """What is stored about the cases of a batch, and about the feedback and joints that they touch.

    `newest` is what `newest` has said of the batch, when it was asked already.
    """

    cases: Mapping[UUID, CaseFact]
    feedback: Mapping[UUID, FeedbackFact]
    joints: Mapping[str, JointFact]
    newest: Mapping[UUID, CaseFact] | None = None


def newest(events: Sequence[CaseChanged], known: Mapping[UUID, CaseFact]) -> dict[UUID, CaseFact]:
    """The facts that replace what is stored: the highest version of each case, all transfers and contacts."""
    found: dict[UUID, CaseFact] = {}
    highest: dict[UUID, Case] = {}
    for event in events:
        case = event.case
        fact = found.get(case.id) or known.get(case.id) or CaseFact(id=case.id)
        more = _gathered(fact, event)
        if more is not fact:
            fact = found[case.id] = more
        seen = highest.get(case.id)
        if case.version > (seen.version if seen else fact.version):
            highest[case.id] = case
            found[case.id] = fact
    for identity, case in highest.items():
        found[identity] = structs.replace(found[identity], state=_state(case))
    return {identity: counted(fact) for identity, fact in found.items()}


def _gathered(fact: CaseFact, event: CaseChanged) -> CaseFact:
    """With what this event alone tells; the same fact where it tells nothing new."""
    transfers, contacts = set(fact.transfers), set(fact.contacts)
    for version, change in event.versions():
        if change.type == "transferred":
            transfers.add(version)
        elif change.feedback_id is not None and change.type != "opened":
            contacts.add(Contact(version, change.at))
    if len(transfers) == len(fact.transfers) and len(contacts) == len(fact.contacts):
        return fact
    return structs.replace(fact, transfers=tuple(sorted(transfers)), contacts=tuple(sorted(contacts)))


def touched(old: CaseFact | None, new: CaseFact) -> set[UUID]:
    """The feedback about which the case says something else now than it did before."""
    before, now = old.state if old else None, new.state
    listed = set(before.feedback_ids) if before else set()
    lists = set(now.feedback_ids) if now else set()
    return listed ^ lists if before and now and before.link == now.link else listed | lists


def told(old: CaseFact | None, new: CaseFact) -> list[Told]:
    """What the case is a part of: the thread of its customer and category, and no more the one of before."""
    before, now = _part(old), _part(new)
    if before and now and before.joint != now.joint:
        return [before._replace(part=None), now]
    return [now] if now else []


def take(events: Sequence[CaseChanged], known: Known) -> Outcome:
    """Highest version wins; feedback that changes hands or category is counted anew."""
    outcome = Outcome()
    cases, said, parts = dict(known.cases), dict(known.feedback), list[Told]()
    latest = newest(events, known.cases) if known.newest is None else known.newest
    for identity, new in latest.items():
        old = known.cases.get(identity)
        cases[identity] = new
        correct(outcome.rows, old, new)
        parts += told(old, new)
        listed = frozenset(new.state.feedback_ids) if new.state else frozenset()
        for feedback_id in touched(old, new):
            link = new.state.link if new.state and feedback_id in listed else None
            said[feedback_id] = feedback.relink(said.get(feedback_id), feedback_id, identity, link)
    for feedback_id, fact in said.items():
        if fact is not known.feedback.get(feedback_id):
            correct(outcome.rows, known.feedback.get(feedback_id), fact)
    joints.merge(known.joints, parts, outcome)
    outcome.keep(COLLECTION, known.cases, cases)
    outcome.keep(feedback.COLLECTION, known.feedback, said)
    return outcome


def escalate(ids: Iterable[UUID], known: Mapping[UUID, CaseFact], outcome: Outcome) -> None:
    """Note that cases were escalated; the second time changes nothing."""
    latest = dict(known)
    for identity in ids:
        old = latest.get(identity)
        if old is None or not old.escalated:
            latest[identity] = counted(structs.replace(old or CaseFact(id=identity), escalated=True))
            correct(outcome.rows, old, latest[identity])
    outcome.keep(COLLECTION, known, latest)


def counted(fact: CaseFact) -> CaseFact:
    """The fact with its labels and measures worked out."""
    if fact.state is None:
        return fact
    is_open = fact.state.status not in DONE
    return structs.replace(fact, d=fact.state.labels, m=tuple(_measures(fact, fact.state)), open=is_open)


def aged(fact: CaseFact, now: datetime) -> Iterator[Row]:
    """The case that is open now as a row of its age in whole seconds, which is its own bin."""
    if fact.state is not None and fact.open:
        age = max(0, (now - fact.state.opened_at) // timedelta(seconds=1))
        yield Row(1, Measure("opened", fact.state.opened_at, {"open": 1}, {"age": (age, age)}), fact.d)


def _measures(fact: CaseFact, state: State) -> Iterator[Measure]:
    flags = {
        "open": state.status not in DONE,
        "paused": state.status in PAUSED,
        "escalated": fact.escalated,
        "transferred": bool(fact.transfers),
    }
    yield _flagged("opened", state.opened_at, flags)
    if state.resolved_at is not None:
        back = state.reopened_at
        reopened = back is not None and back - state.resolved_at <= REOPENED_WITHIN
        yield _flagged("resolved", state.resolved_at, {"reopened": reopened})
        if not state.customer_id:
            yield _flagged("first_contact", state.resolved_at, {"first": _said_once(fact, state)})
    if state.closed_at is not None and state.status == "closed":
        flags = {"rated": state.satisfied is not None, "satisfied": bool(state.satisfied)}
        yield _flagged("closed", state.closed_at, flags)


def _flagged(tally: str, at: datetime, flags: Mapping[str, bool]) -> Measure:
    return Measure(tally, at, {"n": 1} | {name: 1 for name, true in flags.items() if true})


def _said_once(fact: CaseFact, state: State) -> bool:
    """One contact, and no reopening soon after it. What came with a later reopening is another matter: a
    figure that was said to be final stays as it is."""
    contacts, back = len(state.feedback_ids), state.reopened_at
    if back is not None and state.resolved_at is not None:
        if back - state.resolved_at <= joints.REPEAT_WITHIN:
            return False
        contacts -= sum(contact.at >= back for contact in fact.contacts)
    return contacts == 1


def _part(fact: CaseFact | None) -> Told | None:
    state = fact.state if fact else None
    if fact is None or state is None or not state.customer_id:
        return None
    part = Part("case", state.opened_at, 1 if _said_once(fact, state) else 2, state.labels, state.resolved_at)
    return Told(joints.thread(state.customer_id, state.labels["category"]), joints.name_of(fact.id), part)


def _state(case: Case) -> State:
    resolved = [hold for hold in case.holds if hold.status == "resolved"]
    return State(
        version=case.version,
        reference=case.reference,
        status=case.status,
        labels=_labels(case),
        customer_id=case.customer.id,
        feedback_ids=case.feedback_ids,
        cause_code=case.cause_code,
        opened_at=case.opened_at,
        first_reply_at=case.first_reply_at,
        resolved_at=resolved[0].start if resolved else case.resolved_at,
        reopened_at=resolved[0].end if resolved else None,
        closed_at=case.closed_at,
        satisfied=case.satisfied,
    )


def _labels(case: Case) -> dict[str, str]:
    return {
        "channel": case.channel,
        "kind": case.kind,
        "category": case.category,
        "product_model": case.product.model,
        "product_batch": case.product.batch,
        "sku": case.product.sku,
        "department": case.department,
        "owner": case.owner,
        "region": case.customer.region,
        "tier": case.customer.tier,
        "supplier": case.supplier_id,
        "priority": case.priority,
        "severity": case.severity,
        "touchpoint": case.touchpoint,
        "language": case.language,
        "source": case.source,
    }
