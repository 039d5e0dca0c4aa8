"""The two types of signal as a table: how each is read, what it becomes, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.intake.domain.inputs import ActivityInput, FeedbackInput, Flaw, Refused
from services.intake.domain.reading import Form
from services.intake.domain.signals import Sender, activity_recorded, feedback_received
from shared.codec import Outgoing, encode
from shared.events import ActivityRecorded, FeedbackReceived
from shared.problem import Fault, Problem, pointer


@dataclass(frozen=True)
class Signal:
    name: str
    form: Form[Any]
    event: Callable[[Any, Sender, datetime], FeedbackReceived | ActivityRecorded]


FEEDBACK = Signal("feedback", Form(FeedbackInput), feedback_received)
ACTIVITY = Signal("activity", Form(ActivityInput), activity_recorded)


class Ready(NamedTuple):
    """A signal that may be published."""

    id: UUID
    fingerprint: str
    record: Outgoing


def prepare(signal: Signal, raw: bytes, sender: Sender, now: datetime, traceparent: bytes) -> Ready:
    """JSON to record. Raises Refused with all that is wrong."""
    said = signal.form.read(raw, now)
    if sender.fixed and said.source not in ("", sender.source):
        raise Refused([Flaw(("source",), "is fixed by the caller's key", sender.source)])
    event = signal.event(said, sender, now)
    key = (event.customer.id or str(event.id)).encode()
    record = encode(event, key=key, source="intake", at=now, traceparent=traceparent)
    return Ready(event.id, event.fingerprint, record)


def problem_of(signal: Signal, refused: Refused, at_most: int = 20) -> Problem:
    """400 when it is not JSON, else 422."""
    faults = [Fault(pointer(*flaw.path), flaw.message, flaw.limit) for flaw in refused.flaws[:at_most]]
    if refused.malformed:
        return Problem(400, "The body is not JSON; see errors.", faults)
    return Problem(422, f"The {signal.name} does not fit; see errors.", faults)
