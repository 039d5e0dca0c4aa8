"""HTTP in: clocks, what is late, what was escalated, and what a calendar or a promise would come to."""

from fastapi import APIRouter

from services.sla.api.preview import preview_routes
from services.sla.api.reading import Now, reading_routes
from services.sla.domain.promise import Promises
from services.sla.store import ClockStore
from shared.auth import Access, guarded


def routes(store: ClockStore, promises: Promises, now: Now, access: Access) -> APIRouter:
    """All routes of the service, as docs/api.md lists them."""
    router, guard = APIRouter(tags=["sla"]), guarded(access, "sla:read")
    router.include_router(reading_routes(store, promises, now, guard))
    router.include_router(preview_routes(promises, guard))
    return router
