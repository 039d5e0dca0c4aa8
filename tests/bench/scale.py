"""`python -m tests.bench.scale routing`: replicas of one service, each held to the same part of a core.

For each number of replicas everything begins anew: a Kafka, a MongoDB, and all that the replicas shall read,
which is there before they start: a feeder beside them would be measured, too. Then the replicas, each held to
`--cores` of a core (quota.py). The rate is taken while all replicas work: from FROM_SHARE to TO_SHARE of the
work done. Kafka and mongod are shared and not held, so on a small machine four
replicas must leave them room: 4 x 0.2 cores of 2 by default.

The **serial part** is that of Amdahl's law: with it, n replicas do X(n) = X(1) n / (1 + serial (n - 1)), so
n / X(n) is a straight line in n - 1, found by least squares.
"""

import asyncio
import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.local.plan import COMMAND
from shared.observability import configure_logging
from tests.bench import workload
from tests.bench.laboratory import Laboratory, laboratory
from tests.bench.machine import machine, show_machine
from tests.bench.measure import Measured, Sample, until_settled
from tests.bench.posting import Poster
from tests.bench.quota import quota
from tests.bench.stages import CONSUMING, INTAKE, LINES, Stage

FROM_SHARE, TO_SHARE = 0.25, 0.9
FED_BY = {"sla": ("routing",)}
"""What has to run before a service so that it has something to do; intake always does."""


@dataclass(frozen=True, slots=True)
class Found:
    """`service_us`: CPU time of all replicas together per item; `used`: cores that they took together."""

    replicas: int
    rate: float
    used: float
    service_us: float
    mongod_us: float
    kafka_us: float


def serial_part(rates: Mapping[int, float]) -> tuple[float, float]:
    """(rate of one replica, serial part from 0 to 1) of the law that is nearest to what was measured."""
    replicas = np.array(sorted(rates), dtype=float)
    each = replicas / np.array([rates[int(n)] for n in replicas])
    rise, first = np.polyfit(replicas - 1, each, 1)
    return float(1 / first), float(np.clip(rise / first, 0.0, 1.0))


def middle(samples: Sequence[Sample], counted: Collection[tuple[str, str]]) -> Measured:
    """Of what was done between FROM_SHARE and TO_SHARE of all. `counted`: (service, topic) of the work."""
    done = [sum(n for about, n in one.done.items() if about in counted) for one in samples]
    first = next(i for i, n in enumerate(done) if n >= FROM_SHARE * done[-1])
    last = next(i for i, n in enumerate(done) if n >= TO_SHARE * done[-1])
    return Measured.between(samples[first], samples[last], done[last] - done[first])


async def _measure(lab: Laboratory, stage: Stage, replicas: int, cores: float, count: int) -> Found:
    names = [stage.name, *(f"{stage.name}-{number}" for number in range(1, replicas))]
    await _feed(lab, FED_BY.get(stage.name, ()), count)
    samples: list[Sample] = []
    with ExitStack() as stack:
        for name in names:
            await lab.start(name, [part.format(name=name.partition("-")[0]) for part in COMMAND])
            pid = lab.services[name].child.pid
            assert pid is not None
            stack.enter_context(quota(pid, cores))
        await until_settled(lab, {stage.name: stage.counted}, seen=samples.append)
    measured = middle(samples, {(stage.name, topic.name) for topic in stage.counted})
    own = sum(measured.cpu_us[name] for name in names)
    return Found(
        replicas, measured.rate, own * measured.rate / 1e6, own,
        measured.cpu_us["mongod"], measured.cpu_us["Kafka"],
    )  # fmt: skip


async def _feed(lab: Laboratory, others: Sequence[str], count: int) -> None:
    """Intake and those that come before the service do their work, and are gone."""
    for name in (INTAKE.name, *others):
        await lab.start(name)
        await lab.services[name].until_ready(lab.services[name].start_seconds)
    async with Poster(lab.services[INTAKE.name].url) as poster:
        await poster.flood(workload.bodies(count, LINES, run="scale"))
    if others:
        await until_settled(lab, {one.name: one.counted for one in CONSUMING if one.name in others})
    for name in (INTAKE.name, *others):
        await lab.stop(name)


def main(
    service: Annotated[str, typer.Argument(help="routing, sla or analytics.")] = "routing",
    most: Annotated[int, typer.Option("--replicas", min=1, max=12, help="Measure 1 to so many.")] = 4,
    cores: Annotated[float, typer.Option(min=0.01, max=1, help="Of each replica.")] = 0.2,
    count: Annotated[int, typer.Option(min=1000, help="Feedback for each number of replicas.")] = 20_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
) -> None:
    """Throughput by replicas of one service, and the part of the work that does not divide."""
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    stage = next((one for one in CONSUMING if one.name == service), None)
    if stage is None:
        raise typer.BadParameter("must be routing, sla or analytics")
    about = machine()
    show_machine(console, about)
    found: list[Found] = []
    for replicas in range(1, most + 1):
        with (
            tempfile.TemporaryDirectory(prefix="cqm-scale-") as folder,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            found.append(runner.run(_in_laboratory(Path(folder), stage, replicas, cores, count)))
            console.print(f"[dim]{replicas}: {found[-1].rate:,.0f} {stage.item}/s[/dim]")
    one, serial = serial_part({each.replicas: each.rate for each in found})
    show(console, stage, cores, found, one, serial)
    if json_file is not None:
        document = {"machine": about, "service": service, "cores": cores, "one": one, "serial": serial}
        json_file.write_text(
            json.dumps(document | {"found": [asdict(one) for one in found]}, indent=2) + "\n"
        )


async def _in_laboratory(folder: Path, stage: Stage, replicas: int, cores: float, count: int) -> Found:
    async with laboratory(folder) as lab:
        return await _measure(lab, stage, replicas, cores, count)


def show(
    console: Console, stage: Stage, cores: float, found: Sequence[Found], one: float, serial: float
) -> None:
    table = Table(title=f"{stage.name}, {cores:g} of a core each", title_justify="left")
    columns = (
        "replicas", f"{stage.item}/s", "per replica", "of n times one", "cores used", "service us",
        "mongod us", "Kafka us",
    )  # fmt: skip
    for name in columns:
        table.add_column(name, justify="right")
    for each in found:
        table.add_row(
            str(each.replicas), f"{each.rate:,.0f}", f"{each.rate / each.replicas:,.0f}",
            f"{each.rate / each.replicas / found[0].rate:.0%}", f"{each.used:.2f}", f"{each.service_us:.0f}",
            f"{each.mongod_us:.0f}", f"{each.kafka_us:.0f}",
        )  # fmt: skip
    console.print(table)
    bound = f"{one / serial:,.0f}/s" if serial else "no bound seen"
    console.print(
        f"Amdahl, least squares: one replica {one:,.0f}/s, serial part {serial:.1%}, so at most {bound}"
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
