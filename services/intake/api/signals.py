"""The two types of signal as a table: how each is read, the event that it becomes, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from fastapi import Response

from services.intake.domain.inputs import ActivityInput, FeedbackInput, Flaw, Refused
from services.intake.domain.reading import Form, Said
from services.intake.domain.signals import Received, Sender, received
from shared import ids
from shared.codec import Outgoing, envelope, record
from shared.events import ActivityRecorded, Event, FeedbackReceived
from shared.problem import Fault, Problem, pointer


@dataclass(frozen=True)
class Signal:
    name: str
    form: Form[Any]
    event: type[Event]


FEEDBACK = Signal("feedback", Form(FeedbackInput), FeedbackReceived)
ACTIVITY = Signal("activity", Form(ActivityInput), ActivityRecorded)


class Ready(msgspec.Struct, frozen=True, gc=False):
    """A signal that may be published; `kind` is the name of its type."""

    kind: str
    id: str
    fingerprint: str
    record: Outgoing


def prepare(signal: Signal, raw: bytes, sender: Sender, now: datetime, traceparent: bytes) -> Ready:
    """JSON to record. Raises Refused with all that is wrong."""
    return ready(signal, signal.form.read(raw, now, sender.source), sender, now, traceparent)


def ready(signal: Signal, said: Said[Any], sender: Sender, now: datetime, traceparent: bytes = b"") -> Ready:
    """A checked signal to record. Raises Refused when it names a source that its sender may not."""
    if sender.fixed and said.signal.source != sender.source:
        raise Refused([Flaw(("source",), "is fixed by the caller's key", sender.source)])
    return posted(signal, received(signal.name, said, sender.key, now), now, traceparent)


def posted(signal: Signal, event: Received, now: datetime, traceparent: bytes) -> Ready:
    """An event as its record."""
    around = envelope(signal.event, "intake", now, traceparent)
    outgoing = record(around, event.id.encode(), event.value, key=event.key)
    return Ready(signal.name, event.id, event.fingerprint, outgoing)


def receipt(identity: str, received_at: datetime) -> Response:
    """202: `id`, `reference` (for people) and `received_at`."""
    said = {"id": identity, "reference": ids.reference(identity), "received_at": received_at}
    return Response(msgspec.json.encode(said), 202, media_type="application/json")


def faults_of(refused: Refused, at_most: int = 20, at: Callable[..., str] = pointer) -> list[Fault]:
    """`at`: the pointer of a flaw's path, where the body is not the signal itself."""
    return [Fault(at(*flaw.path), flaw.message, flaw.limit) for flaw in refused.flaws[:at_most]]


def problem_of(signal: Signal, refused: Refused, at_most: int = 20) -> Problem:
    """400 when it is not JSON, else 422."""
    faults = faults_of(refused, at_most)
    if refused.malformed:
        return Problem(400, "The body is not JSON; see errors.", faults)
    return Problem(422, f"The {signal.name} does not fit; see errors.", faults)
