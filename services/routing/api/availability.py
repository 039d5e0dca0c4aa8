"""PUT /people/{id}/availability: somebody says when they are away, or that they are back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from services.routing.actions import Actions
from services.routing.api.views import answer, decoded, forbidden
from services.routing.domain.permission import Forbidden, check_may_set_availability
from services.routing.domain.roster import Absence
from services.routing.store import CaseStore
from shared.clock import Clock, in_milliseconds
from shared.events import Moment
from shared.http_body import BodyLimits, media_type, read_body
from shared.permission import sees
from shared.policy import Policy
from shared.principal import Principal
from shared.problem import Fault, Problem

BODY = BodyLimits(("application/json",), bytes=10_000, seconds=10.0)
LONGEST = timedelta(days=366)
UNFIT = "The availability does not fit."


class Availability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Away `from` (now, where it is not said) `until` a moment; neither: there."""

    start: Moment | None = None
    until: Moment | None = None


_availability = msgspec.json.Decoder(Availability)


def availability_routes(
    store: CaseStore, actions: Actions, policy: Callable[[], Policy], clock: Clock, guard: type[APIRoute]
) -> APIRouter:
    """The one call that says who is there."""
    router = APIRouter(route_class=guard, tags=["people"])

    @router.put("/people/{person}/availability")
    async def put_availability(person: str, request: Request) -> Response:
        """Who is away is given nothing, and keeps what they have; back again, they are given what waits."""
        in_force = policy()
        _check_may(request.state.principal, person, in_force)
        media_type(request, BODY.types)
        now = clock.now()
        said = decoded(_availability, await read_body(request, BODY), UNFIT)
        absence = _absence(said, now)
        await store.set_absence(person, absence)
        await actions.ask_for_roster(in_force.people[person].department, person, now)
        away = {"from": absence.start, "until": absence.end} if absence else None
        return answer({"id": person, "away": away})

    return router


def _check_may(who: Principal, person: str, policy: Policy) -> None:
    """Raises Problem: 404 for who is not there or in a department that the caller does not see, 403."""
    known = policy.people.get(person)
    if known is None or not sees(who, known.department):
        raise Problem(404, "No such person.")
    try:
        check_may_set_availability(who, person, known.department)
    except Forbidden as error:
        raise forbidden(error) from None


def _absence(said: Availability, now: datetime) -> Absence | None:
    if said.until is None:
        if said.start is not None:
            raise Problem(422, UNFIT, [Fault("/until", "is required with from")])
        return None
    start, until = _utc("/from", said.start or now), _utc("/until", said.until)
    if not timedelta(0) < until - start <= LONGEST:
        fault = Fault("/until", "must be after from, by at most 366 days", "366 d")
        raise Problem(422, UNFIT, [fault])
    return Absence(in_milliseconds(start), in_milliseconds(until))


def _utc(where: str, at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise Problem(422, UNFIT, [Fault(where, "must be within the years 1 to 9999 in UTC")]) from None
