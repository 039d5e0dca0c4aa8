"""A checked input in its normal form becomes an event: who it is, what it said, when."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

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
from services.intake.domain.normal import fingerprint
from services.intake.domain.reading import Said
from shared import ids
from shared.events import ActivityRecorded, Customer, FeedbackReceived, Personal, Product, Rating
from shared.language import language_of

_NOBODY, _NOTHING = Customer(), Product()


class Sender(NamedTuple):
    """Who sends: `source` where the signal names none (`fixed`: none but it may be named), and `key`, the
    parts of an Idempotency-Key."""

    source: str
    key: tuple[str, ...] = ()
    fixed: bool = False


def feedback_received(
    checked: Said[FeedbackInput], key: tuple[str, ...], received_at: datetime
) -> FeedbackReceived:
    """The event of a feedback; `key`: the parts of an Idempotency-Key."""
    said = checked.signal
    return FeedbackReceived(
        id=identity("feedback", said.source, said.external_id, key),
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
        fingerprint=fingerprint(checked.written),
    )


def activity_recorded(
    checked: Said[ActivityInput], key: tuple[str, ...], received_at: datetime
) -> ActivityRecorded:
    """The event of an activity; `key`: the parts of an Idempotency-Key."""
    said = checked.signal
    return ActivityRecorded(
        id=identity("activity", said.source, said.external_id, key),
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
        fingerprint=fingerprint(checked.written),
    )


def identity(kind: str, source: str, external_id: str, key: tuple[str, ...]) -> UUID:
    """From the upstream system's own id, else from the Idempotency-Key; a fresh one promises no dedupe."""
    if external_id:
        return ids.signal_id(kind, source, external_id)
    if key:
        return ids.name_id(f"{kind}-key", source, *key)
    return ids.fresh_id()


def _occurred_at(said: datetime | UnsetType, received_at: datetime) -> datetime:
    """Never after the receipt: a sender's clock may be a little ahead (checks.AHEAD)."""
    return received_at if said is UNSET else min(said, received_at)


def _customer(said: CustomerInput) -> Customer:
    if said is NO_CUSTOMER:
        return _NOBODY
    known = said.name or said.phone or said.email
    personal = Personal(name=said.name, phone=said.phone, email=said.email) if known else None
    return Customer(id=said.id, tier=said.tier, region=said.region, personal=personal)


def _product(said: ProductInput) -> Product:
    return _NOTHING if said is NO_PRODUCT else Product(sku=said.sku, model=said.model, batch=said.batch)


def _rating(said: RatingInput | UnsetType) -> Rating | None:
    if said is UNSET:
        return None
    return Rating(metric=said.metric, score=said.score, scale_min=said.scale_min, scale_max=said.scale_max)
