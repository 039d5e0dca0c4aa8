"""What all ways in share: who may enter, how much at a time, what the time is, and the way to Kafka."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import Request

from services.intake.api.admission import Budget
from services.intake.api.outlet import Outlet
from services.intake.domain.signals import Sender
from shared.auth import Access
from shared.clock import Clock
from shared.problem import Fault, Problem

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class Door:
    """`body_seconds`: time a body may take to arrive."""

    outlet: Outlet
    budget: Budget
    clock: Clock
    access: Access
    body_seconds: float

    def sender(self, request: Request, scope: str) -> Sender:
        """Who sends, with the Idempotency-Key. Raises Problem when it may not, or the key does not fit."""
        principal = self.access.admit(request, scope)
        key = request.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            fault = Fault("Idempotency-Key", "must be 1 to 255 visible ASCII characters", 255)
            raise Problem(422, "A header does not fit; see errors.", [fault])
        return Sender(principal.source, (key,) if key else (), principal.fixed_source)
