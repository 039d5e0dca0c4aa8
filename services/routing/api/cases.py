"""Reading cases: lists, one case, its timeline, and what became of a feedback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute

from services.routing.api.paging import cursor_after, place_of
from services.routing.api.views import (
    answer,
    case_answer,
    found,
    shown,
    shown_briefly,
    shown_history,
)
from services.routing.domain.changes import Outcome
from services.routing.store import CaseStore
from services.routing.store.listing import Order, Wanted
from shared.events import Priority, Status
from shared.permission import narrowed, sees, visible_departments
from shared.principal import Principal
from shared.problem import Fault, Problem
from shared.query import only
from shared.sealing import Seals

RELATED = 20
Filter = Annotated[str | None, Query(max_length=200)]
_PARAMETERS = (
    "status", "priority", "department", "owner", "category", "customer_id", "feedback_id", "opened_from",
    "opened_to", "sort", "limit", "cursor",
)  # fmt: skip


def case_routes(store: CaseStore, seals: Seals, guard: type[APIRoute]) -> APIRouter:
    """GET /cases, /cases/{id}, /cases/{id}/timeline, /feedback/{id}."""
    router = APIRouter(route_class=guard)
    _add_list(router, store, seals)

    @router.get("/cases/{identity}", tags=["cases"])
    async def get_case(identity: str, request: Request) -> Response:
        """A case by id or by reference; ETag is its version. `related` are the newest other cases of the same
        product batch and of the same supplier."""
        who: Principal = request.state.principal
        file = await found(store, identity, who)
        related = await store.related(file.case, narrowed(who, None), RELATED)
        brief = {name: [shown_briefly(one) for one in files] for name, files in related.items()}
        return case_answer(file, who, seals, related=brief)

    @router.get("/cases/{identity}/timeline", tags=["cases"])
    async def timeline(identity: str, request: Request) -> Response:
        """The history: every version, who made it, and why."""
        who: Principal = request.state.principal
        case = (await found(store, identity, who)).case
        entries = await store.history(case.id)
        return answer({"items": shown_history(case, entries, who, seals), "next": None})

    @router.get("/feedback/{feedback_id}", tags=["feedback"])
    async def get_feedback(feedback_id: UUID, request: Request) -> Response:
        """What became of a feedback; 404 until routing has seen it."""
        outcome = await store.outcome(feedback_id)
        if outcome is None or not await _may_know(request.state.principal, outcome, store):
            raise Problem(404, "No such feedback has been routed.")
        return answer({"id": outcome.id, "state": outcome.state, "case_id": outcome.case_id})

    return router


def _add_list(router: APIRouter, store: CaseStore, seals: Seals) -> None:
    @router.get("/cases", tags=["cases"], dependencies=[Depends(only(_PARAMETERS))])
    async def list_cases(
        request: Request,
        status: Status | None = None,
        priority: Priority | None = None,
        department: Filter = None,
        owner: Filter = None,
        category: Filter = None,
        customer_id: Filter = None,
        feedback_id: UUID | None = None,
        opened_from: datetime | None = None,
        opened_to: datetime | None = None,
        sort: Order = "-opened_at",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
    ) -> Response:
        """Cases by filters, newest first unless `sort` says otherwise; of the caller's departments only."""
        who: Principal = request.state.principal
        fields: dict[str, Any] = {
            name: value
            for name, value in {
                "status": status, "priority": priority, "owner": owner, "category": category,
                "customer.id": customer_id,
            }.items()
            if value is not None
        }  # fmt: skip
        departments = narrowed(who, None if department is None else [department])
        if departments is not None:
            fields["department"] = departments[0] if len(departments) == 1 else {"$in": departments}
        if feedback_id is not None:
            outcome = await store.outcome(feedback_id)
            fields["_id"] = outcome.case_id if outcome else None
        spans = {"$gte": _aware("opened_from", opened_from), "$lt": _aware("opened_to", opened_to)}
        opened = {operator: at for operator, at in spans.items() if at is not None}
        after = place_of(cursor, sort) if cursor is not None else None
        files = await store.search(Wanted(fields, opened, sort, after), limit + 1)
        following = cursor_after(files[limit - 1].case, sort) if len(files) > limit else None
        return answer({"items": [shown(file, who, seals) for file in files[:limit]], "next": following})


async def _may_know(who: Principal, outcome: Outcome, store: CaseStore) -> bool:
    """What opened no case belongs to no department."""
    if outcome.case_id is None or visible_departments(who) is None:
        return True
    file = await store.find(str(outcome.case_id))
    return file is not None and sees(who, file.case.department)


def _aware(name: str, at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise Problem(422, "A time needs an offset.", [Fault(f"?{name}", "must carry an offset or Z")])
    try:
        return at.astimezone(UTC)
    except OverflowError:
        fault = Fault(f"?{name}", "must be within the years 1 to 9999 in UTC")
        raise Problem(422, "A time is out of range.", [fault]) from None
