"""Whatever is asked of analytics is answered, or refused with the parameter and what is allowed (P13)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from services.analytics.app import build
from tests.support.analytics import feedback as said
from tests.support.apps import Running, running_app
from tests.support.figures import dropping, send, settings_for, shows
from tests.support.servers import Servers

TAG = f"t.{uuid4().hex[:8]}"
MAY = {"from": "2019-05-01", "to": "2019-06-01"}
LISTED = ["kpis/nps", "kpis/nps/records", "reports/departments", "reports/owners", "reports/defects"]
"""Routes that take a period and filters."""
OF_FIGURES = ["kpis/nps", "kpis/nps/records"]


@pytest.fixture(scope="module")
async def analytics(servers: Servers) -> AsyncIterator[Running]:
    async with dropping(servers) as prefix, running_app(build(settings_for(servers, prefix))) as running:
        await send(running, *(said((TAG, n), source=TAG) for n in range(3)))
        await shows(running, "feedback_volume", 3, filter=f"source:{TAG}")
        yield running


async def refused(analytics: Running, path: str, given: Any, status: int = 422) -> Any:
    """The first fault of an answer that is a problem, and never the value that was sent."""
    answer = await analytics.http.get(f"/v1/{path}", params=given)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    for value in given.values() if isinstance(given, dict) else ():
        if isinstance(value, str) and len(value) > 8:
            assert value not in answer.text, "no answer echoes a value"
    problem = answer.json()
    assert problem["status"] == status and 1 <= len(problem["errors"]) <= 20
    return problem["errors"][0]


@pytest.mark.parametrize("path", LISTED)
@pytest.mark.parametrize(
    ("given", "pointer", "allowed"),
    [
        ({"from": "2026-03-03", "to": "2026-03-02"}, "?from", "before `to`"),
        ({"from": "2026-03-02", "to": "2026-03-02"}, "?from", "before `to`"),
        ({"from": "yesterday"}, "?from", "2026-03-02T09:00:00+08:00"),
        ({"from": "2026-03-02T10:11:12"}, "?from", "offset"),
        ({"to": "2026-02-30"}, "?to", "RFC 3339"),
        ({"to": "0000-01-01"}, "?to", "RFC 3339"),
        ({"to": "9999-12-31"}, "?to", "1900 to 2199"),
        ({"from": "T" * 15_000}, "?from", "40"),
        ({"to": "0T" * 20 + " 00:00"}, "?to", "40"),
        ({"zone": "A" * 65}, "?zone", "64"),
        ({"zone": "Mars/Olympus"}, "?zone", "Asia/Shanghai"),
        ({"zone": "../../etc/passwd"}, "?zone", "Asia/Shanghai"),
        ({"zone": ""}, "?zone", "Asia/Shanghai"),
        ({"filter": "colour:red"}, "?filter", "channel, kind, category"),
        ({"filter": "$where:sleep(1000)"}, "?filter", "channel, kind, category"),
        ({"filter": "a.b:secretive"}, "?filter", "channel, kind, category"),
        ({"filter": "d.department:logistics"}, "?filter", "channel, kind, category"),
        ({"filter": "departmental"}, "?filter", "DIMENSION:VALUE"),
        ({"from": ""}, "?from", "RFC 3339"),
        ({"filter": ""}, "?filter", "DIMENSION:VALUE"),
        ({"filter": [f"kind:{n}" for n in range(51)]}, "?filter", "50"),
        ({"status[$ne]": "1"}, "?status[$ne]", "from"),
        ({"filter[$ne]": "department:x"}, "?filter[$ne]", "from"),
        ({"$where": "sleep(1000)"}, "?$where", "from"),
        ([("from", "2026-03-01"), ("from", "2026-03-02")], "?from", "only once"),
    ],
)
async def test_periods_zones_and_filters_that_do_not_fit(
    analytics: Running, path: str, given: Any, pointer: str, allowed: str
) -> None:
    fault = await refused(analytics, path, given)
    assert fault["pointer"] == pointer
    assert allowed in fault["message"] or allowed == str(fault.get("limit")), fault


@pytest.mark.parametrize("path", OF_FIGURES)
@pytest.mark.parametrize(
    ("given", "pointer", "allowed"),
    [
        ({"by": "department,department"}, "?by", "twice"),
        ([("by", "kind"), ("by", "kind")], "?by", "twice"),
        ({"by": "kind,channel,tier"}, "?by", "2"),
        ({"by": "customer_id"}, "?by", "channel, kind, category"),
        ({"by": "$department"}, "?by", "channel, kind, category"),
        ({"by": "a.b"}, "?by", "channel, kind, category"),
        ({"by": ""}, "?by", "channel, kind, category"),
        ({"grain": "minute"}, "?grain", "'hour', 'day', 'week', 'month' or 'all'"),
        ({"from": "1950-01-01", "to": "2026-01-01", "grain": "hour"}, "?grain", "10000"),
        ({"stat": "p50"}, "?stat", "first_response_time, resolution_time"),
        ({"stat": "p42"}, "?stat", "'p50', 'p90'"),
        ({"clock": "wall"}, "?clock", "handling_time, backlog_age"),
        ({"target": "update"}, "?target", "sla_attainment"),
        ({"target": "never"}, "?target", "'first_response', 'update', 'resolution' or 'ola'"),
        ({"scale": "1-7"}, "?scale", "ces, ces_easy_share"),
        ({"scale": "1-3"}, "?scale", "'1-7', '1-5', '1-10' or '0-10'"),
    ],
)
async def test_dimensions_grains_and_parameters_of_other_figures(
    analytics: Running, path: str, given: Any, pointer: str, allowed: str
) -> None:
    fault = await refused(analytics, path, given)
    assert fault["pointer"] == pointer
    assert allowed in fault["message"] or allowed == str(fault.get("limit")), fault


@pytest.mark.parametrize(
    ("path", "given", "pointer", "allowed"),
    [
        ("kpis/first_response_time", {"stat": "max"}, "?stat", "p50, p90, p95, p99, mean"),
        ("kpis/handling_time", {"clock": "business"}, "?clock", "wall"),
        ("kpis/sla_attainment", {"filter": "target:never"}, "?filter", "first_response, update, resolution"),
        ("kpis/ces", {"filter": "scale:1-3"}, "?filter", "1-7, 1-5, 1-10, 0-10"),
        ("kpis/nps/records", {"limit": "1000000000"}, "?limit", "200"),
        ("kpis/nps/records", {"limit": "0"}, "?limit", "1"),
        ("kpis/nps/records", {"cursor": "AAAAAAAAAAAA"}, "?cursor", "not from this list"),
        ("kpis/nps/records", {"cursor": "\u5ba2\u6237"}, "?cursor", "not from this list"),
        ("reports/owners", {"cursor": "WzEsMl0="}, "?cursor", "not from this list"),
        ("kpis", {"limit": "1"}, "?limit", "none"),
    ],
)
async def test_what_only_one_route_takes(
    analytics: Running, path: str, given: Any, pointer: str, allowed: str
) -> None:
    fault = await refused(analytics, path, given)
    assert fault["pointer"] == pointer
    assert allowed in fault["message"] or allowed == str(fault.get("limit")), fault


@pytest.mark.parametrize("name", ["nothing", "NPS", "nps%20", "__proto__", "$where", "..%2Fnps"])
async def test_an_unknown_kpi_is_answered_with_those_there_are(analytics: Running, name: str) -> None:
    for path in (f"/v1/kpis/{name}", f"/v1/kpis/{name}/records"):
        answer = await analytics.http.get(path)
        assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"
        errors = answer.json().get("errors", [])
        assert not errors or "feedback_volume, " in errors[0]["message"]


@pytest.mark.parametrize(
    "value",
    ['{"$ne": null}', "$ne", "[$gt]", ".*", "/./i", "a.b", "' || true || '", "\x00", "x\ud7ff", "=1+1", "*",
     "\x1f"],
)  # fmt: skip
async def test_an_injection_in_a_filters_value_is_a_value_that_nothing_has(
    analytics: Running, value: str
) -> None:
    for dimension in ("kind", "source", "department"):
        for given in ({"filter": f"{dimension}:{value}"}, {"filter": f"{dimension}:{value}", "by": "tier"}):
            answer = await analytics.http.get("/v1/kpis/feedback_volume", params={**MAY, **given})
            assert answer.status_code == 200 and answer.json()["total"]["n"] == 0
    records = await analytics.http.get(
        "/v1/kpis/feedback_volume/records", params={**MAY, "filter": f"source:{value}"}
    )
    assert records.status_code == 200 and records.json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"kpi": "nps", "from": "kafka"}', b'{"kpi": {"$ne": null}}', b'{"kpi": "nothing"}',
     b'{"kpi": "nps", "query": {"by": ["a.b"]}}', b'{"kpi": "nps", "owner": 1}', b'{"kpi": NaN}',
     b'{"kpi": "nps", "query": {"from": "2026-03-03", "to": "2026-03-02"}}', b"\xff\xfe",
     b'{"kpi": "\\ud800"}', b'{"kpi": "nps", "query": {"filtre": ["kind:review"]}}',
     b'{"kpi": "nps", "query": {"from": "%b"}}' % (b"T" * 90_000),
     b'{"kpi": "nps"' + b'{"a":' * 100],
)  # fmt: skip
async def test_a_recomputation_of_nonsense_is_refused(analytics: Running, body: bytes) -> None:
    for path in ("/v1/recompute-check", "/v1/recompute-check/all"):
        answer = await analytics.http.post(path, content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, (path, body)
        assert answer.headers["content-type"] == "application/problem+json"
