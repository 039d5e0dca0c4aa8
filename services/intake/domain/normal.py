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
from shared.events import Customer, Personal

S = TypeVar("S", FeedbackInput, ActivityInput)

PERSONAL_BYTES, PERSONAL_QUOTES = len('"personal":{}'), 2
"""What writing adds around name, phone and email: a part that a sender does not say."""

_ENOUGH, _PERSONAL = len('"subject":'), b'"personal":{'
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


def write(said: FeedbackInput | ActivityInput) -> bytes:
    """The JSON of a signal in its normal form: what equals its default is left out."""
    who = said.customer
    if who is NO_CUSTOMER:
        return _encode(said)
    # as events have a customer, so that what is personal can be sealed and erased by itself
    personal = Personal(name=who.name, phone=who.phone, email=who.email) if is_personal(who) else None
    apart = Customer(id=who.id, tier=who.tier, region=who.region, personal=personal)
    return _encode(_replaced(said, customer=apart))


def words_of(said: FeedbackInput | ActivityInput) -> tuple[bytes, bytes]:
    """What is sealed of a signal, as it stands in its normal form: the members of what was said, and the
    object of who said it; empty where there is none."""
    who, members = said.customer, []
    if isinstance(said, FeedbackInput):
        texts = (("subject", said.subject), ("text", said.text))
        members = [b'"%b":%b' % (name.encode(), _encode(text)) for name, text in texts if text]
    apart = Personal(name=who.name, phone=who.phone, email=who.email) if is_personal(who) else None
    return b",".join(members), _encode(apart) if apart is not None else b""


def without(written: bytes, prose: bytes, personal: bytes) -> bytes:
    """A normal form without what `words_of` has found in it.

    What is taken out stands nowhere before: within a text its quotes would be escaped.
    """
    if prose:
        at = written.index(b"," + prose[:_ENOUGH])  # the kind comes before
        written = written[:at] + written[at + 1 + len(prose) :]
    if personal:
        at = written.index(_PERSONAL)
        end = at + len(_PERSONAL) - 1 + len(personal)
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
