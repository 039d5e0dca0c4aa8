"""One way to say the same: a checked signal in its normal form, written once.

What is written is the event, but for what intake adds (signals.py): the same names, and a customer's personal
data apart. So a signal is never copied into a second struct, and never encoded twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC
from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct

from services.intake.domain.inputs import (
    NO_CUSTOMER,
    NO_PRODUCT,
    ActivityInput,
    CustomerInput,
    FeedbackInput,
    RatingInput,
)
from shared.events import Customer, Personal, Words

S = TypeVar("S", FeedbackInput, ActivityInput)

PERSONAL_BYTES, PERSONAL_QUOTES = len('"personal":{}'), 2
"""What writing adds around name, phone and email: a part that a sender does not say."""

PERSONAL = b'"personal":{'
_ENOUGH, _NOTHING = len('"subject":'), len("{}")
"""What is looked for instead of all that was said: a long search costs more than the rest of the writing."""

# Sorted attributes, so that their order is not content.
_encode = msgspec.json.Encoder(order="deterministic").encode
_replaced: Callable[..., Struct] = msgspec.structs.replace


def normalised(said: S, source: str) -> S:
    """The source named, the time in UTC, an empty part left out, a whole score as a whole number.

    `source` is that of a signal that names none. What is normal already is not made anew.
    """
    changes: dict[str, object] = {}
    if not said.source and source:
        changes["source"] = source
    if said.occurred_at is not UNSET and said.occurred_at.tzinfo is not UTC:
        changes["occurred_at"] = said.occurred_at.astimezone(UTC)
    if said.customer is not NO_CUSTOMER and said.customer == NO_CUSTOMER:
        changes["customer"] = NO_CUSTOMER
    if said.product is not NO_PRODUCT and said.product == NO_PRODUCT:
        changes["product"] = NO_PRODUCT
    rating = getattr(said, "rating", UNSET)
    if isinstance(rating, RatingInput) and _is_whole_float(rating.score):
        changes["rating"] = msgspec.structs.replace(rating, score=int(rating.score))
    return msgspec.structs.replace(said, **changes) if changes else said


def write(said: FeedbackInput | ActivityInput) -> tuple[bytes, bytes]:
    """The JSON of a signal in its normal form: what equals its default is left out. Beside it the JSON of
    shared.events.Words: who said it, and what of it was said in words; empty where there is neither."""
    who, personal = said.customer, None
    if who is not NO_CUSTOMER:
        # as events have a customer, so that what is personal can be sealed and erased by itself
        personal = Personal(name=who.name, phone=who.phone, email=who.email) if is_personal(who) else None
        apart = Customer(id=who.id, tier=who.tier, region=who.region, personal=personal)
        written = _encode(_replaced(said, customer=apart))
    else:
        written = _encode(said)
    if isinstance(said, FeedbackInput):
        words = _encode(Words(subject=said.subject, text=said.text, personal=personal))
    else:
        words = _encode(Words(personal=personal))
    return written, words if len(words) > _NOTHING else b""


def without(written: bytes, words: bytes) -> bytes:
    """A normal form without the words that `write` has found in it.

    What is taken out stands nowhere before: within a text its quotes would be escaped.
    """
    split = words.find(PERSONAL)
    prose = len(words) - 1 if split < 0 else split - 1 if split > 1 else 1
    if prose > 1:  # the kind comes before; what stands in the braces takes its comma with it
        at = written.index(b"," + words[1 : 1 + _ENOUGH])
        written = written[:at] + written[at + prose :]
    if split > 0:
        at = written.index(PERSONAL)
        end = at + len(words) - 1 - split
        written = written[: at - 1 if written[at - 1 : at] == b"," else at] + written[end:]
    return written


def is_personal(said: CustomerInput) -> bool:
    return bool(said.name or said.phone or said.email)


def fingerprint(written: bytes, key: bytes = b"") -> str:
    """16 hex digits of a hash of all that the sender said; it tells a repetition from a conflict. With the
    `key` of the person who is named in it: nobody finds out by trying what an erased one has said.

    What intake adds stays out (the time of receipt, a language found in the text), so that the same signal
    has the same fingerprint whenever it comes. SHA-256 costs half of BLAKE2b where the processor knows it.
    """
    return hashlib.sha256(key + written).hexdigest()[:16]


def _is_whole_float(score: int | float) -> bool:
    """9.0 is the same answer as 9."""
    return isinstance(score, float) and score.is_integer()
