"""The records behind a figure are those of all facts that count in it, however they are looked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.api.records import shares
from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Question
from services.analytics.domain.rows import Fact, rows, seconds_since_epoch
from services.analytics.domain.tallies import TALLIES
from services.analytics.store import evidence as reading
from services.analytics.store import moments, summing
from services.analytics.store.evidence import Evidence, EvidenceStore, Place
from shared.events import Event
from tests.component.test_analytics_counts import FEW, Store, compact_all, question, store
from tests.support.analytics import NOON, case_changed
from tests.support.analytics import feedback as said
from tests.unit.test_analytics_rollups import batches_of, worlds

__all__ = ["store"]
ALWAYS, NEVER = 0, 10**12
"""Of how many one counts where seconds are looked for."""


async def all_facts(store: Store, asked: Question) -> list[Evidence]:
    """The records as every fact there is says."""
    found = []
    for source in asked.sources:
        for collection in TALLIES[source.tally].collections:
            async for document in store.database[collection].find():
                of_tally = [
                    row for row in rows(msgspec.convert(document, Fact)) if row.measure.k == source.tally
                ]
                for number, row in enumerate(of_tally):
                    if asked.asks_for(row):
                        second = seconds_since_epoch(row.measure.t)
                        place = Place(second, source.tally, str(document["_id"]), number)
                        found.append(Evidence(place, collection, row))
    return sorted((one for one in found if any(shares(asked, one))), key=lambda one: one.place)


async def in_pages(store: Store, asked: Question, limit: int) -> list[Evidence]:
    """All pages of `limit`, each from the last place of the one before."""
    records, found = EvidenceStore(store.database, 100_000), list[Evidence]()
    while True:
        page: list[Evidence] = []
        async for some in records.records(asked, found[-1].place if found else None, 4 * limit):
            page += [one for one in some if any(shares(asked, one))]
            if len(page) > limit:
                break
        found += page[:limit]
        if len(page) <= limit:
            return found


@pytest.fixture(params=[ALWAYS, 2, NEVER], ids=["by seconds", "by both", "by time"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "FEW", request.param)


@pytest.mark.slow
@settings(FEW, max_examples=15)
@given(worlds(), st.data())
async def test_of_any_history_the_pages_of_any_filter_hold_the_records_of_all_facts(
    store: Store, monkeypatch: pytest.MonkeyPatch, events: list[Event], data: st.DataObject
) -> None:
    await store.empty()
    monkeypatch.setattr(summing, "CHUNK_LINES", data.draw(st.sampled_from([2, 50_000])))
    monkeypatch.setattr(moments, "DAYS", data.draw(st.sampled_from([1, 3])))
    monkeypatch.setattr(reading, "MOST_SECONDS", data.draw(st.sampled_from([1, 2, 64])))
    for batch in batches_of(events, data):
        await store.hear(batch)
        if data.draw(st.booleans()):
            await store.compactor.compact()
    for name, kpi in KPIS.items():
        some = await all_facts(store, question(name, (), "all", "UTC"))
        dimensions = data.draw(st.lists(st.sampled_from(kpi.dimensions), max_size=2, unique=True))
        values = {d: sorted({one.row.labels.get(d, "") for one in some} | {"?"}) for d in dimensions}
        if kpi.part in values:
            values[kpi.part] = list(kpi.parts)
        where = {d: (data.draw(st.sampled_from(values[d])),) for d in dimensions}
        asked, limit = question(name, (), "all", "UTC", where=where), data.draw(st.sampled_from([1, 3, 50]))
        monkeypatch.setattr(moments, "FEW", data.draw(st.sampled_from([ALWAYS, 2, NEVER])))
        assert await in_pages(store, asked, limit) == await all_facts(store, asked), (name, where, limit)


@pytest.fixture
async def crowded(store: Store) -> AsyncIterator[Question]:
    """Parts of seconds, a second with more than are read at once, and moments on both sides of midnight."""
    await store.empty()
    midnight = datetime.combine(NOON.date() + timedelta(days=1), datetime.min.time(), NOON.tzinfo)
    at = [NOON + timedelta(milliseconds=400 * n) for n in range(12)]
    at += [midnight] * 30 + [midnight + timedelta(seconds=n) for n in (-1, 1, 90_000, 86_400 * 12)]
    events = [said(("crowd", n), at=one, region=f"R{n % 3}") for n, one in enumerate(at)]
    await store.hear(events[:20])
    await compact_all(store)
    await store.hear(events[20:])
    yield question("feedback_volume", (), "all", "UTC", where={"region": ("R1", "R2")})


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_parts_of_seconds_and_crowded_seconds_are_in_order(
    store: Store, crowded: Question, few: None, limit: int
) -> None:
    found = await in_pages(store, crowded, limit)
    assert found == await all_facts(store, crowded)
    assert len(found) == 30


async def test_a_line_whose_other_sign_still_waits_hides_no_record(store: Store, few: None) -> None:
    """Segments are not compacted in the order in which they came: sums of a day may be 0 and yet hold one."""
    await store.empty()
    await store.hear([said(("moved", 1))])
    (waits,) = await store.database.segments.find().to_list(None)
    await store.hear([said(("stays", 1), at=NOON + timedelta(hours=1))])
    await store.hear([case_changed("mover", about=(("moved", 1),), department="logistics")])
    await store.database.segments.delete_one({"_id": waits["_id"]})
    await compact_all(store)
    await store.database.segments.insert_one(waits)
    where: dict[str, Any] = {"department": ("",)}
    asked = question("feedback_volume", (), "all", "UTC", where=where)
    (day,) = await store.database.days.find({"_id": {"$regex": "^feedback/department/"}}).to_list(None)
    assert day["v"]["l"]["n"] == 1, "of no department there are as many as were taken back"
    found = await in_pages(store, asked, 10)
    assert found == await all_facts(store, asked)
    assert len(found) == 1
