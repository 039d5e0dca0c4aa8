"""Analytics on a real Kafka and a real MongoDB: from events to figures, each counted once."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI

from services.analytics.api.answering import Answers
from services.analytics.api.figures import figure_routes
from services.analytics.app import build
from services.analytics.freshness import Freshness
from services.analytics.log import Log
from services.analytics.settings import AnalyticsSettings
from services.analytics.store.evidence import EvidenceStore
from services.analytics.store.figures import FigureStore
from services.sla.domain.said import labels_of
from shared import problem
from shared.auth import guarded
from shared.events import ActivityRecorded, Customer, Event, Product
from shared.requests import Requests
from tests.support.analytics import NOON, an_id, breached, case_changed, finished, labels, rating
from tests.support.analytics import feedback as said
from tests.support.apps import Running, running_app
from tests.support.figures import (
    ask,
    by_key,
    compacted,
    dropping,
    kept,
    recomputed,
    send,
    settings_for,
    shows,
)
from tests.support.reading import dead_letters
from tests.support.servers import Servers
from tests.support.spine import eventually

MAY = {"from_": "2019-05-01", "to": "2019-06-01"}


@pytest.fixture(scope="module")
async def analytics(servers: Servers) -> AsyncIterator[Running]:
    async with dropping(servers) as prefix, running_app(build(settings_for(servers, prefix))) as running:
        yield running


@pytest.fixture
def tag() -> str:
    """A source or department of the test's own: the topics hold other tests' events too."""
    return f"t.{uuid4().hex[:8]}"


async def test_feedback_counts_once_with_the_department_of_its_case_in_any_order(
    analytics: Running, tag: str
) -> None:
    names = [(tag, n) for n in range(40)]
    told = [said(name, source=tag, at=NOON + timedelta(hours=n), category="") for n, name in enumerate(names)]
    first = [case_changed(name, 1, about=(name,), department=tag, category="late") for name in names]
    moved = [case_changed(name, 2, about=(name,), department=f"{tag}.b") for name in names[:10]]
    events: list[Event] = [*told, *first, *moved, *told, *moved]
    random.Random(7).shuffle(events)
    for begin in range(0, len(events), 25):
        await send(analytics, *events[begin : begin + 25])
    wanted = {tag: 30, f"{tag}.b": 10}

    async def counted() -> Any:
        figure = await ask(analytics, "feedback_volume", by="department", filter=f"source:{tag}", **MAY)
        return figure if by_key(figure, "department") == wanted else None

    from_facts = await eventually(counted, what="40 feedback in two departments")
    assert from_facts["total"]["n"] == 40
    for department, count in wanted.items():
        kept_ready = await ask(analytics, "feedback_volume", filter=f"department:{department}")
        assert kept_ready["total"]["value"] == count
    volume = await shows(analytics, "case_volume", 30, filter=f"department:{tag}")
    assert volume["as_of"] is None or volume["as_of"] >= "2019-05-13T12:01:00Z"
    database = analytics.service.database
    assert await kept(database, tag) == await recomputed(database, tag)


async def test_another_content_under_a_known_id_is_dead_lettered_and_the_first_one_stays(
    analytics: Running, servers: Servers, tag: str
) -> None:
    await send(
        analytics, said((tag, 1), source=tag), said((tag, 1), source=tag, fingerprint="other", kind="praise")
    )
    await shows(analytics, "feedback_volume", 1, filter=f"source:{tag}")
    key = an_id((tag, 1)).bytes
    (letter,) = await eventually(lambda: dead_letters(servers.kafka, key=key), what="a dead letter")
    assert letter["reason"] == "conflict" and letter["group"].endswith(".analytics.feedback")
    assert by_key(
        await ask(analytics, "feedback_volume", by="kind", filter=f"source:{tag}", **MAY), "kind"
    ) == {"complaint": 1}


async def test_promises_and_answers_become_figures(analytics: Running, tag: str) -> None:
    here = {"labels": labels(tag)}
    spans = [60, 600, 3600, 36_000]
    late = finished((tag, "late"), late=timedelta(hours=5), business=18_000, **here)
    events: list[Event] = [finished((tag, n), business=span, **here) for n, span in enumerate(spans)]
    events += [breached((tag, "late"), **here), late, breached((tag, "late"), **here), events[0]]
    events += [breached((tag, "open"), target="resolution", **here)]
    await send(analytics, *events)
    attainment = await shows(analytics, "sla_attainment", 6, by="target", filter=f"department:{tag}")
    assert by_key(attainment, "target") == {"first_response": 5, "resolution": 1}
    first = await ask(analytics, "sla_attainment", target="first_response", filter=f"department:{tag}")
    assert (first["total"]["value"], first["total"]["numerator"]) == (0.8, 4)
    time = await ask(analytics, "first_response_time", stat="p90", filter=f"department:{tag}")
    assert time["total"]["value"] == pytest.approx(36_000, rel=0.011) and time["total"]["n"] == 5
    crossed = await ask(
        analytics, "first_response_time", stat="p90", by="channel", filter=f"department:{tag}", **MAY
    )
    assert crossed["series"][0]["points"][0]["value"] == time["total"]["value"]
    mean = await ask(analytics, "first_response_time", stat="mean", filter=f"department:{tag}")
    assert mean["total"]["value"] == (sum(spans) + 18_000) / 5


async def test_promises_are_counted_by_everything_that_their_case_is(analytics: Running, tag: str) -> None:
    case = case_changed(
        tag, department=tag, product=Product(model="M1", batch="B1", sku="A1"), supplier_id="S-1",
        touchpoint="delivery", language="zh", source="shop", severity="high", owner="chen",
        customer=Customer(region="Shanghai", tier="gold"),
    ).case  # fmt: skip
    told = labels_of(case)
    await send(
        analytics, finished((tag, 1), labels=told), finished((tag, 2), target="resolution", labels=told)
    )
    await shows(analytics, "sla_attainment", 2, filter=f"department:{tag}")
    expected = {
        "product_model": "M1", "product_batch": "B1", "sku": "A1", "supplier": "S-1", "severity": "high",
        "touchpoint": "delivery", "language": "zh", "source": "shop", "region": "Shanghai", "tier": "gold",
        "owner": "chen", "priority": "P3", "kind": "complaint", "channel": "web", "category": "",
    }  # fmt: skip
    for name, n in (("sla_attainment", 2), ("first_response_time", 1), ("resolution_time", 1)):
        for dimension, value in expected.items():
            figure = await ask(analytics, name, by=dimension, filter=f"department:{tag}", **MAY)
            assert by_key(figure, dimension) == {value: n}, (name, dimension)


async def test_nps_and_csat_by_day_of_a_zone_are_the_same_from_rollups_and_from_facts(
    analytics: Running, tag: str
) -> None:
    scores = [(9, 0), (10, 5), (3, 20), (8, 30)]
    events: list[Event] = [
        said((tag, h), source=tag, at=NOON + timedelta(hours=h), rating=rating("nps", s, 0, 10))
        for s, h in scores
    ]
    events += [said((tag, "c"), source=tag, rating=rating("csat", 4, 1, 5)), said((tag, "n"), source=tag)]
    await send(analytics, *events)
    await shows(analytics, "feedback_volume", 6, filter=f"source:{tag}")
    asked = {"from_": "2019-05-13", "to": "2019-05-16", "grain": "day", "filter": f"source:{tag}"}
    nps = await ask(analytics, "nps", zone="Asia/Shanghai", **asked)
    assert [(p["start"], p["n"], p["value"]) for p in nps["series"][0]["points"]] == [
        ("2019-05-12T16:00:00Z", 1, 100.0),
        ("2019-05-13T16:00:00Z", 2, 0.0),
        ("2019-05-14T16:00:00Z", 1, 0.0),
    ]
    assert (nps["total"]["value"], nps["zone"]) == (25.0, "Asia/Shanghai")
    crossed = await ask(analytics, "nps", zone="Asia/Shanghai", by="kind", **asked)
    assert crossed["series"][0]["points"] == nps["series"][0]["points"]
    half = await ask(analytics, "nps", zone="Asia/Kolkata", **asked)
    assert half["series"][0]["points"][0]["start"] == "2019-05-12T18:30:00Z" and half["total"]["n"] == 4
    csat = await ask(analytics, "csat", filter=f"source:{tag}")
    assert (csat["total"]["value"], csat["total"]["n"]) == (1.0, 1)


async def test_an_activity_becomes_one_fact(analytics: Running, tag: str) -> None:
    order = ActivityRecorded(
        id=an_id(tag), source=tag, kind="order", occurred_at=NOON, received_at=NOON, quantity=3
    )
    await send(analytics, order, order)

    async def found() -> Any:
        return await analytics.service.database.activity_facts.find_one({"_id": order.id})

    assert (await eventually(found, what="the fact"))["quantity"] == 3


async def test_the_catalogue_names_every_kpi(analytics: Running) -> None:
    body = (await analytics.http.get("/v1/kpis")).json()
    assert body["next"] is None
    assert {"feedback_volume", "nps", "first_response_time"} <= {one["name"] for one in body["items"]}
    assert set(body["items"][0]) == {"name", "definition", "unit", "dimensions", "direction"}


async def test_facts_beyond_the_limit_are_refused_with_what_to_narrow(analytics: Running, tag: str) -> None:
    lines = [said((tag, n), source=tag, at=NOON + timedelta(minutes=n)) for n in range(3)]
    await send(analytics, *lines)
    await shows(analytics, "feedback_volume", 3, filter=f"source:{tag}")
    await compacted(analytics)
    service, app = analytics.service, FastAPI()
    problem.install(app)
    app.add_middleware(Requests)
    figures, evidence = FigureStore(service.database, 2), EvidenceStore(service.database, 2)
    freshness = Freshness(Log(""), service.clock)
    answers = Answers(figures, evidence, freshness, service.clock, ZoneInfo("UTC"), float, lambda: 0)
    app.include_router(figure_routes(answers, guarded(service.access, "kpis:read")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cqm") as http:
        answer = await http.get("/v1/kpis/feedback_volume", params={"by": "kind,tier"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["limit"]) == ("?from", 2)


@pytest.mark.parametrize(
    ("path", "status", "pointer", "says"),
    [
        ("nothing", 404, "/name", "feedback_volume"),
        ("nps?by=status", 422, "?by", "department"),
        ("nps?by=kind,channel,tier", 422, "?by", "too many"),
        ("nps?by=kind&by=kind", 422, "?by", "twice"),
        ("nps?filter=kind", 422, "?filter", "DIMENSION:VALUE"),
        ("nps?filter=$where:1", 422, "?filter", "allowed"),
        ("nps?zone=Mars/Base", 422, "?zone", "IANA"),
        ("nps?zone=../../etc/passwd", 422, "?zone", "IANA"),
        ("nps?zone=" + "A" * 64, 422, "?zone", "IANA"),
        ("nps?from=2026-03-02&to=2026-03-02", 422, "?from", "before"),
        ("nps?from=2026-03-02T09:00:00", 422, "?from", "offset"),
        ("nps?to=0001-01-01T00:00:00%2B14:00", 422, "?to", "RFC 3339"),
        ("nps?to=9999-12-31", 422, "?to", "1900"),
        ("nps?from=1950-01-01&to=2026-01-01&grain=hour", 422, "?grain", "coarser"),
        ("nps?grain=minute", 422, "?grain", "hour"),
        ("nps?stat=p50", 422, "?stat", "not a time"),
        ("nps?target=update", 422, "?target", "not counted"),
        ("nps?status[$ne]=", 422, "?status[$ne]", "allowed: from"),
        ("nps?from=2026-03-02&from=2026-03-01", 422, "?from", "once"),
    ],
)
async def test_a_question_that_does_not_fit_is_answered_with_the_parameter_and_what_is_allowed(
    analytics: Running, path: str, status: int, pointer: str, says: str
) -> None:
    answer = await analytics.http.get(f"/v1/kpis/{path}")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    error = answer.json()["errors"][0]
    assert error["pointer"] == pointer and says in error["message"]


async def test_a_plus_that_was_not_encoded_is_understood(analytics: Running) -> None:
    figure = await analytics.http.get("/v1/kpis/nps?from=2026-03-02T08:00:00+08:00&to=2026-03-03T00:00:00Z")
    assert figure.status_code == 200, figure.text
    assert figure.json()["total"]["start"] == "2026-03-02T00:00:00Z"


async def every_record(analytics: Running, name: str, **given: Any) -> list[Any]:
    """All pages of the records behind a figure."""
    found, after = [], {}
    while True:
        page = await ask(analytics, f"{name}/records", limit=3, **given, **after)
        found += page["items"]
        if page["next"] is None:
            return found
        after = {"cursor": page["next"]}


async def test_the_records_behind_a_figure_are_as_many_as_it_says(analytics: Running, tag: str) -> None:
    names = [(tag, n) for n in range(10)]
    told: list[Event] = [
        said(name, source=tag, at=NOON + timedelta(hours=7 * n), rating=rating("nps", n, 0, 10))
        for n, name in enumerate(names)
    ]
    await send(analytics, *told, *(case_changed(name, about=(name,), department=tag) for name in names[:4]))
    await shows(analytics, "nps", 4, filter=f"department:{tag}")
    await shows(analytics, "nps", 10, filter=f"source:{tag}")
    for where, count in ((f"department:{tag}", 4), (f"source:{tag}", 10)):
        records = await every_record(analytics, "nps", filter=where, **MAY)
        assert len(records) == len({one["id"] for one in records}) == count
        assert [one["at"] for one in records] == sorted(one["at"] for one in records)
        figure = await ask(analytics, "nps", filter=where, **MAY)
        assert sum(one["n"] for one in records) == figure["total"]["n"]
        assert sum(one["numerator"] for one in records) == figure["total"]["numerator"]


async def test_records_of_one_moment_are_paged_without_loss(analytics: Running, tag: str) -> None:
    """More in one second than are fetched at once: where only the day is known, all are of midnight."""
    told = [said((tag, n), source=tag, order_id=f"{tag}-{n % 9}" if n % 2 else "") for n in range(40)]
    orders = [
        ActivityRecorded(
            id=an_id((tag, "o", n)), source=tag, external_id=f"{tag}-{n}", kind="order",
            occurred_at=NOON, received_at=NOON,
        )
        for n in range(9)
    ]  # fmt: skip
    await send(analytics, *told, *orders)
    for name, count in (("feedback_volume", 40), ("complaint_rate", 9)):
        await shows(analytics, name, count, filter=f"source:{tag}")
        records = await every_record(analytics, name, filter=f"source:{tag}", **MAY)
        figure = await ask(analytics, name, filter=f"source:{tag}", **MAY)
        assert len(records) == len({one["id"] for one in records})
        assert sum(one["n"] for one in records) == figure["total"]["n"] == count
        assert sum(one["numerator"] for one in records) == figure["total"]["numerator"]


async def test_a_cursor_of_another_list_or_a_tampered_one_is_refused(analytics: Running, tag: str) -> None:
    await send(analytics, *(said((tag, n), source=tag) for n in range(3)))
    await shows(analytics, "feedback_volume", 3, filter=f"source:{tag}")
    where = {"filter": f"source:{tag}"} | {"from": "2019-05-01", "to": "2019-06-01"}
    path = "/v1/kpis/feedback_volume/records"
    cursor = (await analytics.http.get(path, params={**where, "limit": 1})).json()["next"]
    for given in ({**where, "cursor": cursor[:-4] + "AAAA"}, {**where, "cursor": "x"}, {"cursor": cursor}):
        answer = await analytics.http.get(path, params=given)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?cursor")
    assert (await analytics.http.get(path, params={**where, "cursor": cursor})).status_code == 200


@pytest.mark.parametrize("source", ["facts", "log"])
async def test_a_figure_recomputed_is_the_one_that_is_served(
    analytics: Running, tag: str, source: str
) -> None:
    events = [said((tag, n), source=tag, at=NOON + timedelta(hours=n)) for n in range(20)]
    await send(analytics, *events, *events[:5])
    await shows(analytics, "feedback_volume", 20, filter=f"source:{tag}")
    asked = {"from": "2019-05-01", "to": "2019-06-01", "grain": "day", "by": ["source"]}
    body = {"kpi": "feedback_volume", "from": source, "query": asked}
    answer = await analytics.http.post("/v1/recompute-check", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["equal"], found["difference"], found["differing"]) == (True, 0, [])
    assert found["served"]["total"]["n"] >= 20

    database = analytics.service.database
    fact = await database.feedback_facts.find_one({"_id": events[0].id})
    assert fact is not None
    if source == "facts":
        await database.feedback_facts.delete_one({"_id": fact["_id"]})
        lost = (await analytics.http.post("/v1/recompute-check", json=body)).json()
        await database.feedback_facts.insert_one(fact)
        assert (lost["equal"], lost["difference"]) == (False, -1)
        assert [one["key"] for one in lost["differing"]] == [{"source": tag}]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kpi": "nps", "from": "memory"}, "/from"),
        ({"kpi": "nps", "sql": "x"}, "/sql"),
        ({"kpi": "nps", "query": {"by": ["status"]}}, "?by"),
        ({"kpi": "backlog_age"}, "?kpi"),
        ({"kpi": "nothing"}, "/name"),
    ],
)
async def test_a_check_that_does_not_fit_is_refused(analytics: Running, body: Any, pointer: str) -> None:
    answer = await analytics.http.post("/v1/recompute-check", json=body)
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_every_kpi_is_what_the_log_says(analytics: Running) -> None:
    for source in ("facts", "log"):
        answer = await analytics.http.post("/v1/recompute-check/all", json={"from": source})
        assert answer.status_code == 200, answer.text
        assert [one for one in answer.json()["items"] if not one["equal"]] == []
        counted = {one["kpi"] for one in answer.json()["items"] if one["n"]}
        assert counted >= {"feedback_volume", "nps", "case_volume", "sla_attainment", "first_response_time"}


async def test_weeks_start_on_the_day_of_the_policy_in_force(
    servers: Servers, tmp_path: Path, tag: str
) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(AnalyticsSettings().policy, policy)
    (file,) = [one for one in policy.iterdir() if "organisation:" in one.read_text()]

    def week_starts(day: str) -> None:
        file.write_text(re.sub(r"week_starts: \w+", f"week_starts: {day}", file.read_text()))

    week_starts("sun")
    days = [said((tag, n), source=tag, at=NOON + n * timedelta(days=1)) for n in range(14)]
    async with (
        dropping(servers) as prefix,
        running_app(build(settings_for(servers, prefix, policy=policy))) as running,
    ):
        await send(running, *days)
        asked = {"filter": f"source:{tag}", "grain": "week", "zone": "Asia/Kolkata", **MAY}
        found = await shows(running, "feedback_volume", 14, **asked)

        def starts_of(figure: Any) -> list[str]:
            return [point["start"] for point in figure["series"][0]["points"][1:]]

        assert starts_of(found) == [f"2019-05-{day:02}T18:30:00Z" for day in (4, 11, 18, 25)]
        week_starts("thu")

        async def moved() -> Any:
            figure = await ask(running, "feedback_volume", **asked)
            return starts_of(figure) if starts_of(figure) != starts_of(found) else None

        thursdays = await eventually(moved, what="weeks that start on another day")
        assert thursdays == [f"2019-05-{day:02}T18:30:00Z" for day in (1, 8, 15, 22, 29)]
