"""POST /v1/calendars/preview and /v1/sla/dry-run: what would come of it; nothing is changed or kept."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.sla.api.dry_run import DryRun, dry_view
from services.sla.api.reading import Moment, Text
from services.sla.domain.following import follow
from services.sla.domain.promise import Promises
from shared.bodies import limited
from shared.calendar import Calendar, CalendarError, NoWorkingTime
from shared.clock import rfc3339
from shared.events import (
    Case,
    Channel,
    Customer,
    Kind,
    Language,
    Priority,
    Product,
    Severity,
    Urgency,
)
from shared.http_body import BodyLimits
from shared.policy import CalendarSpec, build_calendar
from shared.problem import Fault, Problem, pointer

MAX_QUESTIONS = 5_000
MOST_YEARS = 30
"""A year of 47 intervals a day is 2 MB and 50 ms; the years of a calendar are 230."""
BODY = BodyLimits(("application/json",), bytes=2 * 1024 * 1024, seconds=10.0)
"""Room for the questions, with a calendar of a page or two."""
_MINUTES = 20 * 366 * 24 * 60
_YEAR = timedelta(days=367)
"""Without working time, more idle days than a calendar may have."""
_NO_ID = UUID(int=0)


LONGEST_CATEGORY = 6 * 64 + 5
"""Six names by dots, as a policy may call one (shared/policy/models.py)."""
Line = Annotated[str, Field(max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DueQuestion(_Part):
    """When `minutes` of working time are over."""

    start: Moment
    minutes: Annotated[int, Field(ge=0, le=_MINUTES)]


class ElapsedQuestion(_Part):
    """How much working time lies between."""

    start: Moment
    end: Moment


class Question(_Part):
    due: DueQuestion | None = None
    elapsed: ElapsedQuestion | None = None

    @property
    def moments(self) -> list[datetime]:
        if self.due is not None:
            return [self.due.start]
        return [self.elapsed.start, self.elapsed.end] if self.elapsed is not None else []

    @model_validator(mode="after")
    def _one(self) -> "Question":
        if (self.due is None) == (self.elapsed is None):
            raise ValueError("a question is either due or elapsed")
        return self


class Preview(_Part):
    calendar: CalendarSpec
    questions: Annotated[list[Question], Field(max_length=MAX_QUESTIONS)]


class SomeCustomer(_Part):
    id: Line = ""
    tier: Line = ""
    region: Line = ""


class SomeProduct(_Part):
    sku: Line = ""
    model: Line = ""
    batch: Line = ""


class SomeCase(_Part):
    """A case that need not exist: what `sla.when` may ask about, and when it was opened.

    Texts are as long as intake lets them be: what conditions say about one is remembered with it.
    """

    priority: Priority
    department: Text
    opened_at: Moment
    category: Annotated[str, Field(max_length=LONGEST_CATEGORY)] = ""
    kind: Kind = "complaint"
    channel: Channel = "api"
    language: Language = "other"
    severity: Severity = "medium"
    urgency: Urgency = "medium"
    source: Line = ""
    owner: Line = ""
    supplier_id: Line = ""
    subject: Annotated[str, Field(max_length=500)] = ""
    customer: SomeCustomer = SomeCustomer()
    product: SomeProduct = SomeProduct()


def preview_routes(promises: Promises, guard: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/v1", route_class=limited(guard, BODY))
    previewing = asyncio.Lock()

    @router.post("/calendars/preview", response_model=None)
    async def preview_calendar(body: Preview) -> JSONResponse:
        """Answers in the order of the questions: `{"due"}` for due, `{"minutes"}` for elapsed.

        Their moments, and what is due, lie within 30 years of the earliest of them.
        """
        async with previewing:  # each lays out its years in memory, beside everybody else's requests
            answers = await asyncio.to_thread(_previewed, body)
        return JSONResponse({"answers": answers})

    @router.post("/sla/dry-run")
    async def dry_run(body: SomeCase) -> DryRun:
        """Every due and every step of such a case, were it left alone."""
        try:
            clock, _ = follow(None, _case(body), 0, promises, body.opened_at.astimezone(UTC))
        except (NoWorkingTime, CalendarError) as error:
            raise Problem(422, "No due can be computed.", [Fault("/opened_at", str(error))]) from error
        return dry_view(clock, promises)

    return router


def _previewed(body: Preview) -> list[dict[str, Any]]:
    """Raises Problem, as do the functions below."""
    try:
        calendar = build_calendar(body.calendar)
    except CalendarError as error:
        path = error.path.replace("[", ".").replace("]", "").split(".", 2)
        fault = Fault(pointer("calendar", *path), error.reason)
        raise Problem(422, "The calendar is refused.", [fault]) from error
    return _answers(calendar, body.questions)


def _answers(calendar: Calendar, questions: list[Question]) -> list[dict[str, Any]]:
    moments = [moment for question in questions for moment in question.moments]
    if not moments:
        return []
    earliest = min(moments)
    last = earliest + MOST_YEARS * _YEAR
    if max(moments) > last:
        raise _too_far(f"their moments span more than {MOST_YEARS} years")
    answers: list[dict[str, Any]] = []
    for index, question in enumerate(questions):
        try:
            calendar.worked(
                earliest
            )  # first: a year put behind costs the year, one put before costs them all
            answers.append(_answer(calendar, question, index, last))
        except (NoWorkingTime, CalendarError) as error:
            fault = Fault(pointer("questions", index), str(error))
            raise Problem(422, "A question has no answer by this calendar.", [fault]) from error
    return answers


def _answer(calendar: Calendar, question: Question, index: int, last: datetime) -> dict[str, Any]:
    if question.due is not None:
        seconds = question.due.minutes * 60
        if not _is_due_by(calendar, question.due.start, seconds, last):
            raise _too_far(f"is due more than {MOST_YEARS} years after the earliest moment", index)
        return {"due": rfc3339(calendar.due(question.due.start, seconds))}
    assert question.elapsed is not None, "a question is either due or elapsed"
    seconds = calendar.elapsed(question.elapsed.start, question.elapsed.end)
    return {"minutes": seconds // 60 if seconds % 60 == 0 else seconds / 60}


def _is_due_by(calendar: Calendar, start: datetime, seconds: int, last: datetime) -> bool:
    """A year at a time, so that no more years are laid out; an idle one is left to the calendar to refuse."""
    done, until, wanted = 0, start, seconds * 1_000_000
    while done < wanted:
        if until >= last:
            return False
        following = min(until + _YEAR, last)
        work = calendar.elapsed_microseconds(until, following)
        if not work and following - until == _YEAR:
            return True
        done, until = done + work, following
    return True


def _too_far(message: str, *place: int) -> Problem:
    fault = Fault(pointer("questions", *place), message, MOST_YEARS)
    return Problem(422, "The questions reach too far.", [fault])


def _case(body: SomeCase) -> Case:
    given = body.model_dump(exclude={"customer", "product", "opened_at"})
    opened_at = body.opened_at.astimezone(UTC)
    return Case(
        id=_NO_ID,
        reference="",
        version=1,
        status="new",
        customer=Customer(**body.customer.model_dump()),
        product=Product(**body.product.model_dump()),
        opened_at=opened_at,
        updated_at=opened_at,
        **given,
    )
