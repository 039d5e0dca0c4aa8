"""`cqm rebuild analytics` as a process, beside a live service, on a real Kafka and a real MongoDB."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.servers import running_servers
from services.analytics.app import build
from shared.admin import ensure_topics
from shared.events import ActivityRecorded, Event
from shared.generations import Generations, State
from shared.mongo import Mongo
from tests.support.analytics import NOON, an_id, breached, case_changed, finished, rating
from tests.support.analytics import feedback as said
from tests.support.apps import all_read, served_app
from tests.support.figures import record, settings_for
from tests.support.servers import Servers
from tests.support.spine import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Of these tests alone: a rebuild needs a whole log, and that of others is emptied between modules."""
    async with running_servers(tmp_path_factory.mktemp("whole")) as own:
        await ensure_topics(own.kafka)
        yield Servers("embedded (deploy/local)", own.kafka, own.mongo)


KPIS = ("feedback_volume", "nps", "case_volume", "sla_attainment", "first_response_time", "repurchase_rate")


@dataclass
class Live:
    """The live service, by its address, and what the command needs to find its way."""

    url: str
    service: Any
    prefix: str
    servers: Servers
    folder: Path
    http: httpx.AsyncClient
    generations: Generations

    async def figures(self) -> list[Any]:
        found = []
        for name in KPIS:
            answer = await self.http.get(f"{self.url}/v1/kpis/{name}", params={"by": "region"})
            assert answer.status_code == 200, answer.text
            found.append((answer.json()["total"], answer.json()["series"]))
        return found

    async def shows(self, n: int) -> None:
        async def counted() -> bool:
            return bool((await self.figures())[0][0]["n"] >= n)

        await eventually(counted, what=f"{n} feedback")

    async def send(self, *events: Event) -> None:
        await self.service.publisher.publish([record(event) for event in events])

    async def rebuild(self, *options: str) -> tuple[int, str]:
        process = await self.started(*options)
        async with asyncio.timeout(120):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def started(self, *options: str) -> asyncio.subprocess.Process:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CQM_")}
        environment |= {
            "CQM_DATABASE_PREFIX": self.prefix, "CQM_KAFKA": self.servers.kafka,
            "CQM_MONGO": self.servers.mongo, "CQM_URL_ANALYTICS": self.url, "CQM_SESSION_TIMEOUT": "6",
        }  # fmt: skip
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", "rebuild", "analytics", "--data-dir", self.folder, *options,
            env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip


@asynccontextmanager
async def living(servers: Servers, folder: Path) -> AsyncIterator[Live]:
    prefix, mongo = f"t{uuid4().hex[:10]}", Mongo(servers.mongo)
    generations = Generations(mongo, prefix)
    app = build(settings_for(servers, prefix))
    async with served_app(app) as url, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        yield Live(url, app.state.service, prefix, servers, folder, http, generations)
    for number in range(1, 5):
        await mongo.database("admin").client.drop_database(generations.database(number).name)
    mongo.close()


def history(tag: str, count: int) -> list[Event]:
    events: list[Event] = []
    for n in range(count):
        name, at = (tag, n), NOON + timedelta(hours=n % 90)
        events += [
            said(name, source=tag, at=at, region=tag, rating=rating("nps", n % 11, 0, 10)),
            case_changed(name, 1, about=(name,), opened_at=at),
            case_changed(name, 2, about=(name,), opened_at=at, department="other"),
            breached(name, due=at), finished(name, due=at, business=n),
            ActivityRecorded(
                id=an_id((name, "order")), source=tag, kind="order", occurred_at=at, received_at=at
            ),
        ]  # fmt: skip
    return events + events[::7]


async def test_figures_are_rebuilt_beside_the_live_ones_and_switched_while_events_come_in(
    servers: Servers, tmp_path: Path
) -> None:
    async with living(servers, tmp_path) as live:
        tag = f"t.{uuid4().hex[:8]}"
        events = history(tag, 300)
        await live.send(*events)
        await live.shows(300)
        await all_read(live.service)
        before = await live.figures()
        code, told = await live.rebuild()
        assert code == 0 and "generation 2 is live" in told and "KPIs have the figures" in told, told
        assert await live.generations.state() == State(2, None, (1,))
        assert await live.figures() == before

        later = [said((tag, "later", n), source=tag, region=tag) for n in range(20)]
        await live.send(*later, *events[:50])

        async def moved() -> bool:
            facts = live.generations.database(2).feedback_facts
            return await facts.count_documents({"_id": {"$in": [one.id for one in later]}}) == len(later)

        await eventually(moved, what="the live service writes the new generation")
        assert not await live.generations.database(1).feedback_facts.find_one({"_id": later[0].id})
        check = await live.http.post(f"{live.url}/v1/recompute-check/all", json={"from": "log"}, timeout=60)
        assert check.json()["equal"] is True
        code, told = await live.rebuild("--drop-old")
        assert code == 0 and "generation 1" in told, told
        assert not await live.generations.database(1).feedback_facts.find_one({})
        assert await live.generations.state() == State(2, None, ())


async def test_one_that_is_killed_goes_on_and_the_live_figures_stay_what_they_are(
    servers: Servers, tmp_path: Path
) -> None:
    async with living(servers, tmp_path) as live:
        tag = f"t.{uuid4().hex[:8]}"
        await live.send(*history(tag, 400))
        await live.shows(400)
        await all_read(live.service)
        before = await live.figures()
        process = await live.started()

        async def begun() -> bool:
            return await live.generations.database(2).feedback_facts.find_one({}) is not None

        await eventually(begun, what="the new generation has begun")
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert (await live.generations.state()).building == 2 and await live.figures() == before
        code, told = await live.rebuild()
        assert code == 0 and "goes on where it was" in told, told
        assert (await live.generations.state()).live == 2 and await live.figures() == before


async def test_a_figure_that_was_tampered_with_is_named_and_nothing_is_switched_without_consent(
    servers: Servers, tmp_path: Path
) -> None:
    async with living(servers, tmp_path) as live:
        await live.send(*history(f"t.{uuid4().hex[:8]}", 5))
        await live.shows(5)
        await all_read(live.service)
        lost = await live.generations.database(1).segments.delete_many({})
        assert lost.deleted_count or await live.generations.database(1).days.delete_many({})
        code, told = await live.rebuild()
        assert code == 1 and "feedback_volume" in told and "nothing was switched" in told, told
        assert (await live.generations.state()).live == 1
        code, told = await live.rebuild("--accept-difference")
        assert code == 0 and (await live.generations.state()).live == 2, told
        await live.shows(5)


async def test_what_the_log_no_longer_holds_is_said_before_anything_is_built(
    servers: Servers, tmp_path: Path
) -> None:
    async with living(servers, tmp_path) as live:
        offsets = live.generations.database(1).offsets
        await offsets.insert_one(
            {"_id": f"{live.prefix}.analytics.sla/cqm.sla.v1/77", "next": 4242, "epoch": 1}
        )
        code, told = await live.rebuild()
        assert code == 1 and "cqm.sla.v1 partition 77 ends at 0, but 4,242 were counted" in told, told
        assert "--accept-loss" in told and await live.generations.state() == State()
