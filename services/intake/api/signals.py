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
from services.intake.domain.normal import fingerprint, without, words_of, write
from services.intake.domain.reading import Form, Said
from services.intake.domain.signals import Sender, identity
from shared import ids
from shared.codec import Outgoing, envelope, record
from shared.events import ActivityRecorded, Event, FeedbackReceived
from shared.language import language_of
from shared.problem import Fault, Problem, pointer
from shared.sealing import Seals

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


class Arrival:
    """What signals share that are of one kind and came in together: written once, not with each."""

    __slots__ = ("_around", "_kind", "_moment", "_seals", "at")

    def __init__(self, kind: str, at: datetime, seals: Seals, traceparent: bytes = b"") -> None:
        """`kind`: "feedback" or "activity"."""
        self._kind, self.at, self._seals = kind, at, seals
        self._around = envelope(_EVENTS[kind], "intake", at, traceparent)
        self._moment = _encoder.encode(at.astimezone(UTC))

    def receive(self, said: Said[FeedbackInput] | Said[ActivityInput], key: tuple[str, ...] = ()) -> Received:
        """`key`: the parts of an Idempotency-Key. Raises PermanentError `too_large` (shared/codec.py), and
        Unavailable where there are no keys to seal with yet."""
        signal, written = said.signal, said.written
        name = identity(self._kind, signal.source, signal.external_id, key)
        texts: Sequence[str] = ()
        if isinstance(signal, FeedbackInput) and not signal.language:
            texts = (signal.text, signal.subject)
        customer, words = signal.customer.id, words_of(signal)
        happened = signal.occurred_at
        if happened is UNSET:
            return self.write(name, customer, written, words, texts, dated=False)
        # a sender's clock may be a little ahead (checks.AHEAD)
        ahead = write(msgspec.structs.replace(signal, occurred_at=self.at)) if happened > self.at else b""
        return self.write(name, customer, written, words, texts, dated=True, corrected=ahead)

    def write(
        self,
        name: str,
        customer: str,
        written: bytes,
        words: tuple[bytes, bytes],
        texts: Sequence[str],
        *,
        dated: bool,
        corrected: bytes = b"",
    ) -> Received:
        """`name`: the id; `written`: what was said, in its normal form, and `corrected`, where something else
        is kept; `words`: as `normal.words_of` finds them in it; `texts`: those that tell the language, where
        it was not said; `dated`: whether it says when it happened.

        The customer is the record's key, so that one customer's signals stay in order. Raises as `receive`.
        """
        named, (prose, personal) = name.encode(), words
        key = customer.encode() if customer else named
        kept, sealed = corrected or written, b""
        if (customer and prose) or personal:
            mark = fingerprint(written, self._seals.key(key))
            kept = without(kept, prose, personal)
            sealed = b',"sealed":"%b"' % b2a_base64(
                self._seals.seal(key, _words(prose, personal)), newline=False
            )
        else:
            mark = fingerprint(written)
        language = _LANGUAGES[language_of(*texts)] if texts else b""
        happened = b"" if dated else b',"occurred_at":' + self._moment
        head = b'{"id":"%b","fingerprint":"%b","received_at":%b%b%b%b,' % (
            named, mark.encode(), self._moment, language, happened, sealed,
        )  # fmt: skip
        value = head + kept[1:]  # without its brace
        return Received(self._kind, name, mark, record(self._around, named, value, key=key))


def _words(prose: bytes, personal: bytes) -> bytes:
    """The JSON of shared.events.Words."""
    if not personal:
        return b"{%b}" % prose
    return b'{%b"personal":%b}' % (prose + b"," if prose else b"", personal)


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
        return self.receive(self._read(raw, self._now, self._sender.source), *place)

    def receive(self, said: Said[Any], *place: str) -> Received:
        """A checked signal to record. Raises Refused when it names a source that its sender may not."""
        source, key, fixed = self._sender
        if fixed and said.signal.source != source:
            raise Refused([Flaw(("source",), "is fixed by the caller's key", source)])
        return self.arrival.receive(said, (*key, *place) if key else ())


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
