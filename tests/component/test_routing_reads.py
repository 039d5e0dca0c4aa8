"""Lists of cases on a real MongoDB: right, and by walking along an index in every order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from services.routing.domain.case_file import CaseFile
from services.routing.store import CaseStore, listing, working
from services.routing.store.documents import case_document
from services.routing.store.listing import RETIRED, Place, Walk, Wanted
from shared.events import Case, Customer
from shared.mongo import Database, Mongo
from tests.support import archive
from tests.support.cases import NOW, case_file
from tests.support.servers import Servers

COUNT = 5000
PAGE = 50
WALKS = 44
"""Status times priority: so many walks are merged at most, each with one key more than it gives."""
LONG = listing.LONG


@pytest.fixture
async def stored(servers: Servers, prefix: str) -> AsyncIterator[tuple[Database, list[Case]]]:
    mongo = Mongo(servers.mongo)
    database = mongo.database(f"{prefix}_routing")
    await CaseStore(database).prepare()
    cases = list(archive.cases(COUNT))
    await database.cases.insert_many([archive.document(case) for case in cases], ordered=False)
    yield database, cases
    mongo.close()


def every_list(cases: list[Case]) -> list[tuple[str, Wanted]]:
    """From its beginning with the values of a closed case, which are frequent, from deep within with those of
    an open one, which are not."""
    closed = next(case for case in cases if case.status == "closed")
    opened = next(case for case in cases if case.status == "in_progress")
    return [
        (f"{label}{', deep' if deep else ''}", wanted)
        for of, other, deep in ((closed, opened, False), (opened, closed, True))
        for label, wanted in archive.all_lists(of, other, deep)
    ]


@pytest.mark.parametrize("long", [LONG, 100])
async def test_every_list_is_right(
    stored: tuple[Database, list[Case]], monkeypatch: pytest.MonkeyPatch, long: int
) -> None:
    """Whether its cases are sorted or walked by their days."""
    monkeypatch.setattr(listing, "LONG", long)
    database, cases = stored
    store = CaseStore(database)
    for label, wanted in every_list(cases):
        found = [file.case.id for file in await store.search(wanted, PAGE)]
        assert found == [case.id for case in archive.expected(cases, wanted, PAGE)], label


@pytest.mark.parametrize("long", [LONG, 100])
async def test_every_list_walks_along_an_index_and_fetches_no_more_than_it_shows(
    stored: tuple[Database, list[Case]], monkeypatch: pytest.MonkeyPatch, long: int
) -> None:
    monkeypatch.setattr(listing, "LONG", long)
    database, cases = stored
    store, by_days = Watched(database), 0
    for label, wanted in every_list(cases):
        store.walks.clear()
        await store.search(wanted, PAGE)
        for walk in store.walks:
            stages, looked, fetched = await explained(database, walk)
            assert "COLLSCAN" not in stages, label
            # behind a place, those of its own moment are looked up
            assert fetched <= PAGE + 1, f"{label}: {fetched} cases, to show {PAGE}"
            if walk.hint == listing.DAYS:
                assert ("SORT" in stages) == ("$in" not in walk.query["day"]), label
                by_days += 1
                continue
            if may_be_sorted(wanted):
                continue
            assert "SORT" not in stages, f"{label}: {stages}"
            assert looked <= most(cases, wanted), f"{label}: {looked}"
    assert (by_days > 30) == (long < LONG), "short spans prove nothing"


class Watched(CaseStore):
    """Keeps what it asks."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.walks: list[Walk] = []

    async def _walk(self, walk: Walk, limit: int) -> list[CaseFile]:
        self.walks.append(walk)
        return await super()._walk(walk, limit)


async def test_what_is_counted_and_sorted_is_read_from_keys_alone(
    stored: tuple[Database, list[Case]],
) -> None:
    database, cases = stored
    for label, wanted in every_list(cases):
        counted = listing.counted(wanted)
        if counted is None:
            continue
        stages, looked, fetched = await explained(database, counted)
        along = [case for case in cases if led(case, wanted)]
        assert looked <= len(along) + 4 * WALKS and fetched <= PAGE, f"{label}: {looked}, {fetched}"
        assert "COLLSCAN" not in stages


def may_be_sorted(wanted: Wanted) -> bool:
    """One customer's cases, and a short span in the order of changes."""
    return "customer.id" in wanted.fields or listing.counted(wanted) is not None


def led(case: Case, wanted: Wanted) -> bool:
    """Whether the case is among those of the field that leads, within the span: of an owner's all keys are
    looked at, whatever else is asked."""
    fields = {"owner": wanted.fields["owner"]} if "owner" in wanted.fields else wanted.fields
    return bool(archive.expected([case], wanted._replace(fields=fields, after=None), 1))


def most(cases: list[Case], wanted: Wanted) -> int:
    """Keys that a walk may look at: the page and two of each walk; for what stands behind the order in the
    index, all of what leads."""
    leads = ("owner",) if "owner" in wanted.fields else ("category",)
    behind = {"owner", "category", "department"} & wanted.fields.keys() - {*leads}
    if leads[0] not in wanted.fields or not behind:
        return PAGE + 4 * WALKS
    return len([one for one in cases if getattr(one, leads[0]) == wanted.fields[leads[0]]]) + 4 * WALKS


async def explained(database: Database, walk: Walk) -> tuple[set[str], int, int]:
    """The stages of the plan, and how many keys and cases it looked at."""
    find: dict[str, Any] = {
        "find": "cases", "filter": walk.query, "sort": dict(walk.order), "limit": PAGE,
    }  # fmt: skip
    if walk.hint:
        find["hint"] = walk.hint
    asked = {"explain": find, "verbosity": "executionStats"}
    plan = await database.command(asked, codec_options=database.codec_options)
    stats = plan["executionStats"]
    return set(_stages(stats["executionStages"])), stats["totalKeysExamined"], stats["totalDocsExamined"]


def _stages(stage: dict[str, Any]) -> list[str]:
    below = [stage["inputStage"]] if "inputStage" in stage else stage.get("inputStages", [])
    return [stage["stage"], *(name for one in below for name in _stages(one))]


async def test_pages_follow_one_another_without_a_gap_or_a_repetition(
    stored: tuple[Database, list[Case]],
) -> None:
    database, cases = stored
    store = CaseStore(database)
    for label, wanted in islice(archive.lists(cases[0], deep=False), 12):
        seen: list[Case] = []
        while page := await store.search(wanted, 400):
            seen += [file.case for file in page]
            wanted = wanted._replace(after=Place.of(seen[-1], wanted.order))
        assert seen == archive.expected(cases, wanted._replace(after=None), COUNT), label


async def test_an_index_that_nothing_walks_along_any_more_is_dropped(
    stored: tuple[Database, list[Case]],
) -> None:
    database, _ = stored
    for number, old in enumerate(RETIRED):
        await database.cases.create_index([("status", 1), (f"of an earlier version {number}", 1)], name=old)
    for _ in range(2):
        await CaseStore(database).prepare()
        assert (await database.cases.index_information()).keys().isdisjoint(RETIRED)


async def test_an_id_that_many_share_does_not_push_out_what_others_may_join(
    servers: Servers, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "MOST_OF_CUSTOMERS", 12)
    mongo = Mongo(servers.mongo)
    database = mongo.database(f"{prefix}_routing")
    store = CaseStore(database)
    await store.prepare()

    def of(customer: str, days_ago: int) -> CaseFile:
        return case_file(customer=Customer(id=customer), opened_at=NOW - timedelta(days=days_ago))

    guests = [of("guest", days) for days in range(20)]
    others = [of("wang", days) for days in (30, 40, 50)] + [of("wu", 60)]
    ahead = of("wu", -8)
    await database.cases.insert_many([case_document(file) for file in (*guests, *others, ahead)])
    opened = (NOW - timedelta(days=366), NOW + timedelta(days=7))
    session = await mongo.start_session()
    try:
        found = await store.cases_of(["guest", "wang", "wu", "nobody"], opened, session)
        alone = await store.cases_of(["guest"], opened, session)
    finally:
        await session.end_session()
        mongo.close()
    expected = sorted([*others, *guests[:8]], key=lambda file: file.case.opened_at)
    assert [file.case.id for file in found] == [file.case.id for file in expected]
    assert [file.case.id for file in alone] == [file.case.id for file in guests[11::-1]]


async def test_what_a_batch_may_join_is_found_along_the_index_of_customers(
    stored: tuple[Database, list[Case]],
) -> None:
    database, cases = stored
    customers = sorted({case.customer.id for case in cases if case.customer.id})[:50]
    last = max(case.opened_at for case in cases)
    query = working.going_on_of(customers, (last - timedelta(days=366), last))
    stages, looked, _ = await explained(database, Walk(query, [("opened_at", -1)], None))
    theirs = [case for case in cases if case.customer.id in customers]
    assert "IXSCAN" in stages and "COLLSCAN" not in stages
    assert looked <= len(theirs) + 2 * len(customers)
