"""Activity facts: what happened in the business; the denominators of rates to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import field

from services.analytics.domain.facts import LARGEST_INTEGER, Outcome, out_of_range
from services.analytics.domain.rollups import Fact
from shared.errors import ConflictError
from shared.events import ActivityKind, ActivityRecorded, Product

COLLECTION = "activity_facts"


class ActivityFact(Fact, frozen=True, kw_only=True):
    """One activity; `at` is when it happened."""

    id: UUID = field(name="_id")
    kind: ActivityKind
    at: datetime
    received_at: datetime
    fingerprint: str
    quantity: int
    source: str = ""
    customer_id: str = ""
    department: str = ""
    supplier_id: str = ""
    product: Product = field(default_factory=Product)


def take(events: Sequence[ActivityRecorded], known: Mapping[UUID, ActivityFact]) -> Outcome:
    """An id's first content is its fact; the same does nothing, another content is refused (promise P3)."""
    outcome = Outcome()
    latest = dict(known)
    for index, event in enumerate(events):
        old = latest.get(event.id)
        if abs(event.quantity) > LARGEST_INTEGER:
            outcome.refused.append((index, out_of_range("quantity", -LARGEST_INTEGER)))
        elif old is None:
            latest[event.id] = _fact(event)
        elif old.fingerprint != event.fingerprint:
            error = ConflictError("this activity id was recorded before with another content")
            outcome.refused.append((index, error))
    outcome.keep(COLLECTION, known, latest)
    return outcome


def _fact(event: ActivityRecorded) -> ActivityFact:
    return ActivityFact(
        id=event.id,
        kind=event.kind,
        at=event.occurred_at,
        received_at=event.received_at,
        fingerprint=event.fingerprint,
        quantity=event.quantity,
        source=event.source,
        customer_id=event.customer.id,
        department=event.department,
        supplier_id=event.supplier_id,
        product=event.product,
    )
