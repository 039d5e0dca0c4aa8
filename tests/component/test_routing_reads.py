"""Lists of cases on a real MongoDB: right, and by walking along an index in every order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import pytest

from services.routing.store import CaseStore, listing
from services.routing.store.listing import RETIRED, Place, Walk, Wanted, walks
from shared.events import Case
from shared.mongo import Database, Mongo
from tests.support import archive
from tests.support.servers import Servers

COUNT = 5000
PAGE = 50
WALKS = 44
"""Status times priority: so many walks are merged at most, each with one key more than it gives."""
PAIRS_LEFT_TO_LOOK = ("owner", "category", "department")
"""Of two of these, one has the index and the other is looked up in the cases of the first."""


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
    """With the values of a closed case, which are frequent, and of an open one, which are not."""
    closed = next(case for case in cases if case.status == "closed")
    opened = next(case for case in cases if case.status == "in_progress")
    return [
        (f"{label}{', deep' if deep else ''}", wanted)
        for of in (closed, opened)
        for deep in (False, True)
        for label, wanted in archive.lists(of, deep)
    ]


async def test_every_list_is_right(stored: tuple[Database, list[Case]]) -> None:
    database, cases = stored
    store = CaseStore(database)
    for label, wanted in every_list(cases):
        found = [file.case for file in await store.search(wanted, PAGE)]
        assert [case.id for case in found] == [case.id for case in archive.expected(cases, wanted, PAGE)], (
            label
        )


async def test_every_list_walks_along_an_index_and_looks_at_little_more_than_it_shows(
    stored: tuple[Database, list[Case]],
) -> None:
    database, cases = stored
    for label, wanted in every_list(cases):
        for walk in walks(wanted):
            stages, looked, fetched = await explained(database, walk)
            assert "COLLSCAN" not in stages, label
            if wanted.opened and wanted.order == "-updated_at":
                assert looked <= in_span(cases, wanted) + 2 * WALKS, f"{label}: {looked}"
                assert fetched <= PAGE, f"{label}: {fetched} cases, to show {PAGE}"
                continue
            if "customer.id" in wanted.fields:
                assert looked <= most_of_a_few(cases, wanted), f"{label}: {looked}"
                continue
            assert "SORT" not in stages, f"{label}: {stages}"
            assert looked <= most(cases, wanted), f"{label}: {looked}"


async def test_a_long_span_in_the_order_of_changes_is_walked_by_its_months(
    stored: tuple[Database, list[Case]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is: only a short one is sorted."""
    monkeypatch.setattr(listing, "LONG", 200)
    database, cases = stored
    store, by_months = CaseStore(database), 0
    for of, deep in [(one, deep) for one in cases[:8] for deep in (False, True)]:
        for label, wanted in archive.long_spans(of, deep):
            found = [file.case.id for file in await store.search(wanted, PAGE)]
            assert found == [case.id for case in archive.expected(cases, wanted, PAGE)], label
            walk = await store._by_months(wanted)
            if walk is None:
                continue
            stages, _, fetched = await explained(database, walk)
            assert not {"COLLSCAN", "SORT"} & stages and fetched <= PAGE + 1, f"{label}: {stages}, {fetched}"
            by_months += 1
    assert by_months > 100, "short spans prove nothing"


def most(cases: list[Case], wanted: Wanted) -> int:
    """Keys that a walk may look at: the page and one of each walk; for a pair, the narrower of the two."""
    both = [name for name in PAIRS_LEFT_TO_LOOK if name in wanted.fields]
    if len(both) < 2:
        return PAGE + 2 * WALKS
    narrower = [case for case in cases if getattr(case, both[0]) == wanted.fields[both[0]]]
    return len(narrower) + 2 * WALKS


def in_span(cases: list[Case], wanted: Wanted) -> int:
    """Whose keys, and not more, are sorted in memory."""
    return len([one for one in cases if wanted.opened["$gte"] <= one.opened_at < wanted.opened["$lt"]])


def most_of_a_few(cases: list[Case], wanted: Wanted) -> int:
    """One customer's cases are sorted in memory."""
    customer = wanted.fields["customer.id"]
    return len([case for case in cases if case.customer.id == customer]) + WALKS


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
    old = RETIRED[0]
    await database.cases.create_index([("status", 1), ("opened_at", 1)], name=old)
    for _ in range(2):
        await CaseStore(database).prepare()
        assert old not in await database.cases.index_information()
