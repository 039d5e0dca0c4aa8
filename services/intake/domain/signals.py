"""A checked input in its normal form becomes an event: who it is, what it said, when.

The event is written by adding to what the sender said (normal.py) what intake knows: its id, fingerprint and
time of receipt, and where the sender did not say them, the language and when it happened. That what comes
out is the contract in shared/events.py, `tests/unit/test_intake_signals.py` proves.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from services.intake.domain.inputs import ActivityInput, FeedbackInput
from services.intake.domain.normal import fingerprint, write
from services.intake.domain.reading import Said
from shared import ids
from shared.language import language_of

_encoder = msgspec.json.Encoder()
_LANGUAGES = {"zh": b',"language":"zh"', "en": b',"language":"en"', "other": b""}
"""What is added for a language that was found; "other" is what an event has without one."""


class Sender(NamedTuple):
    """Who sends: `source` where the signal names none (`fixed`: none but it may be named), and `key`, the
    parts of an Idempotency-Key."""

    source: str
    key: tuple[str, ...] = ()
    fixed: bool = False


class Received(NamedTuple):
    """An event, written; `key` is that of its record: one customer's signals stay in order."""

    id: str
    fingerprint: str
    key: bytes
    value: bytes


def received(
    kind: str, said: Said[FeedbackInput] | Said[ActivityInput], key: tuple[str, ...], at: datetime
) -> Received:
    """The event of a signal of a kind ("feedback" or "activity"); `key`: the parts of an Idempotency-Key."""
    signal, written = said.signal, said.written
    identity = _identity(kind, signal.source, signal.external_id, key)
    mark = fingerprint(written)
    receipt, moment = _times(at)
    happened = signal.occurred_at
    if happened is not UNSET:
        moment = b""
        if happened > at:  # a sender's clock may be a little ahead (checks.AHEAD)
            written = write(msgspec.structs.replace(signal, occurred_at=at))
    head = f'{{"id":"{identity}","fingerprint":"{mark}","received_at":'.encode()
    value = b"".join((head, receipt, _language(signal), moment, b",", written[1:]))
    return Received(identity, mark, (signal.customer.id or identity).encode(), value)


def _identity(kind: str, source: str, external_id: str, key: tuple[str, ...]) -> str:
    """From the upstream system's own id, else from the Idempotency-Key; a fresh one promises no dedupe."""
    if external_id:
        return ids.name_text(kind, source, external_id)
    if key:
        return ids.name_text(f"{kind}-key", source, *key)
    return str(ids.fresh_id())


@lru_cache(maxsize=16)
def _times(at: datetime) -> tuple[bytes, bytes]:
    """What the events of a batch share: the time of receipt, and when it happened if nobody said."""
    written = _encoder.encode(at.astimezone(UTC))
    return written, b',"occurred_at":' + written


def _language(signal: FeedbackInput | ActivityInput) -> bytes:
    if isinstance(signal, ActivityInput) or signal.language:
        return b""
    return _LANGUAGES[language_of(signal.text, signal.subject)]
