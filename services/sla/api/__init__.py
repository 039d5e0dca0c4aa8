"""HTTP in: clocks, what is late, what was escalated, and what a calendar or a promise would come to."""

from fastapi import APIRouter

from services.sla.api.preview import preview_routes
from services.sla.api.reading import reading_routes
from services.sla.domain.promise import Promises
from services.sla.store import ClockStore
from shared.clock import Clock


def routes(store: ClockStore, promises: Promises, clock: Clock) -> APIRouter:
    """All routes of the service, as docs/api.md lists them."""
    router = APIRouter(tags=["sla"])
    router.include_router(reading_routes(store, promises, clock))
    router.include_router(preview_routes(promises))
    return router
