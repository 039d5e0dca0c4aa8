"""`python -m tests.bench.soak --minutes 20`: does anything grow while all four services work?

Half the knee of the chain (overload.py), or `--rate`, is offered by the open loop in stretches of
STRETCH_SECONDS. Memory, threads and open files of each process are read every SAMPLE_SECONDS. The **slope**
is that of the straight line through them by least squares, per hour; the first WARM_SHARE of the time, in
which caches fill and pools open, is left out of it.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from shared.observability import configure_logging
from tests.bench import workload
from tests.bench.chain import READS
from tests.bench.laboratory import Laboratory, Resources, laboratory
from tests.bench.machine import machine, show_machine
from tests.bench.measure import sample, until_settled
from tests.bench.open_loop import ADMITTED, OpenLoop, Post, arrivals, go_first
from tests.bench.overload import Range, percentile
from tests.bench.posting import BATCH, NDJSON
from tests.bench.stages import INTAKE, STAGES

LINES = 10
STRETCH_SECONDS = 10.0
SAMPLE_SECONDS = 5.0
WARM_SHARE = 0.25
CONNECTIONS = 500
RUN = "soak-0000"
"""As long as every later stretch's name, so that bodies are made once and told apart by it."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One figure of one process: in the middle and at the end of what counts, and its slope per hour."""

    process: str
    figure: str
    first: float
    last: float
    most: float
    per_hour: float


@dataclass(frozen=True, slots=True)
class Found:
    """`longest`: the most records that waited before any service at the end of a stretch."""

    rate: float
    seconds: float
    offered: int
    admitted: int
    statuses: dict[int, int]
    p50: float
    p99: float
    p99_of_stretches: list[float]
    longest: int
    growth: list[Growth]


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line that is nearest to the points (least squares), per unit of `at`."""
    if len(at) < 2:
        return 0.0
    return float(np.polyfit(np.asarray(at) - at[0], np.asarray(values), 1)[0])


def growths(seen: Sequence[tuple[float, dict[str, Resources]]]) -> list[Growth]:
    """Of samples (seconds, figures by process), without the first WARM_SHARE of their time."""
    began, ended = seen[0][0], seen[-1][0]
    late = [one for one in seen if one[0] >= began + WARM_SHARE * (ended - began)]
    at = [seconds for seconds, _ in late]
    found = []
    for process in late[0][1]:
        for figure in Resources._fields:
            values = [getattr(figures[process], figure) for _, figures in late]
            growth = Growth(process, figure, values[0], values[-1], max(values), 3600 * slope(at, values))
            found.append(growth)
    return found


def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long the load lasts.")] = 20.0,
    rate: Annotated[float, typer.Option(help="Feedback a second; 0: half the knee.")] = 0.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
) -> None:
    """Memory, threads and open files under a steady load, and how they grow."""
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    machine_found = machine()
    show_machine(console, machine_found)
    with (
        tempfile.TemporaryDirectory(prefix="cqm-soak-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(_measure(console, Path(folder), 60 * minutes, rate / LINES))
    show(console, found)
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine_found, **asdict(found)}, indent=2) + "\n")


async def _measure(console: Console, folder: Path, seconds: float, rate: float) -> Found:
    async with laboratory(folder) as lab:
        started = [await lab.start(stage.name) for stage in STAGES]
        for service in started:
            await service.until_ready(service.start_seconds)
        go_first()
        url = lab.services[INTAKE.name].url
        async with OpenLoop(url, BATCH, NDJSON, CONNECTIONS) as loop:
            if not rate:
                rate = await Range(lab, loop, READS, LINES, STRETCH_SECONDS).knee(console) / 2
            return await _soak(lab, loop, rate, seconds)


async def _soak(lab: Laboratory, loop: OpenLoop, rate: float, seconds: float) -> Found:
    seen: list[tuple[float, dict[str, Resources]]] = []
    posts: list[Post] = []
    stretches: list[float] = []
    longest = 0

    async def watch() -> None:
        while True:
            seen.append((time.monotonic(), lab.resources()))
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    made = workload.bodies(int(2 * rate * STRETCH_SECONDS + 100) * LINES, LINES, run=RUN)
    began = time.monotonic()
    for number in count(1):
        if time.monotonic() - began >= seconds:
            break
        moments = arrivals(rate, STRETCH_SECONDS, seed=number)
        name = f"soak-{number:04}".encode()
        bodies = [body.replace(RUN.encode(), name) for body in made[: len(moments)]]
        journal = await loop.offer(bodies, moments)
        posts += journal.posts
        for post in journal.posts:
            post.body = b""
        stretches.append(percentile([post.seconds for post in journal.admitted], 0.99))
        longest = max(longest, (await sample(lab, READS)).lag)
        lab.check()
    lasted = time.monotonic() - began
    watching.cancel()
    await until_settled(lab, READS)
    statuses = dict(Counter(post.status for post in posts))
    admitted = [post.seconds for post in posts if post.status == ADMITTED]
    return Found(
        rate * LINES, lasted, len(posts), len(admitted), statuses, percentile(admitted, 0.5),
        percentile(admitted, 0.99), stretches, longest, growths(seen),
    )  # fmt: skip


def show(console: Console, found: Found) -> None:
    first, last = found.p99_of_stretches[0], found.p99_of_stretches[-1]
    console.print(
        f"{found.rate:,.0f} feedback/s for {found.seconds / 60:.1f} minutes in posts of {LINES}: "
        f"{found.offered:,} posts, answers {found.statuses}; from the moment meant p50 {found.p50:.0f} ms, "
        f"p99 {found.p99:.0f} ms (the first {STRETCH_SECONDS:g} s {first:.0f}, the last {last:.0f}); "
        f"at the end of a stretch at most {found.longest:,} records waited"
    )
    table = Table(title=f"The first {WARM_SHARE:.0%} left out", title_justify="left")
    for name in ("process", "figure"):
        table.add_column(name)
    for name in ("then", "at the end", "most", "slope per hour"):
        table.add_column(name, justify="right")
    for one in found.growth:
        table.add_row(
            one.process, one.figure, f"{one.first:,.1f}", f"{one.last:,.1f}", f"{one.most:,.1f}",
            f"{one.per_hour:+,.2f}",
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
