"""HTTP in: cases, their history, what people do with them, and the organisation in force."""

from fastapi import APIRouter

from services.routing.actions import Actions
from services.routing.api.acting import acting_routes
from services.routing.api.audit import audit_routes
from services.routing.api.availability import availability_routes
from services.routing.api.cases import case_routes
from services.routing.api.organisation import organisation_routes
from services.routing.api.policy import policy_routes
from services.routing.audit import Audit
from services.routing.store import CaseStore
from shared.auth import Access, guarded
from shared.clock import Clock
from shared.policy_in_force import PolicyInForce
from shared.sealing import Seals


def routes(
    store: CaseStore,
    actions: Actions,
    audit: Audit,
    policy: PolicyInForce,
    clock: Clock,
    access: Access,
    seals: Seals,
) -> APIRouter:
    """All routes of the service, as docs/api.md lists them."""
    router = APIRouter(prefix="/v1")
    router.include_router(case_routes(store, seals, guarded(access, "cases:read")))
    router.include_router(acting_routes(store, actions, seals, guarded(access, "cases:write")))
    router.include_router(organisation_routes(store, policy, guarded(access, "people:read")))
    router.include_router(policy_routes(store, policy, clock, guarded(access, "policy:read")))
    writing = guarded(access, "cases:write")
    router.include_router(availability_routes(store, actions, policy, clock, writing))
    router.include_router(audit_routes(audit, guarded(access, "audit:read")))
    return router
