"""One way to say the same: a checked signal in its normal form, written once, and the fingerprint of that."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TypeVar

import msgspec
from msgspec import UNSET

from services.intake.domain.inputs import (
    NO_CUSTOMER,
    NO_PRODUCT,
    ActivityInput,
    FeedbackInput,
    RatingInput,
)

S = TypeVar("S", FeedbackInput, ActivityInput)

# Sorted attributes, so that their order is not content.
_encoder = msgspec.json.Encoder(order="deterministic")


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
    return _encoder.encode(said)


def fingerprint(written: bytes) -> str:
    """16 hex digits of a hash of all that the sender said; it tells a repetition from a conflict.

    What intake adds stays out (the time of receipt, a language found in the text), so that the same signal
    has the same fingerprint whenever it comes.
    """
    return hashlib.blake2b(written, digest_size=8).hexdigest()


def _is_whole_float(score: int | float) -> bool:
    """9.0 is the same answer as 9."""
    return isinstance(score, float) and score.is_integer()
