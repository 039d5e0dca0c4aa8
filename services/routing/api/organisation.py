"""The organisation in force: the policy, departments and people with their load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.routing.api.views import answer
from services.routing.domain.assignment import Seat
from services.routing.store import CaseStore
from shared.policy import Policy

Filter = Annotated[str | None, Query(max_length=200)]


def organisation_routes(store: CaseStore, policy: Callable[[], Policy]) -> APIRouter:
    """GET /policy, /departments, /people."""
    router = APIRouter()

    @router.get("/policy", tags=["policy"])
    async def get_policy() -> Response:
        """The policy in force."""
        now = policy()
        return answer({
            "version": now.version,
            "name": now.organisation.name.model_dump(),
            "departments": list(now.departments),
            "people": len(now.people),
            "rules": [rule.name for rule in now.routing],
            "causes": now.causes,
            "warnings": [str(finding) for finding in now.warnings],
        })  # fmt: skip

    @router.get("/departments", tags=["people"])
    async def get_departments() -> Response:
        """Load, capacity and queue of each department."""
        loads, queues, now = await store.loads(), await store.queue_lengths(), policy()
        items = []
        for name, department in now.departments.items():
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
    async def get_people(department: Filter = None) -> Response:
        """Load and capacity of each person."""
        loads = await store.loads()
        items = [
            {
                "id": name, "name": person.name, "department": person.department,
                "capacity": person.capacity,
                "load": loads.get(person.department, {}).get(name, Seat()).load,
            }
            for name, person in policy().people.items()
            if department in (None, person.department)
        ]  # fmt: skip
        return answer({"items": items, "next": None})

    return router
