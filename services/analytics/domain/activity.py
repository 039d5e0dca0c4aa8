"""Activity facts: what happened in the business; and what an activity is a part of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import field, structs

from services.analytics.domain import joints
from services.analytics.domain.facts import LARGEST_INTEGER, Outcome, out_of_range
from services.analytics.domain.joints import JointFact, Part, Told
from services.analytics.domain.rows import Fact
from services.analytics.domain.tallies import ACTIVITY_FACTS
from shared.errors import ConflictError
from shared.events import ActivityKind, ActivityRecorded, Product

COLLECTION = ACTIVITY_FACTS


class ActivityFact(Fact, frozen=True, kw_only=True):
    """One activity; `at` is when it happened."""

    id: UUID = field(name="_id")
    kind: ActivityKind
    at: datetime
    received_at: datetime
    fingerprint: str
    quantity: int
    source: str = ""
    external_id: str = ""
    customer_id: str = ""
    department: str = ""
    supplier_id: str = ""
    product: Product = field(default_factory=Product)


class Known(NamedTuple):
    """What is stored about the activities of a batch, and about the joints that they belong to."""

    activities: Mapping[UUID, ActivityFact]
    joints: Mapping[str, JointFact]


def take(events: Sequence[ActivityRecorded], known: Known) -> Outcome:
    """An id's first content is its fact; the same does nothing, another content is refused (promise P3)."""
    outcome = Outcome()
    latest, parts = dict(known.activities), list[Told]()
    for index, event in enumerate(events):
        old = latest.get(event.id)
        if old is None:
            if abs(event.quantity) > LARGEST_INTEGER:
                outcome.refused.append((index, out_of_range("quantity", -LARGEST_INTEGER)))
                continue
            latest[event.id] = _fact(event)
            parts += told(event)
        elif old.fingerprint != event.fingerprint:
            error = ConflictError("this activity id was recorded before with another content")
            outcome.refused.append((index, error))
    joints.merge(known.joints, parts, outcome)
    outcome.keep(COLLECTION, known.activities, latest)
    return outcome


def told(event: ActivityRecorded) -> Iterator[Told]:
    """What the activity is a part of. Quantities below zero and contacts are part of nothing."""
    name, who, at = joints.name_of(event.id), event.customer.id, event.occurred_at
    labels = joints.business(_labels(event))
    if event.kind == "order":
        yield Told(joints.order(event.external_id or name), name, Part("order", at, d=labels))
    if event.kind in ("shipment", "return", "repair") and event.quantity > 0:
        yield from _goods(event, name, Part(event.kind, at, event.quantity, labels))
    if who and event.kind in ("order", "repurchase", "signup", "renewal", "churn"):
        yield Told(joints.customer(who), name, Part(event.kind, at, d=labels))
    if event.kind == "survey_sent":
        yield Told(joints.survey(who or name), name, Part("sent", at, d=labels))


def _goods(event: ActivityRecorded, name: str, part: Part) -> Iterator[Told]:
    """By the order that is named; what comes back may name none, and is looked for by customer and sku."""
    order, who = str(event.attributes.get("order_id", "")), event.customer.id
    of_customer = joints.goods_of_customer(who, event.product.sku)
    if order:
        yield Told(joints.goods_of_order(order), name, part)
        if who and event.kind == "shipment":
            yield Told(of_customer, name, structs.replace(part, kind="ordered"))
    elif who:
        yield Told(of_customer, name, part)
    elif event.kind == "shipment":
        yield Told(joints.goods_of_order(name), name, part)


def _labels(event: ActivityRecorded) -> dict[str, str]:
    return {
        "product_model": event.product.model,
        "product_batch": event.product.batch,
        "sku": event.product.sku,
        "region": event.customer.region,
        "tier": event.customer.tier,
        "supplier": event.supplier_id,
        "source": event.source,
    }


def _fact(event: ActivityRecorded) -> ActivityFact:
    return ActivityFact(
        id=event.id,
        kind=event.kind,
        at=event.occurred_at,
        received_at=event.received_at,
        fingerprint=event.fingerprint,
        quantity=event.quantity,
        source=event.source,
        external_id=event.external_id,
        customer_id=event.customer.id,
        department=event.department,
        supplier_id=event.supplier_id,
        product=event.product,
    )
