"""The city's own record through the real services: figures by agency and borough are those of pandas.

The file is imported by intake. What the city did with each request is told as routing would tell it: a case
of the agency, opened when the request came and closed when the file says so. sla judges it by a policy with
the city's own term, and analytics counts what all of them said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pytest

from services.analytics.app import build as build_analytics
from services.analytics.settings import AnalyticsSettings
from services.intake.app import build as build_intake
from services.intake.settings import IntakeSettings
from services.sla.app import build as build_sla
from services.sla.settings import SlaSettings
from shared import ids
from shared.events import Case, Customer, Event
from tests.support import city
from tests.support.analytics import case_changed
from tests.support.apps import Running, running_app
from tests.support.figures import ask, by_key, compacted, dropping, send, shows
from tests.support.imports import NYC311, ended
from tests.support.servers import Servers

POLICY = Path(__file__).parents[1] / "data" / "policy" / "small.yaml"
TERM = "30d"
OF_THE_CITY = {"filter": "source:nyc311", "from_": "2024-04-01", "to": "2024-06-01"}
DIMENSIONS = {"department": "agency", "region": "borough"}


@pytest.fixture(scope="module")
def requests() -> pd.DataFrame:
    return city.requests()


@pytest.fixture(scope="module")
async def analytics(
    servers: Servers, requests: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """With the file imported and everything told and judged."""
    policy = tmp_path_factory.mktemp("policy")
    text, _, _ = POLICY.read_text().partition("sla:")
    targets = "{resolution: {" + ", ".join(f"P{n}: {TERM}" for n in range(1, 5)) + "}}"
    (policy / "policy.yaml").write_text(
        f"{text}sla:\n  - {{name: city, calendar: always, targets: {targets}}}\n"
    )
    async with dropping(servers) as prefix, AsyncExitStack() as stack:
        given: dict[str, Any] = {
            "kafka": servers.kafka, "mongo": servers.mongo, "database_prefix": prefix, "log": "text",
            "session_timeout": 6.0, "policy": policy,
        }  # fmt: skip
        intake = await stack.enter_async_context(running_app(build_intake(IntakeSettings(**given))))
        await stack.enter_async_context(running_app(build_sla(SlaSettings(**given, sweep_every=0.1))))
        running = await stack.enter_async_context(running_app(build_analytics(AnalyticsSettings(**given))))
        await imported(intake)
        for version in (1, 2):
            told = [event for one in requests.itertuples() for event in said_of(one, version)]
            await send(running, *told)
        await shows(running, "feedback_volume", 1000, **OF_THE_CITY)
        await shows(running, "sla_attainment", 1000, **OF_THE_CITY)
        await shows(running, "case_volume", 1000, **OF_THE_CITY)
        yield running


async def imported(intake: Running) -> None:
    answer = await intake.http.post(
        "/v1/imports?mapping=nyc311", content=NYC311.read_bytes(), headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 202, answer.text
    job = await ended(intake.http, answer.json()["id"])
    assert (job["state"], job["accepted"], job["rejected"]) == ("done", 1000, 0)


def said_of(request: Any, version: int) -> list[Event]:
    """The city's case about a request: opened in version 1, closed in version 2 where the file says so."""
    opened: dict[str, Any] = {
        "department": request.agency, "customer": Customer(region=request.borough), "source": "nyc311",
        "opened_at": request.created.to_pydatetime(),
    }  # fmt: skip
    if version == 2 and pd.isna(request.closed):
        return []
    if version == 2:
        closed = request.closed.to_pydatetime()
        opened |= {"status": "closed", "resolved_at": closed, "closed_at": closed}
    changed = case_changed(("nyc311", request.unique_key), version, **opened)
    feedback: UUID = ids.signal_id("feedback", "nyc311", request.unique_key)
    case: Case = _with(changed.case, feedback_ids=(feedback,))
    return [_with(changed, case=case)]


def _with(one: Any, **fields: Any) -> Any:
    return type(one)(**{name: getattr(one, name) for name in one.__struct_fields__} | fields)


@pytest.fixture(params=["pending", "compacted"], scope="module")
async def told(request: pytest.FixtureRequest, analytics: Running) -> Running:
    """Before and after compaction."""
    if request.param == "compacted":
        await compacted(analytics)
    return analytics


@pytest.mark.parametrize("by", DIMENSIONS)
async def test_volume_and_backlog_are_those_of_pandas(told: Running, requests: pd.DataFrame, by: str) -> None:
    column = DIMENSIONS[by]
    for kpi, expected in (
        ("feedback_volume", city.volume(requests, column)),
        ("case_volume", city.volume(requests, column)),
        ("backlog", city.backlog(requests, column)),
    ):
        figure = await ask(told, kpi, by=by, **OF_THE_CITY)
        assert by_key(figure, by) == expected, kpi
        assert figure["total"]["value"] == sum(expected.values())


@pytest.mark.parametrize("by", DIMENSIONS)
async def test_attainment_against_the_citys_own_term_is_that_of_pandas(
    told: Running, requests: pd.DataFrame, by: str
) -> None:
    figure = await ask(told, "sla_attainment", target="resolution", by=by, **OF_THE_CITY)
    points = {one["key"][by]: one["points"][0] for one in figure["series"]}
    expected = city.met(requests, DIMENSIONS[by])
    assert {key: (point["numerator"], point["n"]) for key, point in points.items()} == expected
    assert {key: point["value"] for key, point in points.items()} == {
        key: met / count for key, (met, count) in expected.items()
    }
    assert figure["total"]["value"] == sum(met for met, _ in expected.values()) / 1000


@pytest.mark.parametrize("by", DIMENSIONS)
@pytest.mark.parametrize("clock", ["wall", "business"])
async def test_resolution_times_are_those_of_pandas(
    told: Running, requests: pd.DataFrame, by: str, clock: str
) -> None:
    """The city works round the clock. The mean to the last digit, percentiles within the sketch's 1 %."""
    column = DIMENSIONS[by]
    exact = await ask(told, "resolution_time", stat="mean", clock=clock, by=by, **OF_THE_CITY)
    means = {one["key"][by]: one["points"][0]["value"] for one in exact["series"]}
    assert means == city.mean(requests, column)
    for share in (50, 90):
        figure = await ask(told, "resolution_time", stat=f"p{share}", clock=clock, by=by, **OF_THE_CITY)
        shown = {one["key"][by]: one["points"][0]["value"] for one in figure["series"]}
        expected = city.percentile(requests, column, share)
        assert shown.keys() == expected.keys()
        for key, seconds in expected.items():  # a figure is whole seconds: half of one more
            assert abs(shown[key] - seconds) <= 0.01 * seconds + 0.5, (key, share)


async def test_the_report_of_agencies_says_the_same(told: Running, requests: pd.DataFrame) -> None:
    report = (
        await told.http.get(
            "/v1/reports/departments", params={key.rstrip("_"): value for key, value in OF_THE_CITY.items()}
        )
    ).json()
    lines = {one["key"]["department"]: one["figures"] for one in report["items"]}
    opened, still = city.volume(requests, "agency"), city.backlog(requests, "agency")
    assert {key: line["opened"]["n"] for key, line in lines.items()} == opened
    assert {key: line["backlog"]["n"] for key, line in lines.items() if line["backlog"]["n"]} == still
    assert {key: line["resolved"]["n"] for key, line in lines.items()} == {
        key: count - still.get(key, 0) for key, count in opened.items()
    }
