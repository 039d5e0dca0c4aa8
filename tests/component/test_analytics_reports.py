"""Reports on a real Kafka and a real MongoDB: their figures are those of the KPIs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.analytics.app import build
from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.reports import COMMON, EFFICIENCY
from shared.events import Event, Hold, Product
from tests.support.analytics import NOON, breached, case_changed, finished, labels
from tests.support.analytics import feedback as said
from tests.support.apps import Running, running_app
from tests.support.figures import compacted, dropping, send, settings_for, shows
from tests.support.servers import Servers

MAY = {"from": "2019-05-01", "to": "2019-06-01"}
HOUR = timedelta(hours=1)
TAG = f"t.{uuid4().hex[:8]}"
MODELS = {"M1": 5, "M2": 3, "": 2, "M3": 2}


def told() -> list[Event]:
    """Cases of three departments in every state, their promises, and defects of some models."""
    events: list[Event] = []
    for n in range(30):
        department, owner = f"{TAG}.{n % 3}", f"{TAG}.o{n % 5}"
        about = {"department": department, "owner": owner, "opened_at": NOON + n * HOUR}
        done = {"status": "resolved", "resolved_at": NOON + (n + 5) * HOUR}
        hold = Hold(status="resolved", start=NOON + (n + 2) * HOUR, end=NOON + (n + 3) * HOUR)
        events.append(case_changed((TAG, n), 1, **about | (done if n % 2 else {})))
        if n % 7 == 0:
            events.append(case_changed((TAG, n), 2, **about | {"status": "reopened", "holds": (hold,)}))
        here = {"labels": labels(department), "business": 100 + 37 * n, "wall": 200 + 91 * n}
        for target in ("first_response", "resolution")[: 1 + n % 2]:
            late = HOUR if n % 4 == 0 else -HOUR
            events.append(finished((TAG, n, target), target=target, due=NOON + n * HOUR, late=late, **here))
        if n % 6 == 0:
            events.append(breached((TAG, n, "open"), target="resolution", labels=labels(department)))
    for model, count in MODELS.items():
        product = Product(model=model)
        events += [said((TAG, model, n), source=TAG, product=product) for n in range(count)]
    return events


@pytest.fixture(scope="module")
async def analytics(servers: Servers) -> AsyncIterator[Running]:
    async with dropping(servers) as prefix, running_app(build(settings_for(servers, prefix))) as running:
        await send(running, *told())
        await shows(running, "case_volume", 10, filter=f"department:{TAG}.0")
        await shows(running, "feedback_volume", sum(MODELS.values()), filter=f"source:{TAG}")
        await shows(running, "sla_attainment", 50)
        yield running


async def get(analytics: Running, path: str, **given: Any) -> Any:
    answer = await analytics.http.get(path, params=given)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("by", ["department", "owner"])
@pytest.mark.parametrize("given", [{}, MAY, MAY | {"filter": [f"department:{TAG}.1"], "clock": "wall"}])
async def test_every_figure_of_a_report_is_the_kpis(
    analytics: Running, by: str, given: dict[str, Any]
) -> None:
    report = await get(analytics, f"/v1/reports/{by}s", **given)
    assert [column["name"] for column in report["columns"]] == [column.name for column in EFFICIENCY]
    shown = {line["key"][by]: line["figures"] for line in report["items"]}
    assert shown and list(shown) == sorted(shown)
    for column in report["columns"]:
        name = column["name"]
        kpi = await get(analytics, f"/v1/kpis/{column['kpi']}", **column["query"])
        assert report["total"][name] == kpi["total"]
        series = {one["key"][by]: one["points"][0] for one in kpi["series"]}
        assert {key: figures[name] for key, figures in shown.items() if key in series} == series
        without = [figures[name] for key, figures in shown.items() if key not in series]
        assert all(point["n"] == 0 and point["value"] is None for point in without)


async def test_a_report_is_the_same_before_and_after_compaction_and_in_pages(analytics: Running) -> None:
    before = await get(analytics, "/v1/reports/owners", **MAY)
    await compacted(analytics)
    after = await get(analytics, "/v1/reports/owners", **MAY)
    assert after | {"as_of": None} == before | {"as_of": None} and after["next"] is None
    items, cursor = [], {}
    while True:
        page = await get(analytics, "/v1/reports/owners", **MAY, limit=2, **cursor)
        assert len(page["items"]) <= 2 and page["total"] == after["total"]
        items += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert items == after["items"]


async def test_a_pareto_has_the_most_frequent_first_and_shares_that_add_up(analytics: Running) -> None:
    whole = await get(analytics, "/v1/reports/defects", by="product_model", filter=f"source:{TAG}", **MAY)
    kpi = await get(analytics, "/v1/kpis/defects", by="product_model", filter=f"source:{TAG}", **MAY)
    assert whole["total"] == kpi["total"]
    assert [(one["key"], one["n"]) for one in whole["items"]] == [
        (one["key"], one["points"][0]["n"]) for one in kpi["series"]
    ]
    seen = [
        (one["key"]["product_model"], one["cumulative"], one["cumulative_share"]) for one in whole["items"]
    ]
    assert seen == [("M1", 5, 5 / 12), ("M2", 8, 8 / 12), ("", 10, 10 / 12), ("M3", 12, 1.0)]
    given = {"by": "product_model", "filter": f"source:{TAG}", **MAY, "limit": 3}
    first = await get(analytics, "/v1/reports/defects", **given)
    second = await get(analytics, "/v1/reports/defects", **given, cursor=first["next"])
    assert first["items"] + second["items"] == whole["items"] and second["next"] is None


@pytest.mark.parametrize(
    ("path", "given", "pointer", "said"),
    [
        ("owners", {"filter": "colour:red"}, "?filter", ", ".join(COMMON)),
        ("owners", {"filter": "department"}, "?filter", "DIMENSION:VALUE"),
        ("departments", {"grain": "day"}, "?grain", "from, to, zone, filter"),
        ("departments", {"clock": "sun"}, "?clock", "'business' or 'wall'"),
        ("departments", {"from": "2019-06-01", "to": "2019-05-01"}, "?from", "before `to`"),
        ("departments", {"limit": 201}, "?limit", "200"),
        ("departments", {"cursor": "AAAA"}, "?cursor", "not from this list"),
        ("defects", {"by": "owner"}, "?by", "'category', 'product_model', 'product_batch' or 'supplier'"),
        ("defects", {"filter": "colour:red"}, "?filter", "allowed: channel"),
    ],
)
async def test_what_does_not_fit_is_refused_with_what_is_allowed(
    analytics: Running, path: str, given: dict[str, Any], pointer: str, said: str
) -> None:
    answer = await analytics.http.get(f"/v1/reports/{path}", params=given)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    fault = answer.json()["errors"][0]
    assert fault["pointer"] == pointer
    assert said in fault["message"] or said == str(fault.get("limit")), fault


async def test_a_cursor_is_good_for_its_list_only(analytics: Running) -> None:
    given = await get(analytics, "/v1/reports/owners", **MAY, limit=1)
    answer = await analytics.http.get("/v1/reports/owners", params={"cursor": given["next"], "limit": 1})
    assert answer.status_code == 422


def test_all_columns_are_kpis_that_are_counted_by_department_and_owner() -> None:
    assert {"department", "owner"} <= set(COMMON)
    for column in EFFICIENCY:
        assert set(column.title) == {"en", "zh"} and column.kpi in KPIS
