"""A checked input in its normal form becomes an event: who it is, what it said, when.

The event is written by adding to what the sender said (normal.py) what intake knows: its id, fingerprint and
time of receipt, and where the sender did not say them, the language and when it happened. That what comes
out is the contract in shared/events.py, `tests/unit/test_intake_signals.py` proves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Struct

from services.intake.domain.inputs import ActivityInput, FeedbackInput
from services.intake.domain.normal import fingerprint, write
from services.intake.domain.reading import Said
from shared import ids
from shared.language import language_of

_encoder = msgspec.json.Encoder()
_LANGUAGES = {"zh": b',"language":"zh"', "en": b',"language":"en"', "other": b"", "": b""}
"""What is added for a language that was found; "other" is what an event has without one."""


class Sender(NamedTuple):
    """Who sends: `source` where the signal names none (`fixed`: none but it may be named), and `key`, the
    parts of an Idempotency-Key."""

    source: str
    key: tuple[str, ...] = ()
    fixed: bool = False


class Received(Struct, frozen=True, gc=False):
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
    name = identity(kind, signal.source, signal.external_id, key)
    texts = None if isinstance(signal, ActivityInput) or signal.language else (signal.text, signal.subject)
    happened = signal.occurred_at
    added = added_to(at, texts, dated=happened is not UNSET)
    if happened is not UNSET and happened > at:  # a sender's clock may be a little ahead (checks.AHEAD)
        moved = write(msgspec.structs.replace(signal, occurred_at=at))
        return complete(name, fingerprint(written), signal.customer.id, moved, added)
    return complete(name, fingerprint(written), signal.customer.id, written, added)


def complete(name: str, mark: str, customer: str, written: bytes, added: bytes) -> Received:
    """`name`: the id; `mark`: the fingerprint; `written`: what was said, in its normal form."""
    head = f'{{"id":"{name}","fingerprint":"{mark}","received_at":'.encode()
    value = b"".join((head, added, memoryview(written)[1:]))  # without its brace, and without a copy
    return Received(name, mark, (customer or name).encode(), value)


def identity(kind: str, source: str, external_id: str, key: tuple[str, ...]) -> str:
    """From the upstream system's own id, else from the Idempotency-Key; a fresh one promises no dedupe."""
    if external_id:
        return ids.name_text(kind, source, external_id)
    if key:
        return ids.name_text(f"{kind}-key", source, *key)
    return str(ids.fresh_id())


def added_to(at: datetime, texts: Sequence[str] | None, *, dated: bool) -> bytes:
    """What intake adds behind the name `received_at`: that time; the language of `texts`, in which the sender
    did not name one; when it happened, where that is not `dated`."""
    return _added(at, "" if texts is None else language_of(*texts), dated)


@lru_cache(maxsize=64)
def _added(at: datetime, language: str, dated: bool) -> bytes:
    """The signals of a batch share it."""
    written = _encoder.encode(at.astimezone(UTC))
    moment = b"" if dated else b',"occurred_at":' + written
    return written + _LANGUAGES[language] + moment + b","
