"""A rolling upgrade and its way back, N -> N+1 -> N, under load, service by service (promise P15)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from deploy.cli import build
from deploy.commands.letters import opened_letters
from shared.topics import CASES, FEEDBACK, SLA, Topic
from tests.faults.conftest import Run
from tests.support.next_version import FIELD, next_version
from tests.support.reading import read_topic
from tests.support.spine import eventually
from tests.support.witness import short

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(900)]

SAYS: dict[str, Topic] = {"intake": FEEDBACK, "routing": CASES, "sla": SLA}


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    return next_version(tmp_path / "next")


async def roll(run: Run, service: str, source: Path | None) -> None:
    """One replica after the other ends and comes back as the other version, while its neighbour works."""
    for replica in run.cluster.of(service):
        await replica.drain()
        run.cluster.run_from(replica, source)
        replica.start()
        await replica.ready()
        await run.recovered(f"{replica.name} is {'N+1' if source else 'N'}")


@pytest.mark.parametrize("service", [
    pytest.param("intake", marks=pytest.mark.fault("rolling-upgrade-intake")),
    pytest.param("routing", marks=pytest.mark.fault("rolling-upgrade-routing")),
    pytest.param("sla", marks=pytest.mark.fault("rolling-upgrade-sla")),
])  # fmt: skip
async def test_who_speaks_is_upgraded_first_and_taken_back_and_nothing_is_lost(
    run: Run, newer: Path, service: str
) -> None:
    """What it says meanwhile is the next contract, to consumers that do not know it; what it keeps, too."""
    await run.cluster.start(**{one: 2 if one == service else 1 for one in (*SAYS, "analytics")})
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        await roll(run, service, newer)
        await roll(run, service, None)
    seen = await run.verdict(load)
    assert seen.later, "the next version was heard"
    assert await run_said_the_field(run, SAYS[service]), "the new field was said"


@pytest.mark.fault("rolling-upgrade-analytics")
async def test_who_only_listens_is_upgraded_last_and_does_by_a_replay_what_it_could_not_know(
    run: Run, newer: Path
) -> None:
    for service in SAYS:
        run.cluster.add(service, newer).start()
    await run.cluster.start(analytics=2)
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        await run.recovered("the others are N+1")
        await roll(run, "analytics", newer)
        kept = await kept_letters(run)
        assert kept, "the old version kept what it did not know"
        await replay(run)
        await run.recovered(f"{len(kept)} letters replayed")
        later = run.witness.database("analytics").later
        done = {d["_id"] async for d in later.find({"_id": {"$in": list(kept)}}, {"_id": 1})}
        assert done == kept
        await roll(run, "analytics", None)
    await run.verdict(load)


async def run_said_the_field(run: Run, topic: Topic) -> bool:
    return any(FIELD in (record.value or b"") for record in await read_topic(run.cluster.kafka, topic.name))


def groups(run: Run) -> set[str]:
    return {run.cluster.group("analytics", short(topic)) for topic in SAYS.values()}


async def kept_letters(run: Run) -> set[UUID]:
    """The ids of what analytics left to a version that knows it."""
    async with opened_letters(run.cluster.kafka, {}) as letters:
        found = [one.letter for one in await letters.all()]
    mine = [
        one for one in found if one.facts["group"] in groups(run) and one.facts["reason"] == "unknown_type"
    ]
    identities: list[Any] = [dict(one.headers)["ce_id"] for one in mine]
    return {UUID(one.decode()) for one in identities}


async def replay(run: Run) -> None:
    """As docs/runbook.md says."""
    env = {"CQM_KAFKA": run.cluster.kafka}
    for group in groups(run):
        words = ["dlt", "replay", "--reason", "unknown_type", "--group", group]
        result = await asyncio.to_thread(CliRunner().invoke, build(), words, env=env)
        assert result.exit_code == 0, result.output
