"""`python -m tests.bench.sweep --clocks 10000`: steps due in the same second, fired by the real service.

The clocks are made directly, each with one step and nothing else due, over all partitions. Measured is from
the moment they are due to the last EscalationRaised that is kept; lateness is by the database's clock.
"""

import asyncio
import tempfile
import time
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from msgspec.structs import replace
from rich.console import Console

from deploy.local.plan import COMMAND
from services.sla.domain.clock import Clock, ClockStep
from services.sla.store import ClockStore
from services.sla.store.documents import clock_document
from services.sla.store.late import due_document
from shared.observability import configure_logging
from shared.topics import CASES
from tests.bench.laboratory import Laboratory, laboratory
from tests.bench.machine import machine, show_machine
from tests.support.open_clocks import clocks

INSERT = 2000
LEAD_SECONDS = 12.0
"""For the service to be there before anything is due."""
DEADLINE_SECONDS = 120.0
IDLE_SECONDS = 40.0
"""Long enough for a count of what is open, which comes every 15 s at most."""


def main(
    count: Annotated[int, typer.Option("--clocks", min=100, help="Steps due in one second.")] = 10_000,
    replicas: Annotated[int, typer.Option(min=1, max=8, help="Replicas of the service.")] = 1,
    idle: Annotated[int, typer.Option(help="Open clocks beside them that are not due.")] = 0,
) -> None:
    """Steps fired per second, and how late."""
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    show_machine(console, machine())
    with (
        tempfile.TemporaryDirectory(prefix="cqm-sweep-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_measure(console, Path(folder), count, replicas, idle))


async def _measure(console: Console, folder: Path, count: int, replicas: int, idle: int) -> None:
    async with laboratory(folder) as lab:
        database = lab.database("sla")
        store = ClockStore(database)
        await store.ensure_indexes()
        await _fill(lab, store, idle, due=None)
        names = ["sla", *(f"sla-{number}" for number in range(1, replicas))]
        for name in names:
            service = await lab.start(name, [part.format(name="sla") for part in COMMAND])
            await service.until_ready(service.start_seconds)
        if idle:
            await _watch_idle(console, lab, idle)
        due = (await lab.mongo.now()).replace(microsecond=0) + timedelta(seconds=LEAD_SECONDS)
        await _fill(lab, store, count, due=due)
        now = await lab.mongo.now()
        if now >= due:
            raise RuntimeError("filling took longer than the lead: nothing would be measured")
        await asyncio.sleep((due - now).total_seconds())
        cpu, began = lab.cpu_seconds(), time.perf_counter()
        while (fired := await database.escalations.estimated_document_count()) < count:
            if time.perf_counter() - began > DEADLINE_SECONDS:
                raise RuntimeError(f"only {fired:,} of {count:,} steps fired")
            lab.check()
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - began
        spent = {name: 1e6 * (after - cpu[name]) / count for name, after in lab.cpu_seconds().items()}
        late = sorted(
            [(one["at"] - due).total_seconds() async for one in database.escalations.find({}, {"at": 1})]
        )
        console.print(
            f"{count:,} steps due in one second: fired in {seconds:.2f} s, {count / seconds:,.0f}/s"
        )
        console.print(f"late p50 {late[len(late) // 2]:.2f} s, most {late[-1]:.2f} s; early: {late[0] < 0}")
        shares = ", ".join(f"{name} {us:.0f}" for name, us in spent.items() if name != "generator")
        console.print(f"us of CPU a step: {shares}; resident MB of sla: {lab.resident_mb()['sla']:.0f}")


async def _watch_idle(console: Console, lab: Laboratory, idle: int) -> None:
    """What the first replica costs while nothing is due; the first seconds are those of its start."""
    await asyncio.sleep(IDLE_SECONDS / 2)
    cpu = lab.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    spent = {name: 1000 * (after - cpu[name]) / IDLE_SECONDS for name, after in lab.cpu_seconds().items()}
    console.print(
        f"{idle:,} clocks open and none due, for {IDLE_SECONDS:.0f} s: ms of CPU a second: "
        f"sla {spent['sla']:.1f}, mongod {spent['mongod']:.1f}; "
        f"resident MB of sla: {lab.resident_mb()['sla']:.0f}"
    )


async def _fill(lab: Laboratory, store: ClockStore, count: int, due: datetime | None) -> None:
    database = lab.database("sla")
    now = await lab.mongo.now()
    made = clocks(count, now=now + timedelta(days=90) if due is None else now, partitions=CASES.partitions)
    while batch := list(islice(made, INSERT)):
        batch = batch if due is None else [_due(clock, due) for clock in batch]
        await store.late_list.remember({clock.labels.department for clock in batch})
        await database.clocks.insert_many([clock_document(clock) for clock in batch], ordered=False)
        await database.dues.insert_many([due_document(clock) for clock in batch], ordered=False)


def _due(clock: Clock, due: datetime) -> Clock:
    """With one step at `due`, and all else far ahead."""
    later = due + timedelta(days=9)
    targets = {
        name: replace(
            target, due_at=later,
            steps=(ClockStep(0, "remind_owner", target.seconds, at=due), *target.steps[1:])
            if name == "resolution" else (),
        )
        for name, target in clock.targets.items()
    }  # fmt: skip
    return replace(clock, targets=targets, next_at=due)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
