"""How clocks and escalations are written as documents, and read again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from bson.binary import UUID_SUBTYPE, Binary

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
    """As Escalation has it. Ids are made binary here: the driver takes four times as long for it."""
    labels = event.labels
    return {
        "_id": _binary(document_id(event.at, event.id)),
        "event_id": _binary(event.id),
        "case_id": _binary(event.case_id),
        "target": event.target,
        "epoch": event.epoch,
        "step": event.step,
        "repetition": event.repetition,
        "action": event.action,
        "recipient": event.recipient,
        "due_at": event.due_at,
        "step_at": event.step_at,
        "at": event.at,
        "department": labels.department,
        "owner": labels.owner,
        "priority": labels.priority,
    }


def _binary(identity: UUID) -> Binary:
    return Binary(identity.bytes, UUID_SUBTYPE)


def escalation_of(document: Document) -> Escalation:
    return msgspec.convert(document, Escalation)


def written(value: msgspec.Struct) -> Document:
    document: Document = msgspec.to_builtins(value, builtin_types=_BSON_TYPES)
    return document
