"""A checked input in its normal form becomes an event and its record: who it is, what it said, when.

The event is written by adding to what the sender said (domain/normal.py) what intake knows: its id,
fingerprint and time of receipt, and where the sender did not say them, the language and when it happened.
What a person said is sealed (shared/sealing.py).
That what comes out is the contract in shared/events.py, `tests/unit/test_intake_signals.py` proves.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import Response
from msgspec import UNSET, Struct

from services.intake.domain.inputs import ActivityInput, FeedbackInput, Flaw, Refused
from services.intake.domain.normal import fingerprint, parted, write
from services.intake.domain.reading import Form, Said
from services.intake.domain.signals import Sender, identity
from shared import ids
from shared.codec import Outgoing, envelope, record
from shared.events import ActivityRecorded, Event, FeedbackReceived
from shared.language import language_of
from shared.problem import Fault, Problem, pointer
from shared.sealing import Seals, encrypted, whose

_EVENTS: dict[str, type[Event]] = {"feedback": FeedbackReceived, "activity": ActivityRecorded}
_encoder = msgspec.json.Encoder()
_LANGUAGES = {"zh": b',"language":"zh"', "en": b',"language":"en"', "other": b""}
"""What is added for a language that was found; "other" is what an event has without one."""


@dataclass(frozen=True)
class Signal:
    name: str
    form: Form[Any]


FEEDBACK = Signal("feedback", Form(FeedbackInput))
ACTIVITY = Signal("activity", Form(ActivityInput))


class Received(Struct, frozen=True, gc=False):
    """A signal taken in, as its record, which Kafka does not have yet; `kind`: "feedback" or "activity"."""

    kind: str
    id: str
    fingerprint: str
    record: Outgoing


class Heard(Struct, frozen=True, gc=False):
    """A checked signal that is not sealed yet.

    `written` and `personal`: as `normal.write` does; `corrected`: the normal form, where something else is
    kept than was said; `added`: the language and the time, where the sender did not say them; `whose`: by
    whose key its words are sealed, nothing for what has none or names nobody.
    """

    arrival: Arrival
    id: str
    customer: str
    written: bytes
    personal: bytes
    added: bytes
    whose: bytes
    corrected: bytes = b""

    def receive(self) -> Received:
        """As Arrival.receive, with its errors."""
        return self.arrival.seal(self)


class Arrival:
    """What signals share that are of one kind and came in together: written once, not with each."""

    __slots__ = ("_around", "_kind", "_moment", "_seals", "_undated", "at")

    def __init__(self, kind: str, at: datetime, seals: Seals, traceparent: bytes = b"") -> None:
        """`kind`: "feedback" or "activity"."""
        self._kind, self.at, self._seals = kind, at, seals
        self._around = envelope(_EVENTS[kind], "intake", at, traceparent)
        self._moment = _encoder.encode(at.astimezone(UTC))
        self._undated = b',"occurred_at":' + self._moment

    def receive(self, said: Said[FeedbackInput] | Said[ActivityInput], key: tuple[str, ...] = ()) -> Received:
        """`key`: the parts of an Idempotency-Key. Raises PermanentError `too_large` (shared/codec.py), and
        Unavailable where there are no keys to seal with yet."""
        return self.seal(self.hear(said, key))

    def hear(self, said: Said[FeedbackInput] | Said[ActivityInput], key: tuple[str, ...] = ()) -> Heard:
        """All of `receive` that needs no key to seal with."""
        signal = said.signal
        name = identity(self._kind, signal.source, signal.external_id, key)
        texts: Sequence[str] = ()
        if isinstance(signal, FeedbackInput) and not signal.language:
            texts = (signal.text, signal.subject)
        happened, ahead = signal.occurred_at, b""
        if happened is not UNSET and happened > self.at:
            # a sender's clock may be a little ahead (checks.AHEAD)
            ahead, _ = write(msgspec.structs.replace(signal, occurred_at=self.at))
        added = self.added(texts, dated=happened is not UNSET)
        customer, in_words = signal.customer.id, isinstance(signal, FeedbackInput) and _is_prose(signal)
        owner = owner_of(customer, name, said.personal, in_words=in_words)
        return Heard(self, name, customer, said.written, said.personal, added, owner, ahead)

    def added(self, texts: Sequence[str], *, dated: bool) -> bytes:
        """`texts`: those that tell the language, where it was not said; `dated`: whether it was said when it
        happened."""
        language = _LANGUAGES[language_of(*texts)] if texts else b""
        return language if dated else language + self._undated

    def seal(self, heard: Heard) -> Received:
        """The customer is the record's key, so that one customer's signals stay in order.

        Raises as `receive`.
        """
        named, sealed = heard.id.encode(), b""
        kept = heard.corrected or heard.written
        if heard.whose:
            place, own = self._seals.known.of(heard.whose)
            mark = fingerprint(heard.written, own.marking)
            kept, words = parted(kept, heard.personal)
            sealed = b',"sealed":"%b"' % b2a_base64(encrypted(place, own, words), newline=False)
        else:
            mark = fingerprint(heard.written)
        head = b'{"id":"%b","fingerprint":"%b","received_at":%b%b%b,' % (
            named, mark.encode(), self._moment, heard.added, sealed,
        )  # fmt: skip
        value = head + kept[1:]  # without its brace
        key = heard.customer.encode() or named
        return Received(self._kind, heard.id, mark, record(self._around, named, value, key=key))


def owner_of(customer: str, name: str, personal: bytes, *, in_words: bool) -> bytes:
    """By whose key a signal is sealed; nothing for what has no words, or names nobody."""
    return whose(customer, name) if personal or (customer and in_words) else b""


def _is_prose(signal: FeedbackInput) -> bool:
    return bool(signal.text or signal.subject)


class Receiver:
    """Takes the signals of one type that came together from one sender."""

    def __init__(
        self, signal: Signal, sender: Sender, now: datetime, seals: Seals, traceparent: bytes = b""
    ) -> None:
        self.arrival = Arrival(signal.name, now, seals, traceparent)
        self._read, self._sender, self._now = signal.form.read, sender, now

    def take(self, raw: bytes, *place: str) -> Received:
        """JSON to record; `place` tells apart the signals of one Idempotency-Key. Raises Refused with all
        that is wrong."""
        return self.hear(raw, *place).receive()

    def hear(self, raw: bytes, *place: str) -> Heard:
        """As `take`, but for what needs a key to seal with."""
        return self.hear_said(self._read(raw, self._now, self._sender.source), *place)

    def hear_said(self, said: Said[Any], *place: str) -> Heard:
        """A checked signal. Raises Refused when it names a source that its sender may not."""
        source, key, fixed = self._sender
        if fixed and said.signal.source != source:
            raise Refused([Flaw(("source",), "is fixed by the caller's key", source)])
        return self.arrival.hear(said, (*key, *place) if key else ())


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
