"""HTTP in: cases, their history, what people do with them, and the organisation in force."""

from collections.abc import Callable

from fastapi import APIRouter

from services.routing.actions import Actions
from services.routing.api.acting import acting_routes
from services.routing.api.cases import case_routes
from services.routing.api.organisation import organisation_routes
from services.routing.store import CaseStore
from shared.policy import Policy


def routes(store: CaseStore, actions: Actions, policy: Callable[[], Policy]) -> APIRouter:
    """All routes of the service, as docs/api.md lists them."""
    router = APIRouter(prefix="/v1")
    router.include_router(case_routes(store))
    router.include_router(acting_routes(store, actions))
    router.include_router(organisation_routes(store, policy))
    return router
