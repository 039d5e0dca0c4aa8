"""Lists of the steps that fired, by every filter: the right ones, the latest first, along one index."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from services.sla.store import ClockStore, EscalationFilter
from services.sla.store.documents import escalation_document, escalation_of
from shared.events import CaseLabels, EscalationAction, EscalationRaised
from shared.ids import name_id
from shared.mongo import Database, Mongo
from tests.support.servers import Servers

COUNT, PAGE = 2_000, 20
NOW = datetime(2026, 11, 28, 12, 0, 0, 123_000, tzinfo=UTC)
ACTIONS: tuple[EscalationAction, ...] = ("remind_owner", "notify_supervisor", "raise_priority")


def raised(chance: random.Random, number: int) -> EscalationRaised:
    """One of many of the same second: lists break ties by id."""
    at = NOW - timedelta(milliseconds=chance.randrange(3) * 400)
    return EscalationRaised(
        id=name_id("step", str(number)),
        case_id=UUID(int=number % 90),
        case_version=1,
        target="resolution",
        epoch=0,
        step=0,
        repetition=0,
        action=chance.choice(ACTIONS),
        due_at=at,
        step_at=at,
        at=at,
        recipient=f"person-{number % 7}",
        labels=CaseLabels(
            department=f"department-{number % 5}", priority="P2", category="other", kind="complaint",
            channel="web", owner="chen", region="", tier="",
        ),
    )  # fmt: skip


KEPT = [escalation_document(raised(random.Random(n), n)) for n in range(COUNT)]
IDS = ("_id", "event_id", "case_id")
MADE = sorted(
    (escalation_of(one | {name: UUID(bytes=bytes(one[name])) for name in IDS}) for one in KEPT),
    key=lambda one: (one.at, one.id.bytes),
    reverse=True,
)


@pytest.fixture(scope="module")
async def database(servers: Servers) -> AsyncIterator[Database]:
    mongo = Mongo(servers.mongo)
    found = mongo.database("listed_sla")
    await found.client.drop_database(found.name)
    await ClockStore(found).ensure_indexes()
    await found.escalations.insert_many(KEPT)
    yield found
    await found.client.drop_database(found.name)
    mongo.close()


def filters() -> Iterator[EscalationFilter]:
    """Each filter alone and with every other, from the first page and from the middle of a tie."""
    middle = MADE[COUNT // 2]
    for case_id, recipient, action, departments, since, until, after in product(
        (None, middle.case_id),
        (None, middle.recipient),
        (None, middle.action),
        (None, [middle.department, "department-3"]),
        (None, NOW - timedelta(milliseconds=400)),
        (None, NOW - timedelta(microseconds=300), NOW),
        (None, middle.id),
    ):
        yield EscalationFilter(case_id, recipient, action, departments, since, until, after, PAGE)


def expected(wanted: EscalationFilter) -> list[UUID]:
    """Looked at one by one."""
    place = next(((one.at, one.id.bytes) for one in MADE if one.id == wanted.after), None)
    return [
        one.id
        for one in MADE
        if wanted.case_id in (None, one.case_id)
        and wanted.recipient in (None, one.recipient)
        and wanted.action in (None, one.action)
        and (wanted.departments is None or one.department in wanted.departments)
        and (wanted.since is None or one.at >= wanted.since)
        and (wanted.until is None or one.at < wanted.until)
        and (place is None or (one.at, one.id.bytes) < place)
    ][:PAGE]


async def test_every_filter_lists_what_it_says_the_latest_first(database: Database) -> None:
    store = ClockStore(database).escalations
    for wanted in filters():
        assert [one.id for one in await store.find(wanted)] == expected(wanted), wanted


async def test_no_list_reads_the_collection_or_sorts(database: Database) -> None:
    store = ClockStore(database).escalations
    await database.create_collection("system.profile", capped=True, size=50_000_000)
    await database.command("profile", 2)
    for wanted in filters():
        await store.find(wanted)
    await database.command("profile", 0)
    seen = [e async for e in database["system.profile"].find({"ns": f"{database.name}.escalations"})]
    assert len(seen) >= 100
    for entry in seen:
        assert "COLLSCAN" not in entry["planSummary"], entry["planSummary"]
        assert not entry.get("hasSortStage"), entry["command"]
        if entry["command"]["filter"].keys() == {"department"}:  # of whoever may see some departments alone
            assert entry["keysExamined"] <= PAGE + 3, entry["command"]
