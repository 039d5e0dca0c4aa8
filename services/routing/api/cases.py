"""Reading cases: lists, one case, its timeline, and what became of a feedback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.routing.api.views import (
    ORDERS,
    answer,
    beyond,
    case_answer,
    cursor_after,
    found,
    shown,
    shown_entry,
)
from services.routing.store import CaseStore
from shared.events import Priority, Status
from shared.problem import Fault, Problem

Filter = Annotated[str | None, Query(max_length=200)]


def case_routes(store: CaseStore) -> APIRouter:
    """GET /cases, /cases/{id}, /cases/{id}/timeline, /feedback/{id}."""
    router = APIRouter()
    _add_list(router, store)

    @router.get("/cases/{identity}", tags=["cases"])
    async def get_case(identity: str) -> Response:
        """A case by id or by reference; ETag is its version."""
        return case_answer(await found(store, identity))

    @router.get("/cases/{identity}/timeline", tags=["cases"])
    async def timeline(identity: str) -> Response:
        """The history: every version, who made it, and why."""
        file = await found(store, identity)
        entries = await store.history(file.case.id)
        return answer({"items": [shown_entry(n, entry) for n, entry in enumerate(entries, 1)], "next": None})

    @router.get("/feedback/{feedback_id}", tags=["feedback"])
    async def get_feedback(feedback_id: UUID) -> Response:
        """What became of a feedback; 404 until routing has seen it."""
        outcome = await store.outcome(feedback_id)
        if outcome is None:
            raise Problem(404, "No such feedback has been routed.")
        return answer({"id": outcome.id, "state": outcome.state, "case_id": outcome.case_id})

    return router


def _add_list(router: APIRouter, store: CaseStore) -> None:
    @router.get("/cases", tags=["cases"])
    async def list_cases(
        status: Status | None = None,
        priority: Priority | None = None,
        department: Filter = None,
        owner: Filter = None,
        category: Filter = None,
        customer_id: Filter = None,
        feedback_id: UUID | None = None,
        opened_from: datetime | None = None,
        opened_to: datetime | None = None,
        sort: Annotated[str, Query(pattern="^(-opened_at|opened_at|priority|-updated_at)$")] = "-opened_at",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
    ) -> Response:
        """Cases by filters, newest first unless `sort` says otherwise."""
        query: dict[str, Any] = {
            name: value
            for name, value in {
                "status": status, "priority": priority, "department": department, "owner": owner,
                "category": category, "customer.id": customer_id, "feedback_ids": feedback_id,
            }.items()
            if value is not None
        }  # fmt: skip
        spans = {"$gte": _aware("opened_from", opened_from), "$lt": _aware("opened_to", opened_to)}
        if span := {operator: at for operator, at in spans.items() if at is not None}:
            query["opened_at"] = span
        field, direction = ORDERS[sort]
        if cursor is not None:
            query = {"$and": [query, beyond(cursor, field, direction)]}
        files = await store.search(query, [(field, direction), ("_id", direction)], limit + 1)
        following = cursor_after(files[limit - 1].case, field) if len(files) > limit else None
        return answer({"items": [shown(file) for file in files[:limit]], "next": following})


def _aware(name: str, at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise Problem(422, "A time needs an offset.", [Fault(f"?{name}", "must carry an offset or Z")])
    return at.astimezone(UTC) if at else None
