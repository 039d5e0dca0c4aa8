"""GET /v1/clocks, /v1/overdue, /v1/escalations. A parameter that is not known is refused, not ignored."""

import base64
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from services.sla.api.dry_run import DryRun, dry_view
from services.sla.api.lists import (
    STEPS_SHOWN,
    EscalationPage,
    EscalationView,
    LatePage,
    NoticePage,
    late_case,
    notice_view,
)
from services.sla.api.views import ClockView, clock_view
from services.sla.domain.promise import Promises
from services.sla.store import ClockStore, EscalationFilter, LateFilter
from shared.calendar import FIRST_YEAR, LAST_YEAR
from shared.cursors import content_of, in_utc
from shared.events import EscalationAction, Priority, Target
from shared.permission import narrowed, sees
from shared.policy import Wall
from shared.problem import Problem

Now = Callable[[], Awaitable[datetime]]
"""The database's clock: by it things are due, and a replica's own may be wrong by hours."""
Position = tuple[datetime, UUID]
_decoder = msgspec.json.Decoder(Position)


def in_range(moment: datetime) -> datetime:
    """A moment that calendars and the database can hold."""
    if not FIRST_YEAR < moment.year < LAST_YEAR:
        raise ValueError(f"a year after {FIRST_YEAR} and before {LAST_YEAR}")
    return moment


def _span(value: Any) -> Any:
    return Wall._validate(value).seconds if isinstance(value, str) else value


def _position(cursor: str) -> Position:
    try:
        moment, identity = content_of(cursor, _decoder)
        return in_range(in_utc(moment)), identity
    except ValueError as error:
        raise ValueError("not a cursor of this list") from error


def _checked(cursor: str) -> str:
    _position(cursor)
    return cursor


def _cursor(moment: datetime, identity: UUID) -> str:
    """Where the next page begins, opaque to the caller."""
    return base64.urlsafe_b64encode(msgspec.json.encode((moment, identity))).decode()


Moment = Annotated[AwareDatetime, AfterValidator(in_range)]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Page(BaseModel):
    """What every list takes; `cursor` is the `next` of the page before."""

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: Annotated[str, Field(max_length=300), AfterValidator(_checked)] | None = None

    @property
    def after(self) -> Position | None:
        """The last item of the page before."""
        return None if self.cursor is None else _position(self.cursor)


class LateQuery(Page):
    """`within` also shows what is due in that span, `30m`, `2h`, `1d`; with `past=false` only that."""

    within: Annotated[int, BeforeValidator(_span, json_schema_input_type=str)] = 0
    past: bool = True
    department: Text | None = None
    owner: Text | None = None
    priority: Priority | None = None
    target: Target | None = None


class EscalationQuery(Page):
    """`from` and `to` bound when a step fired, `to` exclusive; `step` is its action."""

    case_id: UUID | None = None
    since: Moment | None = Field(default=None, alias="from")
    until: Moment | None = Field(default=None, alias="to")
    step: EscalationAction | None = None
    recipient: Annotated[str, Field(max_length=200)] | None = None


class NoticeQuery(Page):
    recipient: Text | None = None


def reading_routes(store: ClockStore, promises: Promises, now: Now, guard: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/v1", route_class=guard)

    @router.get("/clocks/{case_id}")
    async def get_clock(case_id: UUID, request: Request) -> ClockView:
        """Where the clocks of a case stand; 404 until the first event of the case has come."""
        found = await store.clock(case_id)
        if found is None or not sees(request.state.principal, found.labels.department):
            raise Problem(404, "No clock runs for such a case.")
        return clock_view(found, promises, await now())

    @router.get("/sla/dry-run/{case_id}")
    async def get_dry_run(case_id: UUID, request: Request) -> DryRun:
        """Every due and every step of a case as its clock stands, were it left alone from now on."""
        found = await store.clock(case_id)
        if found is None or not sees(request.state.principal, found.labels.department):
            raise Problem(404, "No clock runs for such a case.")
        return dry_view(found, promises)

    @router.get("/overdue")
    async def get_overdue(request: Request, query: Annotated[LateQuery, Query()]) -> LatePage:
        """Open cases past due or within `within`, most overdue first. Cases on hold are not late."""
        moment = await now()
        until = moment + timedelta(seconds=query.within)
        asked = None if query.department is None else [query.department]
        wanted = LateFilter(
            until,
            query.target or "earliest",
            None if query.past else moment,
            query.owner,
            query.priority,
            narrowed(request.state.principal, asked),
            query.after,
            query.limit + 1,
        )
        found = await store.late(wanted)
        shown = [late_case(late, query.target, until, moment) for _, late in found[: query.limit] if late]
        items = [one for one in shown if one is not None]
        following = _cursor(*found[query.limit - 1][0]) if len(found) > query.limit else None
        return LatePage(items=items, next=following)

    @router.get("/escalations")
    async def get_escalations(request: Request, query: Annotated[EscalationQuery, Query()]) -> EscalationPage:
        """Steps that fired, the latest first; of the caller's departments, as they were when it fired."""
        wanted = EscalationFilter(
            query.case_id,
            query.recipient,
            query.step,
            narrowed(request.state.principal, None),
            query.since,
            query.until,
            query.after[1] if query.after else None,
            query.limit + 1,
        )
        found = await store.escalations.find(wanted)
        items = [EscalationView.model_validate(escalation) for escalation in found[: query.limit]]
        following = _cursor(items[-1].at, items[-1].id) if len(found) > query.limit else None
        return EscalationPage(items=items, next=following)

    @router.get("/notices")
    async def get_notices(request: Request, query: Annotated[NoticeQuery, Query()]) -> NoticePage:
        """What people were told, the latest first: one step each, or a digest of many."""
        departments = narrowed(request.state.principal, None)
        after = query.after[1] if query.after else None
        found = await store.notices.find(query.recipient, departments, after, query.limit + 1, STEPS_SHOWN)
        items = [notice_view(notice) for notice in found[: query.limit]]
        following = _cursor(items[-1].at, items[-1].id) if len(found) > query.limit else None
        return NoticePage(items=items, next=following)

    return router
