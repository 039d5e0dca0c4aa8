"""A checked input becomes an event: who it is, what it said, when."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from services.intake.domain.inputs import (
    NO_CUSTOMER,
    NO_PRODUCT,
    ActivityInput,
    CustomerInput,
    FeedbackInput,
    ProductInput,
    RatingInput,
)
from shared import ids
from shared.events import ActivityRecorded, Customer, FeedbackReceived, Language, Personal, Product, Rating

_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ]")
# Sorted attributes, so that their order is not content.
_canonical = msgspec.json.Encoder(order="deterministic")

S = TypeVar("S", FeedbackInput, ActivityInput)


class Sender(NamedTuple):
    """Who sends: `source` where the signal names none (`fixed`: none but it may be named), and `key`, the
    parts of an Idempotency-Key."""

    source: str
    key: tuple[str, ...] = ()
    fixed: bool = False


def feedback_received(said: FeedbackInput, sender: Sender, received_at: datetime) -> FeedbackReceived:
    """The event of a feedback that passed its checks."""
    said = _with_whole_score(_normalised(said, sender))
    return FeedbackReceived(
        id=identity("feedback", said.source, said.external_id, sender.key),
        source=said.source,
        external_id=said.external_id,
        kind=said.kind,
        channel=said.channel,
        occurred_at=_occurred_at(said.occurred_at, received_at),
        received_at=received_at,
        language=said.language or language_of(said.text, said.subject),
        subject=said.subject,
        text=said.text,
        customer=_customer(said.customer),
        product=_product(said.product),
        order_id=said.order_id,
        supplier_id=said.supplier_id,
        touchpoint=said.touchpoint,
        category=said.category,
        severity=said.severity,
        urgency=said.urgency,
        rating=_rating(said.rating),
        attributes=said.attributes,
        fingerprint=fingerprint(said),
    )


def activity_recorded(said: ActivityInput, sender: Sender, received_at: datetime) -> ActivityRecorded:
    """The event of an activity that passed its checks."""
    said = _normalised(said, sender)
    return ActivityRecorded(
        id=identity("activity", said.source, said.external_id, sender.key),
        source=said.source,
        external_id=said.external_id,
        kind=said.kind,
        occurred_at=_occurred_at(said.occurred_at, received_at),
        received_at=received_at,
        customer=_customer(said.customer),
        product=_product(said.product),
        supplier_id=said.supplier_id,
        department=said.department,
        quantity=said.quantity,
        attributes=said.attributes,
        fingerprint=fingerprint(said),
    )


def identity(kind: str, source: str, external_id: str, key: tuple[str, ...]) -> UUID:
    """From the upstream system's own id, else from the Idempotency-Key; a fresh one promises no dedupe."""
    if external_id:
        return ids.signal_id(kind, source, external_id)
    if key:
        return ids.name_id(f"{kind}-key", source, *key)
    return ids.fresh_id()


def fingerprint(said: FeedbackInput | ActivityInput) -> str:
    """16 hex digits of a hash of all that the sender said; it tells a repetition from a conflict.

    What intake adds stays out (the time of receipt, a language found in the text), so that the same signal
    has the same fingerprint whenever it comes.
    """
    return hashlib.blake2b(_canonical.encode(said), digest_size=8).hexdigest()


def language_of(*texts: str) -> Language:
    """zh where an ideograph stands, else en where a Latin letter does. Senders who know better say it."""
    if any(not text.isascii() and _IDEOGRAPH.search(text) for text in texts):
        return "zh"
    return "en" if any(_LATIN.search(text) for text in texts) else "other"


def _normalised(said: S, sender: Sender) -> S:
    """One way to say the same: the source named, the time in UTC, an empty part left out."""
    at = said.occurred_at
    return msgspec.structs.replace(
        said,
        source=said.source or sender.source,
        occurred_at=at if at is UNSET else at.astimezone(UTC),
        customer=NO_CUSTOMER if said.customer == NO_CUSTOMER else said.customer,
        product=NO_PRODUCT if said.product == NO_PRODUCT else said.product,
    )


def _with_whole_score(said: FeedbackInput) -> FeedbackInput:
    """9.0 is the same answer as 9."""
    rating = said.rating
    if rating is UNSET or isinstance(rating.score, int) or not rating.score.is_integer():
        return said
    return msgspec.structs.replace(said, rating=msgspec.structs.replace(rating, score=int(rating.score)))


def _occurred_at(said: datetime | UnsetType, received_at: datetime) -> datetime:
    """Never after the receipt: a sender's clock may be a little ahead (checks.AHEAD)."""
    return received_at if said is UNSET else min(said, received_at)


def _customer(said: CustomerInput) -> Customer:
    personal = Personal(name=said.name, phone=said.phone, email=said.email)
    known = bool(said.name or said.phone or said.email)
    return Customer(id=said.id, tier=said.tier, region=said.region, personal=personal if known else None)


def _product(said: ProductInput) -> Product:
    return Product(sku=said.sku, model=said.model, batch=said.batch)


def _rating(said: RatingInput | UnsetType) -> Rating | None:
    if said is UNSET:
        return None
    return Rating(metric=said.metric, score=said.score, scale_min=said.scale_min, scale_max=said.scale_max)
