"""The organisation in force: departments and people with their load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute

from services.routing.api.views import answer
from services.routing.domain.pool import Seat
from services.routing.store import CaseStore
from shared.permission import sees
from shared.policy import Policy
from shared.principal import Principal

Filter = Annotated[str | None, Query(max_length=200)]


def organisation_routes(store: CaseStore, policy: Callable[[], Policy], guard: type[APIRoute]) -> APIRouter:
    """GET /departments, /people."""
    router = APIRouter(route_class=guard)

    @router.get("/departments", tags=["people"])
    async def get_departments(request: Request) -> Response:
        """Load, capacity and queue of each department that the caller may know of."""
        who: Principal = request.state.principal
        loads, queues, now = await store.loads(), await store.queue_lengths(), policy()
        items = []
        for name, department in now.departments.items():
            if not sees(who, name):
                continue
            members = [person for person in now.people.values() if person.department == name]
            items.append({
                "id": name,
                "name": department.name.model_dump(),
                "head": department.head,
                "supervisor": department.supervisor,
                "people": len(members),
                "capacity": sum(person.capacity for person in members),
                "load": sum(seat.load for seat in loads.get(name, {}).values()),
                "queue": queues.get(name, 0),
            })  # fmt: skip
        return answer({"items": items, "next": None})

    @router.get("/people", tags=["people"])
    async def get_people(request: Request, department: Filter = None) -> Response:
        """Load and capacity of each person of these departments."""
        who: Principal = request.state.principal
        loads = await store.loads()
        items = [
            {
                "id": name, "name": person.name, "department": person.department,
                "capacity": person.capacity,
                "load": loads.get(person.department, {}).get(name, Seat()).load,
            }
            for name, person in policy().people.items()
            if department in (None, person.department) and sees(who, person.department)
        ]  # fmt: skip
        return answer({"items": items, "next": None})

    return router
