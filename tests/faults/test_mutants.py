"""The oracle can fail: services with one promise taken out of their source are caught, each by name.

A mutant is a copy of the source with a few lines replaced (tests/support/mutants.py). Each is played through
the fault that its line is there for; what the oracle says has to name what was lost or doubled.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.servers import Servers
from tests.faults.conftest import Run
from tests.support import mutants
from tests.support.faults import Replica
from tests.support.load import Load
from tests.support.ring import Ring
from tests.support.spine import eventually
from tests.support.variants import Patch, variant

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(300)]

LATE_SECONDS = 6.0
ROUNDS = 3
"""Not every zombie does harm: of the first three that were played one did not."""
SERVICES = ("intake", "routing", "sla", "analytics")
Mutate = Callable[..., Path]


@pytest.fixture
def mutate(tmp_path: Path) -> Mutate:
    """The root of a copy with these patches."""
    made: list[Path] = []

    def copy(*patches: Patch) -> Path:
        made.append(variant(tmp_path / f"mutant{len(made)}", patches))
        return made[-1]

    return copy


async def start(run: Run, service: str, source: Path) -> Replica:
    """One replica of each service, that of `service` from its own source."""
    sound = {other: 1 for other in SERVICES if other != service}
    await run.cluster.start(**sound)
    mutant = run.cluster.add(service, source)
    mutant.start()
    await mutant.ready()
    return mutant


async def caught(run: Run, load: Load, words: str) -> None:
    """At rest, when nothing more is done, the oracle says these words of the run."""
    await run.witness.rest(120)
    await named(run, load, words)


async def named(run: Run, load: Load, words: str) -> None:
    """The oracle says these words of the run as it is."""
    broken = await run.broken(load)
    for one in broken:
        run.report(f"caught: {one.words[:160]}")
    assert any(words in one.words for one in broken), broken


@pytest.mark.fault("mutant-acknowledges-first")
async def test_an_intake_that_answers_before_kafka_has_it_is_caught(
    run: Run, fault_servers: Servers, mutate: Mutate
) -> None:
    mutant = await start(run, "intake", mutate(*mutants.ACKNOWLEDGES_FIRST))
    broker = fault_servers.local_kafka.child
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        broker.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(1.0)  # the fault: so long it answers without Kafka
            await mutant.kill()
        finally:
            broker.signal(signal.SIGCONT)
        mutant.start()
        await run.cluster.all_ready()
    await caught(run, load, "acknowledged, no outcome in routing")


@pytest.mark.fault("mutant-writes-with-w1")
async def test_a_service_that_does_not_wait_for_a_majority_is_caught(
    ring_run: Run, ring: Ring, mutate: Mutate
) -> None:
    """What the primary took alone is rolled back, its fences too, so the mutant does not come to rest."""
    await start(ring_run, "routing", mutate(*mutants.WRITES_WITH_W1))
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        primary = await ring.leave_alone()
        answered = len(load.answered)
        await eventually(lambda: len(load.answered) > answered + 9, what="actions that only one member knows")
    await ring.roll_back(primary)
    await ring_run.cluster.all_ready()
    await named(ring_run, load, "action that was answered 200 and is not in the history")


@pytest.mark.fault("mutant-without-outbox")
async def test_a_spine_that_keeps_no_pending_events_is_caught(run: Run, mutate: Mutate) -> None:
    await dies_at(run, mutate(*mutants.NO_OUTBOX), "committed", "version that was never told")


@pytest.mark.fault("mutant-at-most-once")
async def test_a_spine_that_moves_on_before_it_has_stored_is_caught(run: Run, mutate: Mutate) -> None:
    await dies_at(run, mutate(*mutants.AT_MOST_ONCE), "in_transaction", "acknowledged, no outcome in routing")


async def dies_at(run: Run, source: Path, point: str, words: str) -> None:
    """A mutant of routing kills itself there in a few batches, one after the other."""
    await run.cluster.start(intake=1, sla=1, analytics=1)
    mutant = run.cluster.add("routing", source)
    async with run.load() as load:
        for _ in range(3):
            mutant.start(f"{run.cluster.group('routing', 'feedback')}/{point}:2")
            await asyncio.wait_for(mutant.program.wait(), 60)
        mutant.start()
        await mutant.ready()
        await eventually(lambda: load.answered, what="an action was carried out")
    await caught(run, load, words)


@pytest.mark.fault("mutant-swallows-dead-letters")
async def test_a_stream_that_drops_what_it_cannot_read_is_caught(run: Run, mutate: Mutate) -> None:
    await start(run, "routing", mutate(*mutants.SWALLOWS_DEAD_LETTERS))
    async with run.load() as load:
        await eventually(lambda: len(load.poison) > 1, what="poison was sent")
    await caught(run, load, "poison without a dead letter")


@pytest.mark.fault("mutant-without-fence")
async def test_a_spine_without_the_condition_on_its_fence_is_caught(run: Run, mutate: Mutate) -> None:
    """The zombie writes over what its successor, which has just died, had still to say."""
    await run.cluster.start(intake=1, sla=1, analytics=1)
    zombie = run.cluster.add("routing", mutate(*mutants.NO_FENCE, *mutants.FREEZES))
    successor = run.cluster.add("routing", mutate(*mutants.NO_FENCE))
    group = run.cluster.group("routing", "feedback")
    async with run.load() as load:
        zombie.start(f"{group}/decided:8")
        await run.frozen(zombie)
        successor.start(f"{group}/committed:1")
        await asyncio.wait_for(successor.program.wait(), 60)
        await late_write(zombie)
        successor.start()
        await successor.ready()
        zombie.start()
        await zombie.ready()
        await eventually(lambda: load.answered, what="an action was carried out")
    await caught(run, load, "version that was never told")


@pytest.mark.fault("mutant-without-version")
async def test_an_escalation_without_the_condition_on_its_clocks_version_is_caught(
    run: Run, mutate: Mutate
) -> None:
    """The fence is before it: the mutant lacks both. Its successor takes the step that it has in hand."""
    await run.cluster.start(intake=1, routing=1, analytics=1)
    zombie = run.cluster.add("sla", mutate(*mutants.NO_VERSION, *mutants.FREEZES, *mutants.TAKES_A_STEP))
    successor = run.cluster.add("sla", mutate(*mutants.NO_VERSION))
    successor.start()
    await successor.ready()
    async with run.load() as load:
        for _ in range(ROUNDS):
            zombie.start("sla/takes_a_step:3")
            await run.frozen(zombie)
            await run.witness.no_timer_before(datetime.now(UTC))
            await late_write(zombie)
            if await steps_kept_twice(run):
                break
        zombie.start()
        await zombie.ready()
        await eventually(lambda: load.answered, what="an action was carried out")
    await caught(run, load, "kept twice by sla")


async def steps_kept_twice(run: Run) -> int:
    by_event = {"$group": {"_id": "$event_id", "n": {"$sum": 1}}}
    twice = [by_event, {"$match": {"n": {"$gt": 1}}}]
    return len(await run.witness.database("sla").escalations.aggregate(twice).to_list(None))


async def late_write(zombie: Replica) -> None:
    """It wakes, finishes what it had in hand, and is gone."""
    zombie.thaw()
    await asyncio.sleep(LATE_SECONDS)  # the fault: time for its late write
    await zombie.kill()
