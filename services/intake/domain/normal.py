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

_SUBJECT, _TEXT, _CUSTOMER, _PERSONAL = b',"subject":', b',"text":', b',"customer":{', b'"personal":{'

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
    """The JSON of a signal in its normal form: what equals its default is left out. Beside it who said it, as
    it stands there: the object of name, phone and email; empty without."""
    who = said.customer
    if who is NO_CUSTOMER:
        return _encode(said), b""
    # as events have a customer, so that what is personal can be sealed and erased by itself
    personal = Personal(name=who.name, phone=who.phone, email=who.email) if is_personal(who) else None
    apart = Customer(id=who.id, tier=who.tier, region=who.region, personal=personal)
    written = _encode(_replaced(said, customer=apart))
    return written, _encode(personal) if personal is not None else b""


def parted(written: bytes, personal: bytes) -> tuple[bytes, bytes]:
    """A normal form with a customer, without its words; and those, as the JSON of shared.events.Words.

    Within what somebody said, quotes are escaped: it cannot look like a member. The prose ends where the
    customer begins, and what else may be named like it (attributes) comes after that.
    """
    who = written.index(_CUSTOMER)
    prose = written.find(_SUBJECT, 0, who)
    if prose < 0:
        prose = written.find(_TEXT, 0, who)
    if prose < 0:
        prose = who
    said = written[prose + 1 : who]
    if not personal:
        return written[:prose] + written[who:], b"{%b}" % said
    start = written.index(_PERSONAL, who)
    end = start + len(_PERSONAL) + len(personal) - 1
    comma = written[start - 1 : start] == b","
    words = b'{%b,"personal":%b}' % (said, personal) if said else b'{"personal":%b}' % personal
    return written[:prose] + written[who : start - comma] + written[end:], words


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
