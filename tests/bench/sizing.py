"""`python -m tests.bench.sizing`: how much of everything for so many feedback a second, by what is measured.

One run of the chain (chain.py) gives the CPU time of each process per feedback. Then what Kafka and MongoDB
keep of it is read from disk: the segments of each topic, and data with indexes of each database after a
checkpoint. The table is arithmetic on those (`size`):

- replicas of a service: its CPU time, with each core at most UTILISATION busy; at least two: one may die;
- MongoDB and Kafka: cores in the same way, of one member; each of COPIES members keeps all of the data;
- partitions: those of shared/topics.py, or as many as the largest number of replicas where that is more.
"""

import asyncio
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from rich.console import Console

from shared.observability import configure_logging
from shared.topics import FEEDBACK, TOPICS
from tests.bench import chain
from tests.bench.laboratory import Laboratory, laboratory
from tests.bench.machine import machine, show_machine
from tests.bench.stages import STAGES

UTILISATION = 0.6
COPIES = 3
LEAST_REPLICAS = 2
YEAR_SECONDS = 365 * 86_400
RATES = (10, 100, 500, 1_000, 2_500, 5_000, 10_000)
SERVICES = tuple(stage.name for stage in STAGES)


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one feedback: CPU time in microseconds by process, bytes on disk by topic and by database.

    Topics hold what is made of it on the way: 0.4 cases, their targets, their steps.
    """

    rate: float
    cpu_us: Mapping[str, float]
    topic_bytes: Mapping[str, float]
    database_bytes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """For `rate` feedback a second; storage in terabytes a year, all copies together."""

    rate: int
    replicas: Mapping[str, int]
    partitions: int
    mongod_cores: float
    kafka_cores: float
    mongod_tb: float
    kafka_tb: float


def size(costs: Costs, rate: int) -> Size:
    """Topics that are kept for days only are counted for those days, the others for a year."""

    def cores(process: str) -> float:
        return rate * costs.cpu_us[process] / 1e6 / UTILISATION

    replicas = {name: max(LEAST_REPLICAS, math.ceil(cores(name))) for name in SERVICES}
    seconds = {topic.name: 86_400 * (topic.retention_days or 365) for topic in TOPICS}
    kept = sum(each * seconds[topic] for topic, each in costs.topic_bytes.items())
    return Size(
        rate,
        replicas,
        max(FEEDBACK.partitions, *replicas.values()),
        cores("mongod"),
        cores("Kafka"),
        COPIES * rate * sum(costs.database_bytes.values()) * YEAR_SECONDS / 1e12,
        COPIES * rate * kept / 1e12,
    )


def table(costs: Costs, rates: Sequence[int] = RATES) -> str:
    """As Markdown."""
    heads = ("feedback/s", *SERVICES, "partitions", "MongoDB cores", "Kafka cores", "MongoDB TB a year",
             "Kafka TB a year")  # fmt: skip
    lines = [heads, ("---:",) * len(heads)]
    for rate in rates:
        found = size(costs, rate)
        lines.append((
            f"{rate:,}", *(str(found.replicas[name]) for name in SERVICES), str(found.partitions),
            f"{found.mongod_cores:.2g}", f"{found.kafka_cores:.2g}", f"{found.mongod_tb:,.1f}",
            f"{found.kafka_tb:,.1f}",
        ))  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read_costs(file: Path) -> Costs:
    """What a run has written with --json."""
    return msgspec.json.decode(file.read_bytes(), type=Costs)


async def _on_disk(lab: Laboratory, feedback: int) -> tuple[dict[str, float], dict[str, float]]:
    """Bytes of each topic and each database, per feedback."""
    await lab.mongo.database("admin").command("fsync")
    topics = {
        topic.name: sum(
            segment.stat().st_size
            for partition in range(topic.partitions)
            for segment in (lab.folder.kafka / "data" / f"{topic.name}-{partition}").glob("*.log")
        )
        for topic in TOPICS
    }
    databases = {}
    for name in SERVICES:
        stats = await lab.database(name).command("dbStats")
        databases[name] = stats["storageSize"] + stats["indexSize"]
    return (
        {name: size / feedback for name, size in topics.items() if size},
        {name: size / feedback for name, size in databases.items() if size},
    )


async def _measure(folder: Path, count: int) -> Costs:
    async with laboratory(folder) as lab:
        found = await chain.measure(lab, count)
        taken = (await lab.ends([FEEDBACK]))[FEEDBACK.name]
        topics, databases = await _on_disk(lab, taken)
        return Costs(found.whole.rate, found.whole.cpu_us, topics, databases)


def main(
    count: Annotated[int, typer.Option(min=1000, help="Feedback of the run.")] = 30_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the costs here, too.")] = None,
    given: Annotated[Path | None, typer.Option("--costs", help="What --json wrote: nothing is run.")] = None,
) -> None:
    """Costs per feedback, and what they mean for an operator."""
    if given is not None:
        typer.echo(table(read_costs(given)))
        return
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    about = machine()
    show_machine(console, about)
    with (
        tempfile.TemporaryDirectory(prefix="cqm-sizing-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        costs = runner.run(_measure(Path(folder), count))
    console.print(f"{costs.rate:,.0f} feedback/s end to end; of each:")
    for what, unit in (("cpu_us", "us of CPU"), ("topic_bytes", "bytes"), ("database_bytes", "bytes")):
        shares = ", ".join(f"{name} {each:,.0f}" for name, each in getattr(costs, what).items())
        console.print(f"  {unit}: {shares}")
    typer.echo(table(costs))
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": about, **asdict(costs)}, indent=2) + "\n")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
