"""Every form of question that analytics asks MongoDB walks along an index: never through a collection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Question
from services.analytics.domain.periods import starts
from services.analytics.store.compaction import Compactor
from services.analytics.store.customers import CustomerStore
from services.analytics.store.evidence import EvidenceStore, Place
from services.analytics.store.facts import FactStore
from services.analytics.store.figures import FigureStore
from services.analytics.store.positions import PositionStore
from shared.mongo import Database, Mongo
from tests.support.seals import SEALS
from tests.support.servers import Servers

BEGIN, END = datetime(2019, 5, 1, tzinfo=UTC), datetime(2019, 7, 1, tzinfo=UTC)
SMALL = {"words", "marks", "offsets", "leases", "system.profile", "generations"}
"""A few hundred documents at most, however much is counted: read whole."""
FORMS: list[tuple[str, tuple[str, ...], dict[str, tuple[str, ...]], str, str]] = [
    ("nps", (), {}, "all", "UTC"),
    ("nps", ("department",), {}, "day", "Asia/Shanghai"),
    ("nps", ("department",), {}, "week", "Asia/Shanghai"),
    ("nps", ("channel", "kind"), {}, "all", "UTC"),
    ("nps", ("channel", "tier"), {"region": ("R1", "R2")}, "week", "UTC"),
    ("case_volume", ("owner",), {}, "hour", "Asia/Kathmandu"),
    ("sla_attainment", ("target",), {"department": ("a",)}, "all", "UTC"),
    ("first_response_time", ("owner",), {}, "month", "UTC"),
    ("churn_rate", ("region",), {}, "month", "UTC"),
    ("complaint_rate", (), {"sku": ("A1",)}, "all", "UTC"),
    ("backlog_age", ("department",), {}, "all", "UTC"),
]


@pytest.fixture(scope="module")
def mongo(servers: Servers) -> Iterator[Mongo]:
    made = Mongo(servers.mongo)
    yield made
    made.close()


@pytest.fixture(scope="module")
async def database(mongo: Mongo) -> AsyncIterator[Database]:
    """With MongoDB's profiler on: it writes the plan of every operation down."""
    made = mongo.database(f"t{uuid4().hex[:10]}_analytics")
    await FactStore(made, SEALS).prepare()
    await CustomerStore(made).prepare()
    await made.command("profile", 2)
    yield made
    await made.command("profile", 0)
    await made.client.drop_database(made.name)


async def scans(database: Database) -> list[str]:
    """The reads since the last time that went through a whole collection, or sorted it in memory."""
    found = [one async for one in database["system.profile"].find({"op": {"$in": ["query", "command"]}})]
    await database.command("profile", 0)
    await database.drop_collection("system.profile")
    await database.command("profile", 2)
    plans = [(one["ns"].partition(".")[2], one.get("planSummary", "")) for one in found]
    assert any(plan for _, plan in plans), "nothing was asked"
    return [f"{name}: {plan}" for name, plan in plans if "COLLSCAN" in plan and name not in SMALL]


def question(form: Any) -> Question:
    name, by, where, grain, zone = form
    moments = starts(BEGIN, END, grain, ZoneInfo(zone), 10_000)
    return Question(KPIS[name], BEGIN, END, grain, ZoneInfo(zone), moments, by, where)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form[0]} {'x'.join(form[1])} {form[3]} {form[4]}")
async def test_a_figure_its_records_and_its_recount_read_by_an_index(database: Database, form: Any) -> None:
    asked, figures = question(form), FigureStore(database, 100_000)
    evidence = EvidenceStore(database, 100_000)
    if asked.kpi.now:
        assert [case async for case in figures.open_cases(asked)] == []
    else:
        await figures.counted(asked)
    await figures.extent(asked.kpi)
    async for _ in evidence.recount(asked):
        pass
    after = Place(1_557_748_800, asked.sources[0].tally, str(uuid4()), 0)
    for place in (None, after):
        async for _ in evidence.records(asked, place):
            pass
    assert await scans(database) == []


async def test_compacting_and_saying_how_far_read_by_an_index(mongo: Mongo, database: Database) -> None:
    await Compactor(mongo, database).compact()
    await PositionStore(database, "x.").reached()
    assert await scans(database) == []
