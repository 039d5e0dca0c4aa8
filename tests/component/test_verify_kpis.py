"""`cqm verify --kpis` as a command; and every topic replayed five times, which changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.analytics.app import build
from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.tallies import COLLECTIONS
from shared.events import ActivityRecorded, Customer, Event
from shared.service import Service
from tests.support.analytics import NOON, an_id, breached, case_changed, finished, labels, rating
from tests.support.analytics import feedback as said
from tests.support.apps import all_read, served_app
from tests.support.figures import dropping, record, settings_for
from tests.support.servers import Servers
from tests.support.spine import eventually

TAG = f"t.{uuid4().hex[:8]}"


def history() -> list[Event]:
    """Feedback, cases of several versions, promises and activities of a few customers."""
    events: list[Event] = []
    for n in range(60):
        name, at = (TAG, n), NOON + timedelta(hours=7 * n)
        customer, resolved = Customer(id=f"{TAG}-{n % 7}", region=TAG), at + timedelta(hours=5)
        events += [
            said(name, source=TAG, at=at, order_id=f"{TAG}-{n}", rating=rating("nps", n % 11, 0, 10)),
            *(case_changed(name, v, about=(name,), department=f"{TAG}.{v % 2}", opened_at=at,
                           customer=customer, status="resolved" if v == 3 else "assigned",
                           resolved_at=resolved if v == 3 else None) for v in (1, 2, 3)),
            breached(name, due=at, labels=labels(TAG)),
            finished(name, due=at, business=60 * n, labels=labels(TAG)),
        ]  # fmt: skip
        for kind in ("order", "shipment", "return", "survey_sent", "signup"):
            events.append(
                ActivityRecorded(
                    id=an_id((TAG, n, kind)), source=TAG, external_id=f"{TAG}-{n}", kind=kind, quantity=2,
                    occurred_at=at, received_at=at, customer=customer,
                )
            )  # fmt: skip
    return events


@pytest.fixture
async def analytics(servers: Servers) -> AsyncIterator[tuple[Service, str]]:
    async with dropping(servers) as prefix:
        app = build(settings_for(servers, prefix))
        async with served_app(app) as url:
            service: Service = app.state.service
            await tell(service, history())
            yield service, url


async def tell(service: Service, events: list[Event]) -> None:
    """Send them, and return when everything in the log is counted."""
    for begin in range(0, len(events), 200):
        await service.publisher.publish([record(event) for event in events[begin : begin + 200]])
    await all_read(service)


async def verified(url: str, folder: Path, *options: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CQM_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "verify", "--kpis", *options,
        env=environment | {"CQM_URL_ANALYTICS": url, "COLUMNS": "250"}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(100):
        told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


@pytest.mark.slow
async def test_verify_says_difference_0_and_names_the_key_of_a_rollup_that_was_tampered_with(
    analytics: tuple[Service, str], tmp_path: Path
) -> None:
    service, url = analytics
    code, told = await verified(url, tmp_path)
    assert code == 0, told
    assert f"{len(KPIS) - 1} KPIs recomputed from the facts" in told and "recomputed from the log" in told
    assert told.count("difference 0") == 2

    database, department = service.database, f"{TAG}.1"

    async def all_compacted() -> bool:
        return await database.segments.find_one({}) is None

    await eventually(all_compacted, what="no segment left")
    word = await database.words.find_one({"d": "department", "v": department})
    assert word is not None
    sums = {"_id": {"$regex": "^opened/department/"}}
    assert (await database.days.delete_many(sums)).deleted_count
    code, told = await verified(url, tmp_path)
    assert code == 1 and "case_volume" in told and f"department={department}" in told, told
    code, told = await verified(url, tmp_path, "--json")
    by_source = {one["source"]: one for one in json.loads(told)["kpis"]}
    for source in ("facts", "log"):
        wrong = {(one["kpi"], *one["by"]) for one in by_source[source]["items"] if not one["equal"]}
        assert ("case_volume", "department") in wrong and ("case_volume",) not in wrong
        assert not any(kpi in ("nps", "sla_attainment") for kpi, *_ in wrong)


@pytest.mark.slow
async def test_a_log_of_more_facts_than_a_process_may_hold_is_refused_with_what_to_do_instead(
    servers: Servers, tmp_path: Path
) -> None:
    async with dropping(servers) as prefix:
        app = build(settings_for(servers, prefix, facts_per_replay=200))
        async with served_app(app) as url, httpx.AsyncClient(trust_env=False, timeout=60) as http:
            await tell(app.state.service, history())
            for path, body in (("", {"kpi": "nps"}), ("/all", {})):
                answer = await http.post(f"{url}/v1/recompute-check{path}", json={"from": "log", **body})
                (error,) = answer.json()["errors"]
                assert (answer.status_code, error["pointer"], error["limit"]) == (422, "/from", 200)
                assert "cqm rebuild analytics" in error["message"] and "narrow from" not in error["message"]
            facts = await http.post(f"{url}/v1/recompute-check/all", json={"from": "facts"})
            assert facts.status_code == 200 and facts.json()["equal"] is True, "it has a limit of its own"
            code, told = await verified(url, tmp_path)
            assert code == 1 and told.count("difference 0") == 1 and "cqm rebuild analytics" in told, told


async def state(service: Service, url: str) -> dict[str, str]:
    """What is kept of facts and served of figures, as hashes."""
    found = {}
    for name in COLLECTIONS:
        documents = [document async for document in service.database[name].find().sort("_id", 1)]
        found[name] = hashlib.sha256(repr(documents).encode()).hexdigest()
    figures = [await series(url, name) for name, kpi in KPIS.items() if not kpi.now]
    return found | {"figures": hashlib.sha256(json.dumps(figures).encode()).hexdigest()}


async def series(url: str, name: str) -> Any:
    by = "department" if "department" in KPIS[name].dimensions else "source"
    asked = {"by": by, "grain": "day", "from": "2019-05-01", "to": "2019-07-01"}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = (await http.get(f"{url}/v1/kpis/{name}", params=asked)).json()
    return answer["total"], sorted(answer["series"], key=lambda one: sorted(one["key"].items()))


@pytest.mark.slow
async def test_a_replay_of_every_topic_five_times_shuffled_changes_nothing(
    analytics: tuple[Service, str],
) -> None:
    service, url = analytics
    events, before = history(), await state(service, url)
    for round_ in range(5):
        shuffled = events.copy()
        random.Random(round_).shuffle(shuffled)
        await tell(service, shuffled)
        assert await state(service, url) == before
