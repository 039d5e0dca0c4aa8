"""Clocks and figures of one's own departments only, on real servers, with real keys (promise P12)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from services.analytics.api.questions import Parameters, asked, of_departments
from services.analytics.app import build as build_analytics
from services.analytics.domain.catalogue import KPIS
from services.sla.app import build as build_sla
from shared.events import Case
from shared.principal import Principal
from shared.problem import Problem
from tests.component.test_sla import clock_of, new_case, settings_in, tell
from tests.support.analytics import NOON, case_changed, feedback
from tests.support.apps import Running, running_app
from tests.support.callers import Callers
from tests.support.figures import by_key, dropping, send, settings_for, shows
from tests.support.permissions import ME, Cell, cells
from tests.support.servers import Servers
from tests.support.spine import eventually

BOUND = pytest.mark.parametrize("cell", [c for c in cells() if c.of in ("clocks", "figures")], ids=str)
"""Both rows say the same, and both services are asked about each of their cells."""


# --- clocks ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_service(tmp_path_factory: pytest.TempPathFactory) -> Callers:
    return Callers(tmp_path_factory.mktemp("callers"), ["service"])


@pytest.fixture(scope="module")
async def sla(
    servers: Servers, of_service: Callers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    settings = await settings_in(tmp_path_factory.mktemp("policy"), servers, **of_service.settings)
    async with running_app(build_sla(settings)) as running:
        running.http.headers.update(of_service.unbound)
        yield running


@pytest.fixture(scope="module")
async def late(sla: Running) -> tuple[Case, Case]:
    """A late case of service and one of another department, each with a step that fired."""
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    cases = [new_case(priority="P1", department=name, opened_at=hour_ago) for name in ("service", "alone")]
    await tell(sla, *cases)
    for one in cases:
        await clock_of(sla, one.id)

        async def fired(case: Case = one) -> Any:
            return (await sla.http.get("/v1/escalations", params={"case_id": str(case.id)})).json()["items"]

        await eventually(fired, what="a step that fired")
    return cases[0], cases[1]


@BOUND
async def test_clocks_and_lists_of_what_is_late_are_those_of_ones_departments(
    sla: Running, of_service: Callers, late: tuple[Case, Case], cell: Cell
) -> None:
    by = of_service[cell.role]
    expected = {"service"} if cell.said == "theirs" else {"service", "alone"}
    for path in ("overdue", "escalations"):
        items = (await sla.http.get(f"/v1/{path}", headers=by)).json()["items"]
        assert {one["department"] for one in items} == expected
    other = (await sla.http.get("/v1/overdue", headers=by, params={"department": "alone"})).json()["items"]
    assert bool(other) == ("alone" in expected)
    own, foreign, unknown = [
        await sla.http.get(f"/v1/clocks/{case}", headers=by) for case in (late[0].id, late[1].id, uuid4())
    ]
    assert (own.status_code, unknown.status_code) == (200, 404)
    if "alone" in expected:
        assert foreign.status_code == 200
    else:
        assert (foreign.status_code, foreign.content) == (404, unknown.content)


# --- figures -----------------------------------------------------------------------------------------

TAG = f"t.{uuid4().hex[:8]}"
OWNERS = (ME, "zhao", "zhao")
MAY = {"from": "2019-05-01", "to": "2019-06-01"}


@pytest.fixture(scope="module")
def of_tag(tmp_path_factory: pytest.TempPathFactory) -> Callers:
    return Callers(tmp_path_factory.mktemp("callers"), [TAG])


@pytest.fixture(scope="module")
async def analytics(servers: Servers, of_tag: Callers) -> AsyncIterator[Running]:
    """With three feedbacks of one department and two of another one, all of one source."""
    async with dropping(servers) as prefix:
        settings = settings_for(servers, prefix).model_copy(update=of_tag.settings)
        async with running_app(build_analytics(settings)) as running:
            running.http.headers.update(of_tag.unbound)
            for name, count in ((TAG, 3), (f"{TAG}.b", 2)):
                names = [(name, n) for n in range(count)]
                said = [feedback(one, source=TAG, at=NOON) for one in names]
                await send(
                    running,
                    *said,
                    *(
                        case_changed(one, about=(one,), department=name, owner=OWNERS[one[1]])
                        for one in names
                    ),
                )
            await shows(running, "case_volume", 3, filter=f"department:{TAG}")
            await shows(running, "case_volume", 2, filter=f"department:{TAG}.b")
            await shows(running, "feedback_volume", 5, filter=f"source:{TAG}")
            yield running


@BOUND
async def test_figures_are_those_of_ones_departments(analytics: Running, of_tag: Callers, cell: Cell) -> None:
    by, own = of_tag[cell.role], cell.said == "theirs"

    async def figure(name: str, **given: Any) -> Any:
        answer = await analytics.http.get(f"/v1/kpis/{name}", headers=by, params=MAY | given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    elsewhere = await figure("case_volume", filter=f"department:{TAG}.b")
    assert elsewhere["total"]["n"] == (0 if own else 2)
    both = await figure("case_volume", filter=[f"department:{TAG}", f"department:{TAG}.b"], by="department")
    assert by_key(both, "department") == {TAG: 3} | ({} if own else {f"{TAG}.b": 2})
    crossed = await figure("feedback_volume", filter=f"source:{TAG}", by="kind")
    assert crossed["total"]["n"] == (3 if own else 5)
    if own:
        assert (await figure("case_volume"))["total"]["n"] == 3
        assert by_key(await figure("case_volume", by="department"), "department") == {TAG: 3}


@BOUND
async def test_records_and_recomputed_figures_are_those_of_ones_departments(
    analytics: Running, of_tag: Callers, cell: Cell
) -> None:
    by, own = of_tag[cell.role], cell.said == "theirs"
    of_other = {"filter": f"department:{TAG}.b"}
    for name in ("case_volume", "feedback_volume"):
        path = f"/v1/kpis/{name}/records"
        mine = await analytics.http.get(path, headers=by, params=MAY | {"filter": f"department:{TAG}"})
        other = await analytics.http.get(path, headers=by, params=MAY | of_other)
        assert (len(mine.json()["items"]), len(other.json()["items"])) == (3, 0 if own else 2)
        as_file = await analytics.http.get(path, headers=by, params=MAY | of_other | {"format": "csv"})
        assert len(as_file.text.splitlines()) - 1 == (0 if own else 2)
        series = MAY | {"by": "department", "format": "csv"}
        figure = await analytics.http.get(path.removesuffix("/records"), headers=by, params=series)
        assert (f"{TAG}.b" in figure.text) == (not own) and TAG in figure.text
    for source in ("facts", "log"):
        query = MAY | {"by": ["department"], "filter": [f"department:{TAG}", f"department:{TAG}.b"]}
        body = {"kpi": "case_volume", "from": source, "query": query}
        found = (await analytics.http.post("/v1/recompute-check", headers=by, json=body)).json()
        assert found["equal"] is True
        assert by_key(found["recomputed"], "department") == {TAG: 3} | ({} if own else {f"{TAG}.b": 2})
    every = await analytics.http.post("/v1/recompute-check/all", headers=by, json={"query": MAY})
    assert every.status_code == (403 if own else 200), "some KPIs are not counted by department"


@pytest.mark.parametrize("cell", [c for c in cells() if c.of == "scorecards"], ids=str)
async def test_scorecards_are_those_of_ones_departments_and_an_agents_own(
    analytics: Running, of_tag: Callers, cell: Cell
) -> None:
    both = MAY | {"filter": [f"department:{TAG}", f"department:{TAG}.b"]}
    owners, departments, figure = [
        (await analytics.http.get(path, headers=of_tag[cell.role], params=both | by)).json()
        for path, by in (
            ("/v1/reports/owners", {}),
            ("/v1/reports/departments", {}),
            ("/v1/kpis/case_volume", {"by": "owner"}),
        )
    ]
    seen = {line["key"]["owner"]: line["figures"]["opened"]["n"] for line in owners["items"]}
    mine, theirs = {ME: 1}, {ME: 1, "zhao": 2}
    expected = {"own": mine, "theirs": theirs, "all": {ME: 2, "zhao": 3}}[cell.said]
    assert seen == by_key(figure, "owner") == expected
    of_another = {"filter": "owner:zhao"} | MAY
    other = await analytics.http.get("/v1/kpis/case_volume", headers=of_tag[cell.role], params=of_another)
    assert bool(other.json()["total"]["n"]) == (cell.said != "own")
    shown = {line["key"]["department"] for line in departments["items"]}
    assert shown == ({TAG, f"{TAG}.b"} if cell.said == "all" else {TAG})


@pytest.mark.parametrize("cell", [c for c in cells() if c.of == "scorecards"], ids=str)
@pytest.mark.parametrize("name", ["case_volume", "feedback_volume"])
async def test_records_name_no_colleague_to_who_sees_their_own_scorecard_only(
    analytics: Running, of_tag: Callers, cell: Cell, name: str
) -> None:
    path, where = f"/v1/kpis/{name}/records", MAY | {"filter": f"department:{TAG}"}
    owners = {}
    for form in ("json", "csv", "parquet"):
        answer = await analytics.http.get(path, headers=of_tag[cell.role], params=where | {"format": form})
        assert answer.status_code == 200, answer.text
        owners[form] = _owners(answer.content, form)
    seen = [ME, "", ""] if cell.said == "own" else [ME, "zhao", "zhao"]
    assert owners == dict.fromkeys(owners, sorted(seen))


def _owners(content: bytes, form: str) -> list[str]:
    if form == "json":
        return sorted(one["labels"]["owner"] for one in json.loads(content)["items"])
    frame = (
        pd.read_csv(BytesIO(content), keep_default_na=False)
        if form == "csv"
        else pd.read_parquet(BytesIO(content))
    )
    return sorted(frame["owner"])


def test_a_figure_that_is_not_counted_by_department_is_for_those_who_see_all() -> None:
    together = replace(KPIS["nps"], dimensions=("channel",))
    wanted = asked(together, Parameters.model_validate({}), ZoneInfo("UTC"))
    scopes = frozenset({"kpis:read"})
    with pytest.raises(Problem, match="all departments together") as refused:
        of_departments(wanted, Principal("li", scopes=scopes, roles=("head",), departments=(TAG,)))
    assert refused.value.status == 403 and "case_volume" in refused.value.extra["allowed"]
    assert of_departments(wanted, Principal("ma", scopes=scopes, roles=("auditor",))) is wanted
    assert of_departments(wanted, Principal("anonymous")) is wanted
