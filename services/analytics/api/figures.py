"""The catalogue, figures, and the facts behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field

from services.analytics.api.answering import Answers, Figure, json_answer
from services.analytics.api.cursors import LONGEST, place_of
from services.analytics.api.exports import AS_OF, MEDIA_TYPES, Exports, Format, chosen
from services.analytics.api.questions import REPEATABLE, Parameters, refuse
from services.analytics.api.records import Records, list_of, page_of
from services.analytics.api.sheets import sheet_of_figure, sheet_of_records
from services.analytics.domain.catalogue import KPIS
from services.analytics.store.evidence import Place
from shared.principal import Principal
from shared.query import only

MOST_RECORDS = 200
FILES: dict[str, Any] = {
    name: {"schema": {"type": "string", "format": "binary"}}
    for name, form in MEDIA_TYPES.items()
    if form != "json"
}
OF_A_FILE = {
    AS_OF: {
        "description": "of a file: up to when all partitions are in it",
        "schema": {"type": "string", "format": "date-time"},
    }
}


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One KPI of GET /v1/kpis; `statistics` and `clocks` stand with times only."""

    name: str
    definition: Mapping[str, str]
    unit: str
    dimensions: list[str]
    direction: str
    statistics: list[str] | None = None
    clocks: list[str] | None = None
    provisional_days: int | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    items: list[CatalogueEntry]
    next: str | None = None


class FigureParameters(Parameters):
    """Those of the question, and in what form it is answered."""

    format: Format | None = Field(None, description="else what the Accept header likes best, else JSON")
    bom: bool = Field(False, description="a CSV file begins with a byte order mark, for spreadsheets")


class RecordParameters(FigureParameters):
    """Those of the figure, and the page; a file has no pages."""

    limit: int = Field(50, ge=1, le=MOST_RECORDS)
    cursor: str | None = Field(None, max_length=LONGEST)


def figure_routes(answers: Answers, guard: type[APIRoute]) -> APIRouter:
    router, exports = APIRouter(prefix="/v1/kpis", tags=["kpis"], route_class=guard), Exports()

    @router.get("", responses={200: {"model": Catalogue}}, dependencies=[Depends(only(()))])
    async def catalogue() -> Response:
        """The catalogue: what every figure means."""
        return json_answer({"items": [kpi.document() for kpi in KPIS.values()], "next": None})

    @router.get(
        "/{name}",
        responses={200: {"model": Figure, "content": FILES, "headers": OF_A_FILE}},
        dependencies=[Depends(only(FigureParameters, REPEATABLE))],
    )
    async def figure(
        name: str, parameters: Annotated[FigureParameters, Query()], request: Request
    ) -> Response:
        """One figure: its total, and its series by grain and dimensions, of the caller's departments.

        As CSV or Parquet: a row for each point of the series.
        """
        form = _form(parameters, request)
        question = await answers.question(name, parameters, request.state.principal)
        found = await answers.figure(question)
        if form == "json":
            return json_answer(found)
        return await exports.download(sheet_of_figure(found, question), form, bom=parameters.bom)

    @router.get(
        "/{name}/records",
        responses={200: {"model": Records, "content": FILES, "headers": OF_A_FILE}},
        dependencies=[Depends(only(RecordParameters, REPEATABLE))],
    )
    async def records(
        name: str, parameters: Annotated[RecordParameters, Query()], request: Request
    ) -> Response:
        """The facts that a figure counts, in the order of time: their `n` add up to the figure's.

        As CSV or Parquet: all of them, as of one moment.
        """
        form = _form(parameters, request)
        who: Principal = request.state.principal
        question = await answers.question(name, parameters, who)
        if form != "json":
            sheet = await sheet_of_records(answers, question, who)
            return await exports.download(sheet, form, bom=parameters.bom)
        given = parameters.cursor
        after = place_of(given, list_of(question), Place) if given is not None else None
        return json_answer(await page_of(answers, question, who, after, parameters.limit))

    return router


def _form(parameters: FigureParameters, request: Request) -> Format:
    """The form of the answer. Raises Problem 422 for what that form does not have."""
    form = chosen(parameters.format, request.headers.get("accept", ""))
    if parameters.bom and form != "csv":
        raise refuse("bom", "goes with CSV only")
    for name in ("limit", "cursor"):
        if form != "json" and name in parameters.model_fields_set:
            raise refuse(name, "goes with JSON only: a file has all records")
    return form
