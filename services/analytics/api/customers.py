"""Customer 360: everything of one customer that the caller may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from services.analytics.api.answering import json_answer
from services.analytics.api.cursors import LONGEST, cursor, place_of
from services.analytics.api.questions import refuse
from services.analytics.domain.customers import CustomerFigures, Entry, Place
from services.analytics.freshness import Freshness
from services.analytics.store import customers
from services.analytics.store.customers import CustomerStore
from shared.cursors import in_utc
from shared.permission import visible_departments
from shared.problem import Problem
from shared.query import only
from shared.topics import ACTIVITY, CASES, FEEDBACK

MOST_ENTRIES = 200
TOPICS = frozenset({FEEDBACK.name, ACTIVITY.name, CASES.name})
"""What is read of a customer comes with these."""


@dataclass(frozen=True, slots=True)
class Customer360:
    """`figures` are of everything that the caller may see, not of the page alone; `as_of`: up to when all
    partitions are in what was read."""

    id: str
    as_of: datetime | None
    figures: CustomerFigures
    items: list[Entry]
    next: str | None


class CustomerParameters(BaseModel):
    sort: Literal["at", "-at"] = Field("at", description="-at: the newest first")
    limit: int = Field(50, ge=1, le=MOST_ENTRIES)
    cursor: str | None = Field(None, max_length=LONGEST)


def customer_routes(store: CustomerStore, freshness: Freshness, guard: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/v1/customers", tags=["customers"], route_class=guard)

    @router.get(
        "/{id:path}",
        responses={200: {"model": Customer360}},
        dependencies=[Depends(only(CustomerParameters))],
    )
    async def customer(
        id: Annotated[str, Path(description="the customer's id, percent-encoded")],
        parameters: Annotated[CustomerParameters, Query()],
        request: Request,
    ) -> Response:
        """Everything of one customer in the order of time: feedback, activities, cases; and figures."""
        given, of = parameters.cursor, (id, parameters.sort)
        after = _place(given, of) if given is not None else None
        seen = visible_departments(request.state.principal)
        newest_first = parameters.sort == "-at"
        as_of = await freshness.as_of(TOPICS)
        found = await store.read(id, seen, after, parameters.limit + 1, newest_first=newest_first)
        if found is None:
            raise Problem(404, "There is no customer of this id.")
        figures, entries = found
        page = entries[: parameters.limit]
        more = len(entries) > len(page)
        following = cursor(of, customers.place_of(page[-1])) if more else None
        return json_answer(Customer360(id, as_of, figures, page, following))

    return router


def _place(given: str, of: object) -> Place:
    """Raises Problem 422 for what is no place of this list."""
    place = place_of(given, of, Place)
    try:
        return place._replace(at=in_utc(place.at))
    except ValueError:
        raise refuse("cursor", "is not from this list") from None
