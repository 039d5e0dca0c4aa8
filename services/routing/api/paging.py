"""Cursors of lists of cases: opaque to callers, and only good for the order that they come from."""

from __future__ import annotations

import base64
from datetime import datetime
from uuid import UUID

import msgspec

from services.routing.store.listing import Order, Place
from shared.cursors import content_of, in_utc
from shared.events import Case, Priority
from shared.problem import Fault, Problem

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Order, Priority, datetime, UUID])


def cursor_after(case: Case, order: Order) -> str:
    """Where the page after this case begins."""
    return base64.urlsafe_b64encode(_encoder.encode([order, *Place.of(case, order)])).decode()


def place_of(cursor: str, order: Order) -> Place:
    """Raises Problem 422 for a cursor that is not of a list in this order."""
    fault = Fault("?cursor", "is not from this list")
    wrong = Problem(422, "The cursor is not one of this list.", [fault])
    try:
        of, priority, at, last = content_of(cursor, _decoder)
        utc = in_utc(at)
    except ValueError:
        raise wrong from None
    if of != order:
        raise wrong
    return Place(priority, utc, last)
