"""How clocks and escalations are written as documents, and read again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from services.sla.domain.clock import Clock
from shared.events import EscalationRaised
from shared.ids import document_id
from shared.mongo import Document

_BSON_TYPES = (datetime, UUID)


class Escalation(msgspec.Struct, frozen=True):
    """A step that fired, as it is kept; `event_id` is that of its EscalationRaised."""

    id: UUID = msgspec.field(name="_id")
    event_id: UUID
    case_id: UUID
    target: str
    epoch: int
    step: int
    repetition: int
    action: str
    recipient: str
    due_at: datetime
    step_at: datetime
    at: datetime
    department: str
    owner: str
    priority: str

    @classmethod
    def of(cls, event: EscalationRaised) -> Escalation:
        labels = event.labels
        return cls(
            document_id(event.at, event.id), event.id, event.case_id, event.target, event.epoch, event.step,
            event.repetition, event.action, event.recipient, event.due_at, event.step_at, event.at,
            labels.department, labels.owner, labels.priority,
        )  # fmt: skip


def clock_document(clock: Clock) -> Document:
    """A clock as it is kept: packed as `clock`, and beside it what is looked for or tells a person in the
    database where it stands."""
    document: Document = {
        "_id": clock.case_id,
        "partition": clock.partition,
        "version": clock.version,
        "case_version": clock.case_version,
        "status": clock.status,
        "clock": _pack(clock),
    }
    if clock.next_at is not None:
        document["next_at"] = clock.next_at
    return document


def clock_of(document: Document) -> Clock:
    """What `clock_document` kept."""
    return _unpack(document["clock"])


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Clock).decode


def escalation_document(event: EscalationRaised) -> Document:
    return written(Escalation.of(event))


def escalation_of(document: Document) -> Escalation:
    return msgspec.convert(document, Escalation)


def written(value: msgspec.Struct) -> Document:
    document: Document = msgspec.to_builtins(value, builtin_types=_BSON_TYPES)
    return document
