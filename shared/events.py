"""Every event that passes between services: the only definition.

JSON Schema, OpenAPI and AsyncAPI are made from these structs (`make docs`) and committed under
shared/contracts/. Evolution: only additive, every new field has a default, consumers ignore fields that
they do not know; a breaking change is a new type and a new topic. An empty string means "not given".
Times are aware UTC datetimes, RFC 3339 on the wire; spans are integer seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

Kind = Literal[
    "complaint", "review", "survey", "ticket", "call", "social",
    "suggestion", "praise", "quality_report", "inspection", "return",
]  # fmt: skip
Channel = Literal[
    "web", "app", "phone", "email", "chat", "social", "store", "in_person", "internal", "partner", "api"
]
Language = Literal["zh", "en", "other"]
Touchpoint = Literal["", "purchase", "delivery", "onboarding", "use", "support", "renewal"]
Severity = Literal["low", "medium", "high", "critical"]
Urgency = Literal["low", "medium", "high"]
Priority = Literal["P1", "P2", "P3", "P4"]
Metric = Literal["nps", "csat", "ces"]
ActivityKind = Literal[
    "order", "shipment", "return", "repair", "signup", "renewal", "churn", "repurchase", "contact",
    "survey_sent",
]  # fmt: skip
Status = Literal[
    "new", "assigned", "acknowledged", "in_progress", "pending_customer", "pending_internal",
    "resolved", "closed", "reopened", "merged", "cancelled",
]  # fmt: skip
ChangeType = Literal[
    "opened", "joined", "assigned", "queued", "acknowledged", "started", "replied", "customer_message",
    "noted", "held", "resumed", "transferred", "prioritised", "resolved", "reopened", "merged",
    "cancelled", "closed", "released",
]  # fmt: skip
Target = Literal["first_response", "update", "resolution", "ola"]
Verdict = Literal["met", "breached"]
EscalationAction = Literal[
    "remind_owner", "notify_supervisor", "notify_head", "notify", "reassign", "raise_priority"
]
AssignmentReason = Literal["opened", "reopened", "transferred", "released", "escalated", "ended", "roster"]
Scalar = str | int | float | bool
Moment = Annotated[datetime, Meta(tz=True)]
"""An aware time; one without an offset is not the contract."""


class Contract(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all parts of events: immutable, absent when default. Made of values only, so never part of a
    cycle: the garbage collector need not look at the thousands of a batch again and again."""


class Event(Contract, frozen=True, kw_only=True):
    """Base of the events themselves. `type` is the CloudEvents type, version included."""

    type: ClassVar[str]
    id: UUID


class Personal(Contract, frozen=True, kw_only=True):
    """The personal data of a customer, apart from everything else."""

    name: str = ""
    phone: str = ""
    email: str = ""


class Words(Contract, frozen=True, kw_only=True):
    """What is sealed with a person's key, as JSON (shared/sealing.py): who they are, what they said, and what
    was written on their case. `sealed` of events and their parts holds it."""

    subject: str = ""
    text: str = ""
    reason: str = ""
    personal: Personal | None = None


class Customer(Contract, frozen=True, kw_only=True):
    id: str = ""
    tier: str = ""
    region: str = ""
    personal: Personal | None = None


class Product(Contract, frozen=True, kw_only=True):
    sku: str = ""
    model: str = ""
    batch: str = ""


class Rating(Contract, frozen=True, kw_only=True):
    """An answer on the scale it was asked on; scales are stored and never mixed (docs/domain.md 1.4)."""

    metric: Metric
    score: int | float
    scale_min: int
    scale_max: int


class FeedbackReceived(Event, frozen=True, kw_only=True):
    """One signal of a customer, immutable.

    `fingerprint` is a hash of all that the sender said: the same id with another fingerprint is a
    conflict (docs/promises.md P3). `occurred_at` is when the customer spoke, never after `received_at`.
    `subject`, `text` and the customer's personal data are in `sealed`, where the signal names a person.
    """

    type: ClassVar[str] = "cqm.feedback.received.v1"
    source: str
    external_id: str = ""
    kind: Kind
    channel: Channel = "api"
    occurred_at: Moment
    received_at: Moment
    language: Language = "other"
    subject: str = ""
    text: str = ""
    customer: Customer = field(default_factory=Customer)
    product: Product = field(default_factory=Product)
    order_id: str = ""
    supplier_id: str = ""
    touchpoint: Touchpoint = ""
    category: str = ""
    severity: Severity | Literal[""] = ""
    urgency: Urgency | Literal[""] = ""
    rating: Rating | None = None
    attributes: dict[str, Scalar] = field(default_factory=dict)
    fingerprint: str = ""
    sealed: bytes = b""


class ActivityRecorded(Event, frozen=True, kw_only=True):
    """Business that happened: the denominators of the rates (orders, shipments, returns, ...)."""

    type: ClassVar[str] = "cqm.activity.recorded.v1"
    source: str
    external_id: str = ""
    kind: ActivityKind
    occurred_at: Moment
    received_at: Moment
    customer: Customer = field(default_factory=Customer)
    product: Product = field(default_factory=Product)
    supplier_id: str = ""
    department: str = ""
    quantity: int = 1
    attributes: dict[str, Scalar] = field(default_factory=dict)
    fingerprint: str = ""
    sealed: bytes = b""


class Hold(Contract, frozen=True, kw_only=True):
    """A span in which the case waited; `end` is open while it still does."""

    status: Literal["pending_customer", "pending_internal", "resolved"]
    start: Moment
    end: Moment | None = None


class Answer(Contract, frozen=True, kw_only=True):
    """A customer message that waited from `start` until the public reply or the resolution at `end`."""

    start: Moment
    end: Moment


class Formerly(Contract, frozen=True, kw_only=True):
    """The department and the priority that the case had until `end`."""

    department: str
    priority: Priority
    end: Moment


class Case(Contract, frozen=True, kw_only=True):
    """The unit of responsibility, whole and compact, as of `version`.

    Whoever keeps the highest version per case converges under duplicates, reordering and gaps: all
    moments that a clock or a figure needs are in here, none has to be collected from earlier events.
    `opened_at` is when the customer first spoke (the past, for an import). `unanswered_since` is the
    oldest customer message without a public reply; `answers` are the newest that had one, in order, of
    `answered` in all. `formerly` is in order of its ends, `holds` of their start. `consulted` and `informed`
    are departments and people of the policy's RACI table; responsible is the owner. `satisfied` is what the
    customer said of the solution when the case was closed. `sealed` holds the subject and the customer's
    personal data.
    """

    id: UUID
    reference: str
    version: int
    status: Status
    priority: Priority
    severity: Severity
    urgency: Urgency
    category: str = ""
    kind: Kind
    channel: Channel
    source: str = ""
    language: Language = "other"
    touchpoint: Touchpoint = ""
    department: str
    owner: str = ""
    holder: str = ""
    accountable: str = ""
    consulted: tuple[str, ...] = ()
    informed: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    customer: Customer = field(default_factory=Customer)
    product: Product = field(default_factory=Product)
    supplier_id: str = ""
    subject: str = ""
    feedback_ids: tuple[UUID, ...] = ()
    linked_to: UUID | None = None
    merged_into: UUID | None = None
    policy_version: str = ""
    rule: str = ""
    reason: str = ""
    cause_code: str = ""
    opened_at: Moment
    updated_at: Moment
    assigned_at: Moment | None = None
    acknowledged_at: Moment | None = None
    first_reply_at: Moment | None = None
    unanswered_since: Moment | None = None
    answers: tuple[Answer, ...] = ()
    answered: int = 0
    formerly: tuple[Formerly, ...] = ()
    resolved_at: Moment | None = None
    closed_at: Moment | None = None
    holds: tuple[Hold, ...] = ()
    reopened: int = 0
    satisfied: bool | None = None
    sealed: bytes = b""


class Change(Contract, frozen=True, kw_only=True):
    """What happened to a case in this version: who, when, what, why. `sealed` holds what somebody wrote:
    the reason, and the text that else would stand in `data`."""

    type: ChangeType
    actor: str
    at: Moment
    reason: str = ""
    from_status: Status | Literal[""] = ""
    to_status: Status | Literal[""] = ""
    feedback_id: UUID | None = None
    data: dict[str, Any] = field(default_factory=dict)
    sealed: bytes = b""


class CaseChanged(Event, frozen=True, kw_only=True):
    """`change` made the case what it is. `earlier` are the changes of the versions right before it that were
    made in the same transaction, in order; no other event tells them."""

    type: ClassVar[str] = "cqm.case.changed.v1"
    case: Case
    change: Change
    earlier: tuple[Change, ...] = ()

    def versions(self) -> Iterator[tuple[int, Change]]:
        """Each version that this event tells, with its change, in order."""
        return enumerate((*self.earlier, self.change), self.case.version - len(self.earlier))


class AssignmentRequested(Event, frozen=True, kw_only=True):
    """Look at this case for this department's pool: give it an owner, take it out, or queue it.

    It carries no decision: the one consumer that writes the department's pool reads the case as it is
    stored, so a repeated or late request does no harm. `case_id` is absent for a roster change.
    """

    type: ClassVar[str] = "cqm.assignment.requested.v1"
    department: str
    case_id: UUID | None = None
    reason: AssignmentReason
    at: Moment


class CaseLabels(Contract, frozen=True, kw_only=True):
    """What SLA events repeat of their case, so that figures need no second look-up."""

    department: str
    priority: Priority
    category: str = ""
    kind: Kind
    channel: Channel
    owner: str = ""
    region: str = ""
    tier: str = ""
    severity: Severity | Literal[""] = ""
    source: str = ""
    language: Language | Literal[""] = ""
    touchpoint: Touchpoint = ""
    product: Product = field(default_factory=Product)
    supplier_id: str = ""


class TargetBreached(Event, frozen=True, kw_only=True):
    """A promised time passed; said once per (case, target, epoch), when due and not before."""

    type: ClassVar[str] = "cqm.sla.target_breached.v1"
    case_id: UUID
    case_version: int
    target: Target
    epoch: int
    started_at: Moment
    due_at: Moment
    at: Moment
    labels: CaseLabels


class TargetFinished(Event, frozen=True, kw_only=True):
    """A clock stopped with a verdict. Spans are net of holds; `business` by the clock's calendar.

    `answered` is False for a first response that a resolution without any public reply ended: the promise is
    judged, but there is no response whose time could be counted.
    """

    type: ClassVar[str] = "cqm.sla.target_finished.v1"
    case_id: UUID
    case_version: int
    target: Target
    epoch: int
    verdict: Verdict
    started_at: Moment
    due_at: Moment
    finished_at: Moment
    business_seconds: int
    wall_seconds: int
    answered: bool = True
    labels: CaseLabels


class EscalationRaised(Event, frozen=True, kw_only=True):
    """One step of a clock came due: once per (case, target, epoch, step, repetition).

    `recipient` is a person or role of the policy; empty when nobody was there to be told, which is
    recorded and the next step is taken.
    """

    type: ClassVar[str] = "cqm.sla.escalation_raised.v1"
    case_id: UUID
    case_version: int
    target: Target
    epoch: int
    step: int
    repetition: int = 0
    action: EscalationAction
    recipient: str = ""
    due_at: Moment
    step_at: Moment
    at: Moment
    labels: CaseLabels


EVENTS: tuple[type[Event], ...] = (
    FeedbackReceived,
    ActivityRecorded,
    CaseChanged,
    AssignmentRequested,
    TargetBreached,
    TargetFinished,
    EscalationRaised,
)
