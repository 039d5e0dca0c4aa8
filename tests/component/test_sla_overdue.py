"""Lists of what is late, by every filter: the right ones, in the right order, without reading them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.sla.store import ClockStore
from services.sla.store.documents import clock_document, clock_of
from services.sla.store.late import due_document
from shared.mongo import Database, Mongo
from tests.support.open_clocks import NOW, Asked, clocks, lists
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


def expected(asked: Asked) -> list[Any]:
    """Looked at one by one."""
    found = []
    for clock in MADE:
        moment = clock.open_dues and getattr(clock.open_dues, asked.due)
        if moment is None or moment > asked.until:
            continue
        if any(getattr(clock.labels, name) != value for name, value in asked.labels.items()):
            continue
        if asked.departments is not None and clock.labels.department not in asked.departments:
            continue
        if asked.after is None or (moment, clock.case_id.bytes) > (asked.after[0], asked.after[1].bytes):
            found.append((moment, clock.case_id.bytes, clock.case_id))
    return [identity for *_, identity in sorted(found)[:PAGE]]


@pytest.mark.parametrize("deep", [False, True])
async def test_every_filter_lists_what_it_says_the_most_overdue_first(database: Database, deep: bool) -> None:
    store = ClockStore(database)
    for clock in DRAWN:
        for asked in lists(clock, deep):
            found = await store.late(
                asked.due, None, asked.until, asked.labels, asked.departments, asked.after, PAGE
            )
            assert [identity for (_, identity), _ in found] == expected(asked), asked.label


async def test_no_list_reads_a_collection_or_sorts_more_than_one_owners(database: Database) -> None:
    store = ClockStore(database)
    await database.create_collection("system.profile", capped=True, size=50_000_000)
    await database.command("profile", 2)
    for asked in lists(DRAWN[0], False):
        await store.late(asked.due, None, asked.until, asked.labels, asked.departments, asked.after, PAGE)
    await database.command("profile", 0)
    seen = [entry async for entry in database["system.profile"].find({"ns": f"{database.name}.dues"})]
    assert len(seen) >= 80
    for entry in seen:
        assert "COLLSCAN" not in entry["planSummary"], entry["planSummary"]
        assert entry["keysExamined"] <= KEYS, entry["command"]
        if entry.get("hasSortStage"):
            assert "owner" in entry["command"]["filter"]


async def test_more_departments_than_mongodb_merges_at_once_are_asked_in_parts(database: Database) -> None:
    store = ClockStore(database)
    late = await store.late("earliest", None, NOW, {}, [f"department-{n}" for n in range(300)], None, PAGE)
    assert [identity for (_, identity), _ in late] == expected(Asked("", "earliest", NOW, {}, None, None))


async def test_a_clock_comes_back_as_it_was_kept(database: Database) -> None:
    document = await database.clocks.find_one({"_id": MADE[3].case_id})
    assert document is not None
    assert clock_of(document) == MADE[3]
