"""What segments, days and chunks in MongoDB say, whatever the history: that of pandas, and of the facts."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.analytics import handlers
from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Question, answer
from services.analytics.domain.periods import starts
from services.analytics.domain.recompute import Recount
from services.analytics.domain.rows import Fact, rows
from services.analytics.domain.tallies import COLLECTIONS
from services.analytics.domain.voice import listener
from services.analytics.store import compaction, summing, weeks
from services.analytics.store.compaction import Compactor
from services.analytics.store.facts import FactStore
from services.analytics.store.figures import FigureStore, TooManyFacts
from shared.errors import TooSlow
from shared.events import ActivityRecorded, CaseChanged, Event, FeedbackReceived
from shared.handler import Batch, Cause, Handler, Partition, Received
from shared.mongo import Database, Mongo, transaction
from tests.support import naive_kpis
from tests.support.analytics import NOON, breached, case_changed
from tests.support.analytics import feedback as said
from tests.support.seals import SEALS
from tests.support.servers import Servers
from tests.unit.test_analytics_rollups import batches_of, bin_of, worlds

FEW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
"""Every example writes and reads a database: a failing one is shown as it was drawn, not made smaller."""
BEGIN, END = datetime(2019, 5, 1, tzinfo=UTC), datetime(2019, 7, 1, tzinfo=UTC)
ZONES = ("UTC", "Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York")


class Store:
    """Analytics without Kafka: batches of events go through the handlers, each in its transaction."""

    def __init__(self, mongo: Mongo, database: Database) -> None:
        self.database, self.facts = database, FactStore(database, SEALS)
        self.figures = FigureStore(database, 100_000)
        self.compactor = Compactor(mongo, database)
        self._mongo, self._offset = mongo, itertools.count()
        self._handlers: dict[str, Handler[Any, Any, Any]] = {
            "feedback": handlers.on_feedback_received(self.facts, bin_of, listener(ZoneInfo("UTC"))),
            "activity": handlers.on_activity_recorded(self.facts),
            "cases": handlers.on_case_changed(self.facts),
            "sla": handlers.on_target_judged(self.facts, bin_of),
        }

    async def hear(self, events: Sequence[Event]) -> None:
        topics = {FeedbackReceived: "feedback", ActivityRecorded: "activity", CaseChanged: "cases"}
        for topic, handler in self._handlers.items():
            heard = [event for event in events if topics.get(type(event), "sla") == topic]
            cause = Cause(Partition(topic, 0))
            batch = Batch([Received(event, cause, next(self._offset)) for event in heard], NOON)
            await self._apply(handler, batch)

    async def _apply(self, handler: Handler[Any, Any, Any], batch: Batch[Any]) -> None:
        async def body(session: Any) -> None:
            decision = handler.decide(batch, await handler.load(batch, session))
            await handler.store(decision.changes, session)

        async with self._mongo.session() as session:
            await transaction(session, body)

    async def empty(self) -> None:
        for name in await self.database.list_collection_names():
            await self.database[name].delete_many({})
        # what they know of codes stays true as long as a database lives
        self.figures = FigureStore(self.database, 100_000)
        self.compactor = Compactor(self._mongo, self.database)


@pytest.fixture(scope="module")
async def store(servers: Servers) -> AsyncIterator[Store]:
    mongo = Mongo(servers.mongo)
    database = mongo.database(f"t{uuid4().hex[:10]}_analytics")
    made = Store(mongo, database)
    await made.facts.prepare()
    yield made
    await database.client.drop_database(database.name)
    mongo.close()


def question(name: str, by: tuple[str, ...], grain: Any, zone: str, **given: Any) -> Question:
    where = ZoneInfo(zone)
    moments = starts(BEGIN, END, grain, where, 10_000)
    return Question(KPIS[name], BEGIN, END, grain, where, moments, by, **given)


async def series(store: Store, asked: Question) -> dict[Any, naive_kpis.Figure]:
    counted = await store.figures.counted(asked)
    _, found = answer(asked, counted, float, END, 10**6)
    return {
        (tuple(one.key.values()), _period(asked, point.start)): (point.numerator, point.n)
        for one in found
        for point in one.points
        if point.n or point.numerator
    }


def _period(asked: Question, start: datetime) -> Any:
    if asked.grain == "all":
        return 0
    local = start.astimezone(asked.zone).replace(tzinfo=None)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if asked.grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if asked.grain == "month" else day


async def recounted(store: Store, asked: Question) -> Any:
    recount = Recount(asked)
    for collection in COLLECTIONS:
        async for document in store.database[collection].find():
            recount.add(rows(msgspec.convert(document, Fact)))
    return recount.counted()


@pytest.mark.slow
@settings(FEW, max_examples=12)
@given(worlds(), st.data())
async def test_any_history_ends_in_the_figures_of_pandas(
    store: Store, monkeypatch: pytest.MonkeyPatch, events: list[Event], data: st.DataObject
) -> None:
    """Weeks or none, as an earlier version compacts."""
    await store.empty()
    monkeypatch.setattr(compaction, "DAYS_AT_ONCE", data.draw(st.sampled_from([1, 3, 40])))
    monkeypatch.setattr(summing, "CHUNK_LINES", data.draw(st.sampled_from([2, 50_000])))
    for batch in batches_of(events, data):
        await store.hear(batch)
        if data.draw(st.booleans()):
            await store.compactor.compact()
        elif await store.database.segments.find_one({}) and data.draw(st.booleans()):
            await compact_as_a_version_without_weeks(store, monkeypatch)
    for name in naive_kpis.KPIS:
        grain, zone = (
            data.draw(st.sampled_from(["day", "week", "month", "all"])),
            data.draw(st.sampled_from(ZONES)),
        )
        offered = [d for d in ("department", "category", "channel", "kind") if d in KPIS[name].dimensions]
        dimensions = st.lists(st.sampled_from(offered or ["sku"]), max_size=2, unique=True)
        by = tuple(data.draw(dimensions))
        asked = question(name, by, grain, zone, statistic="mean")
        assert await series(store, asked) == naive_kpis.series(name, events, by, grain, zone), (
            name,
            by,
            grain,
            zone,
        )


@pytest.mark.slow
@settings(FEW, max_examples=8)
@given(worlds(), st.data())
async def test_every_figure_equals_a_recount_of_the_facts(
    store: Store, events: list[Event], data: st.DataObject
) -> None:
    await store.empty()
    for batch in batches_of(events, data):
        await store.hear(batch)
        if data.draw(st.booleans()):
            await store.compactor.compact()
    for name, kpi in KPIS.items():
        if kpi.now:
            continue
        by = tuple(data.draw(st.lists(st.sampled_from(kpi.dimensions), max_size=2, unique=True)))
        grain, zone = data.draw(st.sampled_from(["hour", "day", "all"])), data.draw(st.sampled_from(ZONES))
        statistic = data.draw(st.sampled_from(kpi.statistics or ("p50",)))
        asked = question(name, by, grain, zone, statistic=statistic)
        served = answer(asked, await store.figures.counted(asked), float, END, 10**7)
        assert served == answer(asked, await recounted(store, asked), float, END, 10**7), (
            name,
            by,
            grain,
            zone,
        )


async def test_a_compactor_that_is_killed_leaves_everything_as_it_was(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    await store.hear([said(("k", n), at=NOON + timedelta(hours=n)) for n in range(50)])
    asked = question("feedback_volume", ("kind",), "day", "UTC")
    before = await series(store, asked)

    class Killed(BaseException):
        pass

    whole = Compactor._write

    async def killed(self: Compactor, work: Any, session: Any) -> None:
        await whole(self, work, session)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Compactor, "_write", killed)
        with pytest.raises(Killed):
            await store.compactor.compact()
    assert await store.database.segments.count_documents({}) == 1
    assert await series(store, asked) == before
    assert await store.compactor.compact() == 1
    assert await store.database.segments.count_documents({}) == 0
    assert await series(store, asked) == before
    assert sorted(before.values()) == [(12, 12), (14, 14), (24, 24)]


async def test_one_replica_compacts_at_a_time_and_another_when_it_is_gone(store: Store) -> None:
    await store.database.leases.delete_many({})
    mine, other = (Compactor(store._mongo, store.database) for _ in range(2))
    assert await mine._holds_lease() and not await other._holds_lease() and await mine._holds_lease()
    await store.database.leases.update_many({}, {"$set": {"until": NOON}})
    assert await other._holds_lease() and not await mine._holds_lease()


async def test_segments_are_compacted_step_by_step(store: Store) -> None:
    """A few segments wait for company, but not for long."""
    await store.empty()
    await store.hear([said(("b", n), at=NOON) for n in range(5)])
    for _ in range(compaction.LONGEST_WAIT + 1):
        await store.compactor.step()
    assert await store.database.segments.find_one({}) is None
    asked = question("feedback_volume", (), "all", "UTC")
    assert list((await series(store, asked)).values()) == [(5, 5)]


async def test_a_compaction_that_takes_too_long_is_tried_smaller(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    for n in range(4):
        await store.hear([said(("slow", n, i), at=NOON + timedelta(days=n)) for i in range(3)])
    taken: list[int] = []
    whole = Compactor._write

    async def at_most_one(self: Compactor, work: Any, session: Any) -> None:
        taken.append(len(work.taken))
        if len(work.taken) > 1:
            raise TooSlow("as MongoDB ends a transaction that grew too old")
        await whole(self, work, session)

    monkeypatch.setattr(compaction, "LINES_AT_ONCE", 12)
    monkeypatch.setattr(Compactor, "_write", at_most_one)
    await compact_all(store)
    assert max(taken[:2]) > 1 and min(taken) <= 1
    assert await store.database.segments.find_one({}) is None


async def test_a_compaction_never_asks_for_more_sums_at_once_than_a_cold_disk_reads_within_a_deadline(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that fits into an answer of 16 MB once took longer than the 10 s there are."""
    await store.empty()
    monkeypatch.setattr(weeks, "SUMS_AT_ONCE", 3)
    for _ in range(2):
        await store.hear(four_weeks(uuid4().hex))
        await compact_all(store)
    await store.database.leases.update_one({"_id": compaction.LEASE}, {"$unset": {"weeks": ""}})
    await store.hear(four_weeks(uuid4().hex))
    await store.database.command("profile", 2)
    await compact_all(store)
    await store.database.command("profile", 0)
    read = {"op": {"$in": ["query", "getmore"]}, "ns": {"$regex": r"\.(days|weeks|chunks)$"}}
    answers = [one["nreturned"] async for one in store.database["system.profile"].find(read)]
    await store.database.drop_collection("system.profile")
    assert max(answers) == 3 and sum(answers) > 100


async def test_whoever_was_overtaken_while_it_summed_writes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    await store.hear([said(("o", n), at=NOON + timedelta(hours=n)) for n in range(30)])
    mine, other = (Compactor(store._mongo, store.database) for _ in range(2))
    whole = Compactor._prepared

    async def slowly(self: Compactor) -> Any:
        work = await whole(self)
        if self is mine:
            assert await other.compact() == 1
        return work

    monkeypatch.setattr(Compactor, "_prepared", slowly)
    assert await mine.compact() == 0
    assert await store.database.segments.find_one({}) is None
    asked = question("feedback_volume", (), "all", "UTC")
    assert list((await series(store, asked)).values()) == [(30, 30)]


async def test_a_compactor_of_an_earlier_version_that_counts_no_rounds_takes_nothing_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    await store.database.leases.insert_one({"_id": compaction.LEASE, "holder": "", "until": NOON})
    await store.hear([said(("e", n), at=NOON) for n in range(7)])
    mine, other = (Compactor(store._mongo, store.database) for _ in range(2))
    whole = Compactor._prepared

    async def slowly(self: Compactor) -> Any:
        work = await whole(self)
        if self is mine:
            assert work.round is None and await other.compact() == 1
            await store.database.leases.update_many({}, {"$unset": {"round": ""}})
        return work

    with monkeypatch.context() as patched:
        patched.setattr(Compactor, "_prepared", slowly)
        assert await mine.compact() == 0
    asked = question("feedback_volume", (), "all", "UTC")
    assert list((await series(store, asked)).values()) == [(7, 7)]


def four_weeks(name: str) -> list[Event]:
    """One feedback a day, from a Monday on."""
    return [said((name, n), at=datetime(2019, 5, 6, 12, tzinfo=UTC) + timedelta(days=n)) for n in range(28)]


async def compact_all(store: Store) -> None:
    while await store.compactor.compact():
        pass


async def without_days(store: Store, asked: Question) -> Any:
    """The figure as weeks alone say it; days are there again afterwards."""
    days = await store.database.days.find().to_list(None)
    await store.database.days.delete_many({})
    try:
        return await series(store, asked)
    finally:
        if days:
            await store.database.days.insert_many(days)


async def compact_as_a_version_without_weeks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None: ...

    with monkeypatch.context() as patched:
        patched.setattr(weeks, "hold_all", lambda _: False)
        patched.setattr(weeks, "sum_anew", nothing)
        await compact_all(store)


async def test_an_answer_reads_no_more_lines_than_it_may_however_many_days_and_tallies_it_cuts(
    store: Store,
) -> None:
    """Where weeks begin at a quarter to the hour, a day of each is read line by line."""
    await store.empty()
    sundays = [NOON - timedelta(days=1) + n * timedelta(weeks=1) for n in range(6)]
    moments = [[day + n * timedelta(minutes=1) for n in range(5)] for day in sundays]
    await store.hear([said(("lines", at), at=at) for day in moments for at in day])
    await store.hear([breached(("lines", at), due=at) for day in moments for at in day[:2]])
    while await store.compactor.compact():
        pass
    for name, lines in (("feedback_volume", 6 * 5), ("sla_attainment", 6 * 2)):
        asked = question(name, ("kind",), "week", "Asia/Kathmandu")
        enough, less = (FigureStore(store.database, most) for most in (lines, lines - 1))
        counted = await enough.counted(asked)
        assert sum(map(sum, next(sums for sums in counted.sums.values() if any(map(any, sums))))) == lines
        with pytest.raises(TooManyFacts):
            await less.counted(asked)


async def test_open_cases_are_read_some_at_a_time_and_no_more_of_them_than_is_needed(store: Store) -> None:
    await store.empty()
    await store.hear([case_changed(("open", n), about=(("of", n),), opened_at=NOON) for n in range(4)])
    asked = question("backlog_age", ("department",), "all", "UTC")
    found = [case async for case in FigureStore(store.database, 4).open_cases(asked)]
    assert [(case.m, case.state.feedback_ids) for case in found if case.state] == [((), ())] * 4
    assert all(
        case.d["department"] == "service" and case.state.opened_at == NOON for case in found if case.state
    )
    seen = 0
    with pytest.raises(TooManyFacts):
        async for _ in FigureStore(store.database, 3).open_cases(asked):
            seen += 1
    assert seen == 3, "told as they come"


async def test_weeks_answer_for_their_days(store: Store) -> None:
    await store.empty()
    await store.hear(four_weeks("w"))
    await compact_all(store)
    assert list((await without_days(store, question("feedback_volume", (), "all", "UTC"))).values()) == [
        (28, 28)
    ]
    by_week = await without_days(store, question("feedback_volume", (), "week", "UTC"))
    assert sorted(by_week.values()) == [(7, 7)] * 4
    assert await without_days(store, question("feedback_volume", (), "day", "UTC")) == {}


async def test_weeks_that_an_earlier_version_has_left_behind_are_not_read_but_summed_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    asked = question("feedback_volume", (), "all", "UTC")
    await store.hear(four_weeks("before"))
    await compact_all(store)
    await store.hear(four_weeks("by another version"))
    await compact_as_a_version_without_weeks(store, monkeypatch)
    assert not await weeks.are_whole(store.database)
    assert list((await series(store, asked)).values()) == [(56, 56)]
    await store.hear(four_weeks("after"))
    await compact_all(store)
    assert list((await series(store, asked)).values()) == [(84, 84)]
    assert list((await without_days(store, asked)).values()) == [(84, 84)]


async def test_weeks_are_not_read_when_somebody_compacted_while_they_were_summed_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    await store.hear(four_weeks("one"))
    await compact_as_a_version_without_weeks(store, monkeypatch)
    await store.hear(four_weeks("two"))
    met = iter([True])

    async def hold() -> bool:
        if next(met, False):
            await compact_as_a_version_without_weeks(store, monkeypatch)
        return True

    await weeks.sum_anew(store._mongo, store.database, hold)
    assert not await weeks.are_whole(store.database)
    assert list((await series(store, question("feedback_volume", (), "all", "UTC"))).values()) == [(56, 56)]
    await weeks.sum_anew(store._mongo, store.database, hold)
    assert await weeks.are_whole(store.database)
    asked = question("feedback_volume", ("channel",), "all", "UTC")
    assert await without_days(store, asked) == await series(store, asked) != {}


async def test_whoever_stood_still_while_weeks_were_summed_anew_writes_no_old_sums_over_new_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    await store.hear(four_weeks("old"))
    await compact_as_a_version_without_weeks(store, monkeypatch)
    await store.hear(four_weeks("new"))
    read, met = weeks._days_of_weeks, iter([True])

    async def stands_still(*about: Any) -> AsyncIterator[Any]:
        async for week in read(*about):
            if next(met, False):
                await compact_all(store)
            yield week

    async def hold() -> bool:
        return True

    monkeypatch.setattr(weeks, "_days_of_weeks", stands_still)
    await weeks.sum_anew(store._mongo, store.database, hold)
    assert await weeks.are_whole(store.database)
    asked = question("feedback_volume", (), "all", "UTC")
    assert list((await without_days(store, asked)).values()) == [(56, 56)]


async def test_whoever_lost_the_lease_while_weeks_were_summed_anew_leaves_them_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    await store.hear(four_weeks("lost"))
    await compact_as_a_version_without_weeks(store, monkeypatch)

    async def lost() -> bool:
        return False

    await weeks.sum_anew(store._mongo, store.database, lost)
    assert not await weeks.are_whole(store.database)


async def test_after_a_compaction_it_rests_unless_a_crowd_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.empty()
    monkeypatch.setattr(compaction, "ENOUGH_SEGMENTS", 1)
    monkeypatch.setattr(compaction, "CROWD_OF_SEGMENTS", 3)
    monkeypatch.setattr(compaction, "RESTS", 1e6)

    async def waiting_after(name: str) -> int:
        await store.hear([said((name, 1), at=NOON)])
        await store.compactor.step()
        return int(await store.database.segments.count_documents({}))

    assert [await waiting_after(name) for name in "abcd"] == [0, 1, 2, 0]
