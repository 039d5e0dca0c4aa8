"""Lists of what is late, by every filter: the right ones, in the right order, without reading them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.sla.store import ClockStore
from services.sla.store.documents import clock_document, clock_of
from services.sla.store.late import LateFilter, due_document
from shared.mongo import Database, Mongo
from tests.support.open_clocks import NOW, clocks, lists
from tests.support.servers import Servers

COUNT, PAGE = 4_000, 20
MADE = list(clocks(COUNT))
DRAWN = MADE[17 :: COUNT // 3]
KEYS = 700
"""The most index keys for a page: one and a few for each of 160 walks (40 departments, 4 priorities), or all
that an owner has."""


@pytest.fixture(scope="module")
async def database(servers: Servers) -> AsyncIterator[Database]:
    mongo = Mongo(servers.mongo)
    found = mongo.database("overdue_sla")
    await found.client.drop_database(found.name)
    store = ClockStore(found)
    await store.ensure_indexes()
    await store.late_list.remember({clock.labels.department for clock in MADE})
    await found.clocks.insert_many([clock_document(clock) for clock in MADE], ordered=False)
    await found.dues.insert_many([due_document(clock) for clock in MADE], ordered=False)
    yield found
    await found.client.drop_database(found.name)
    mongo.close()


def expected(wanted: LateFilter) -> list[Any]:
    """Looked at one by one."""
    found = []
    for clock in MADE:
        moment = clock.open_dues and getattr(clock.open_dues, wanted.due)
        if moment is None or moment > wanted.until or (wanted.since and moment <= wanted.since):
            continue
        labels = clock.labels
        if wanted.owner not in (None, labels.owner) or wanted.priority not in (None, labels.priority):
            continue
        if wanted.departments is not None and labels.department not in wanted.departments:
            continue
        place = (moment, clock.case_id.bytes)
        if wanted.after is None or place > (wanted.after[0], wanted.after[1].bytes):
            found.append((*place, clock.case_id))
    return [identity for *_, identity in sorted(found)[: wanted.limit]]


@pytest.mark.parametrize("deep", [False, True])
async def test_every_filter_lists_what_it_says_the_most_overdue_first(database: Database, deep: bool) -> None:
    store = ClockStore(database)
    for clock in DRAWN:
        for label, wanted in lists(clock, deep, PAGE):
            for since in (None, NOW - timedelta(days=9)):
                asked = wanted._replace(since=since)
                found = [identity for (_, identity), _ in await store.late(asked)]
                assert found == expected(asked), (label, since)


async def test_no_list_reads_a_collection_or_sorts_more_than_the_keys_of_one_owner(
    database: Database,
) -> None:
    store = ClockStore(database)
    await database.create_collection("system.profile", capped=True, size=50_000_000)
    await database.command("profile", 2)
    for deep in (False, True):
        for _, wanted in lists(DRAWN[0], deep, PAGE):
            await store.late(wanted)
    await database.command("profile", 0)
    seen = [entry async for entry in database["system.profile"].find({"ns": f"{database.name}.dues"})]
    assert len(seen) >= 120
    for entry in seen:
        assert "COLLSCAN" not in entry["planSummary"], entry["planSummary"]
        assert entry["keysExamined"] <= KEYS, entry["command"]
        assert entry["docsExamined"] == 0, entry["command"]
        if entry.get("hasSortStage"):
            asked = entry["command"]
            assert "owner" in asked["filter"] and "earliest" not in asked["sort"], asked


async def test_more_departments_than_mongodb_merges_at_once_are_asked_in_parts(database: Database) -> None:
    store = ClockStore(database)
    late = await store.late(LateFilter(NOW, departments=[f"department-{n}" for n in range(300)], limit=PAGE))
    assert [identity for (_, identity), _ in late] == expected(LateFilter(NOW, limit=PAGE))


async def test_a_department_whose_first_case_comes_is_in_the_next_list(database: Database) -> None:
    store = ClockStore(database)
    assert await store.late(LateFilter(NOW, limit=PAGE))
    await store.late_list.remember({"founded-today"})
    assert "founded-today" in await store.late_list._names()


async def test_a_clock_comes_back_as_it_was_kept(database: Database) -> None:
    document = await database.clocks.find_one({"_id": MADE[3].case_id})
    assert document is not None
    assert clock_of(document) == MADE[3]
