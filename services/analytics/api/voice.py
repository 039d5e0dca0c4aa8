"""The voice of the customer: what is said most and more than before, and in which mood, week by week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from services.analytics.api.answering import Answers, json_answer
from services.analytics.api.questions import refuse
from services.analytics.domain.periods import midnight, week_of
from services.analytics.domain.tallies import MOODS
from services.analytics.domain.terms import FEWEST, WEEKS_BEFORE, Rising, Term, frequent, rising
from services.analytics.domain.voice import LANGUAGES
from services.analytics.store.voice import VoiceStore
from shared.permission import narrowed
from shared.query import only
from shared.topics import CASES, FEEDBACK

MOST_SHOWN = 100
TOPICS = frozenset({FEEDBACK.name, CASES.name})
"""Texts come with the one, their categories and departments with the other."""
_EARLIEST, _LATEST = date(1900, 1, 8), date(2199, 12, 1)


class VoiceParameters(BaseModel):
    week: str | None = Field(None, description="a day of the week, 2026-03-02; the week of now without it")
    lang: Literal["en", "zh"] | None = Field(None, description="of the texts; both without it")
    category: str | None = Field(None, max_length=200, description="one category; all without it")
    department: str | None = Field(None, max_length=200, description="one department; all without it")
    limit: int = Field(20, ge=1, le=MOST_SHOWN, description="terms of each list")


@dataclass(frozen=True, slots=True)
class Week:
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Share:
    n: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Voice:
    """`n` texts; a term counts once per text. `undercount`: by how much one may be counted short."""

    week: Week
    zone: str
    as_of: datetime | None
    lang: str | None
    category: str | None
    n: int
    sentiment: dict[str, Share]
    terms: list[Term]
    rising: list[Rising]
    fewest: int
    undercount: int


def voice_routes(answers: Answers, store: VoiceStore, guard: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/v1/voice", tags=["voice"], route_class=guard)

    @router.get("", responses={200: {"model": Voice}}, dependencies=[Depends(only(VoiceParameters))])
    async def voice(parameters: Annotated[VoiceParameters, Query()], request: Request) -> Response:
        """What texts of a week say most, what they say more than the four weeks before, and in which mood."""
        given, zone = parameters.week, answers.zone
        day = answers.clock.now().astimezone(zone).date() if given is None else _day(given)
        start = week_of(day, answers.first_weekday())
        as_of = await answers.freshness.as_of(TOPICS)
        asked = None if parameters.department is None else (parameters.department,)
        departments = narrowed(request.state.principal, asked)
        languages = LANGUAGES if parameters.lang is None else (parameters.lang,)
        spans = _days(start, 0, 7), _days(start, -7 * WEEKS_BEFORE, 0)
        now, before = await store.said(spans, languages, parameters.category, departments)
        moods = {mood: Share(now.moods[mood], now.moods[mood] / now.n if now.n else None) for mood in MOODS}
        week = Week(midnight(start, zone), midnight(start + timedelta(days=7), zone))
        said = Voice(
            week, zone.key, as_of, parameters.lang, parameters.category, now.n, moods,
            frequent(now.terms, now.n, parameters.limit),
            rising(now.terms, now.n, before.terms, before.n, parameters.limit),
            FEWEST, now.dropped,
        )  # fmt: skip
        return json_answer(said)

    return router


def _days(start: date, first: int, last: int) -> list[date]:
    return [start + timedelta(days=n) for n in range(first, last)]


def _day(given: str) -> date:
    try:
        day = date.fromisoformat(given)
    except ValueError as error:
        raise refuse("week", "must be a day of the week, such as 2026-03-02") from error
    if not _EARLIEST <= day <= _LATEST:
        raise refuse("week", "must lie in the years 1900 to 2199")
    return day
