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
from services.analytics.domain.rows import DAY, EPOCH
from services.analytics.domain.tallies import COLLECTIONS, TALLIES
from services.analytics.store import rollups as rollups_of
from services.analytics.store import weeks
from services.analytics.store.compaction import Compactor
from services.analytics.store.packed import Sums
from services.analytics.store.places import all_ids, day_ids, day_of_key
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
    assert f"{len(KPIS) - 1} KPIs and " in told
    assert "sums recomputed from the facts" in told and "sums recomputed from the log" in told
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


def one_more(document: Any, by: tuple[str, ...], form: str, span: str = "") -> Any:
    """The packed form of a sum with one more of its first line: of a counter, or of a bin of a span."""
    tally, begin = TALLIES[document["_id"].split("/")[0]], day_of_key(document["_id"]) * DAY
    sums = Sums.unpack(document[form], begin, by, tally)
    column = sums.bins[span].counters["n"] if span else sums.lines.counters[tally.counters[0]]
    column[0] += 1
    return sums.pack(begin)


@pytest.mark.slow
async def test_every_rollup_is_compared_in_every_form_in_which_it_is_kept(
    analytics: tuple[Service, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, url = analytics
    database = service.database
    compactor = Compactor(service.mongo, database)

    async def all_compacted() -> bool:
        await compactor.compact()
        return await database.segments.find_one({}) is None and await weeks.are_whole(database)

    await eventually(all_compacted, what="no segment left")
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:

        async def rollups(source: str) -> Any:
            answer = await http.post(f"{url}/v1/recompute-check/all", json={"from": source})
            assert answer.status_code == 200, answer.text
            found = answer.json()
            figures_equal = all(one["equal"] for one in found["items"])
            assert found["equal"] == (found["rollups"]["equal"] and figures_equal)
            return found["rollups"]

        whole = {source: await rollups(source) for source in ("facts", "log")}
        assert [one["differing"] for one in whole.values()] == [[], []] and whole["facts"] == whole["log"]
        stored = 2 * await database.days.count_documents({}) + await database.weeks.count_documents({})
        assert whole["facts"]["checked"] == stored

        tampered: list[tuple[str, str, tuple[str, ...], str, str]] = [
            ("opened", "days", ("category", "department"), "v", ""),
            ("feedback", "days", ("source",), "h", ""),
            ("answered", "days", ("owner",), "h", "business"),
            ("judged_first_response", "weeks", ("department", "priority"), "v", ""),
            ("answered", "weeks", (), "v", "wall"),
        ]
        forms = {("days", "h"): "half_hours", ("days", "v"): "days", ("weeks", "v"): "weeks"}
        for number, (tally, kept, by, form, span) in enumerate(tampered):
            document = await database[kept].find_one({"_id": day_ids(tally, by)})
            assert document is not None, (tally, by)
            wrong = {"$set": {form: one_more(document, by, form, span)}}
            await database[kept].update_one({"_id": document["_id"]}, wrong)
            for source in ("facts", "log")[number % 2 :: 2]:
                found = await rollups(source)
                (one,) = found["differing"]
                assert (one["tally"], tuple(one["by"]), one["form"]) == (tally, by, forms[kept, form])
                assert tuple(one["key"]) == by and one["kept"] == one["recomputed"] + 1
                assert one["day"] == (EPOCH + timedelta(days=day_of_key(document["_id"]))).date().isoformat()
                assert one["counter"].startswith(span or TALLIES[tally].counters[0])
                assert (found["wrong"], found["checked"]) == (1, stored)
            if tally == "opened":
                code, told = await verified(url, tmp_path)
                assert code == 1 and "category=" in told and "department=" in told and "opened" in told, told
            await database[kept].replace_one({"_id": document["_id"]}, document)

        of_opened = {"_id": all_ids("opened")}
        days = (await database.days.delete_many(of_opened)).deleted_count
        of_weeks = (await database.weeks.delete_many(of_opened)).deleted_count
        for source in ("facts", "log"):
            found = await rollups(source)
            assert len(found["differing"]) == 100 and found["checked"] == stored
            assert {one["tally"] for one in found["differing"]} == {"opened"}
            assert all(one["kept"] == 0 for one in found["differing"])
            assert found["wrong"] == 2 * days + of_weeks

        monkeypatch.setattr(rollups_of, "MOST_LINES", 2)
        refused = await http.post(f"{url}/v1/recompute-check/all", json={"from": "facts"})
        assert refused.status_code == 422 and "one KPI after the other" in refused.text


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
