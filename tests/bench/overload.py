"""`python -m tests.bench.overload`: what happens at 50 to 300 % of what the system can carry.

First the knee. Rates rise by half from START_RATE; each is offered for `--seconds` by an open loop
(open_loop.py), over at most `--connections`. A rate **holds** when at least 99 % of the posts are admitted,
the p99 of their answers, from the moment that was meant, is at most BOUND_MS, and at the end of the step no
service has more than WAITING_SECONDS of the rate before it. A rate that fails is tried once more, since the
machine may have been busy elsewhere; the second failure ends the climb. Then the middle between the highest
rate that held and the lowest that failed is tried BISECTIONS times. The **knee** is the highest that held.

Then each of MULTIPLES of the knee. Recovery is from the last moment of a step until everything is answered
and nothing waits before any service. A step in which the generator itself was late (p99 of seeing to a post
over LATE_MS) is marked: its latencies are the generator's, too.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from shared.observability import configure_logging
from tests.bench import workload
from tests.bench.chain import READS
from tests.bench.laboratory import Laboratory, laboratory
from tests.bench.machine import machine, show_machine
from tests.bench.measure import Reads, sample, until_settled
from tests.bench.open_loop import Journal, OpenLoop, arrivals, go_first
from tests.bench.posting import BATCH, NDJSON
from tests.bench.stages import INTAKE, STAGES
from tests.support.own_process import MIB, forget_peak, resident

START_RATE = 200.0
CLIMB = 1.5
BISECTIONS = 2
BOUND_MS = 250.0
ADMITTED_SHARE = 0.99
WAITING_SECONDS = 1.0
MULTIPLES = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
LATE_MS = 10.0
JSON = {"Content-Type": "application/json"}


class Whole(StrEnum):
    """What is overloaded."""

    INTAKE = "intake"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Step:
    """A rate offered for a while. Milliseconds from the intended moment; items are posts, rates per second.

    `waiting`: the longest queue before any service at the end; `silent`: refused without Retry-After;
    `other`: statuses that overload may not have, 0 for no answer.
    """

    share: float
    offered: float
    admitted: float
    refused: float
    other: dict[int, int]
    silent: int
    p50: float
    p99: float
    refused_p99: float
    late_p99: float
    peak_mb: float
    waiting: int
    recovery_seconds: float

    @property
    def holds(self) -> bool:
        waits = self.waiting / self.offered if self.offered else 0.0
        return (
            self.admitted >= ADMITTED_SHARE * self.offered
            and self.p99 <= BOUND_MS
            and waits <= WAITING_SECONDS
        )


def percentile(seconds: Sequence[float], share: float) -> float:
    """Milliseconds; 0 of nothing."""
    ordered = sorted(seconds)
    return 1000 * ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


def step_of(share: float, seconds: float, journal: Journal, peak: int, waiting: int, until: float) -> Step:
    """`until`: when nothing waited any more, by time.perf_counter."""
    admitted, refused, posts = journal.admitted, journal.refused, journal.posts
    known = {post.status for post in (*admitted, *refused)}
    return Step(
        share=share,
        offered=len(posts) / seconds,
        admitted=len(admitted) / seconds,
        refused=len(refused) / seconds,
        other={status: n for status, n in journal.statuses.items() if status not in known},
        silent=len(journal.silent),
        p50=percentile([post.seconds for post in admitted], 0.5),
        p99=percentile([post.seconds for post in admitted], 0.99),
        refused_p99=percentile([post.seconds for post in refused], 0.99),
        late_p99=percentile([post.seen - post.intended for post in posts], 0.99),
        peak_mb=peak / MIB,
        waiting=waiting,
        recovery_seconds=max(0.0, max(until, journal.last_answer) - journal.began - seconds),
    )


@dataclass
class Range:
    """Where steps are offered to running services; every step has ids of its own."""

    lab: Laboratory
    loop: OpenLoop
    reads: Reads
    lines: int
    seconds: float
    journals: Path | None = None
    _steps: int = 0

    async def step(self, rate: float, share: float = 0.0) -> Step:
        """`rate` posts a second for a while, and all that follows from it. `share`: of the knee."""
        self._steps += 1
        moments = arrivals(rate, self.seconds, seed=self._steps)
        bodies = workload.bodies(
            len(moments) * self.lines, self.lines, run=f"load{self._steps}", seed=self._steps
        )
        pid = self.lab.services[INTAKE.name].child.pid
        assert pid is not None
        forget_peak(pid)
        journal = await self.loop.offer(bodies, moments)
        if self.journals is not None:
            journal.write(self.journals / f"{self._steps:02}-{rate:.0f}.csv")
        waiting, until = 0, time.perf_counter()
        if self.reads:
            waiting = (await sample(self.lab, self.reads)).lag // self.lines
            until = (await until_settled(self.lab, self.reads))[1].at if waiting else until
        self.lab.check()
        return step_of(share, self.seconds, journal, resident(pid, "VmHWM"), waiting, until)

    async def knee(self, console: Console) -> float:
        """The highest rate that held; see above for the rule. Raises RuntimeError when none did."""

        async def holds(rate: float) -> bool:
            for _ in range(2):
                step = await self.step(rate)
                console.print(f"[dim]{_in_words(step)}[/dim]", highlight=False)
                if step.holds:
                    return True
            return False

        low, high = 0.0, START_RATE / self.lines
        while await holds(high):
            low, high = high, high * CLIMB
        if not low:
            raise RuntimeError(f"not even {high:g} posts a second held")
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if await holds(middle) else (low, middle)
        return low


def _in_words(step: Step) -> str:
    held = "holds" if step.holds else "fails"
    return (
        f"{step.offered:,.0f} posts/s: admitted {step.admitted:,.0f}/s, p99 {step.p99:.0f} ms, "
        f"waiting {step.waiting:,}, generator late by {step.late_p99:.0f} ms: {held}"
    )


def main(
    whole: Annotated[Whole, typer.Argument(help="intake alone, or all four services.")] = Whole.INTAKE,
    lines: Annotated[int, typer.Option(min=1, max=500, help="Feedback a post; 1 is POST /v1/feedback.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Of each step.")] = 8.0,
    connections: Annotated[int, typer.Option(min=1, max=8192, help="At most, at the same time.")] = 1000,
    knee: Annotated[float, typer.Option(help="Posts a second; 0: look for it.")] = 0.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
    journals: Annotated[
        Path | None, typer.Option(help="Folder for every post of every step, as CSV.")
    ] = None,
) -> None:
    """The knee, and what is admitted, refused and left waiting at 50 to 300 % of it."""
    configure_logging("bench", "text")
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    found = machine()
    show_machine(console, found)
    if journals is not None:
        journals.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="cqm-overload-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        knee, steps = runner.run(
            _measure(console, Path(folder), whole, lines, seconds, connections, knee, journals)
        )
    show(console, whole, lines, knee, steps)
    if json_file is not None:
        json_file.write_text(json.dumps(document(found, whole, lines, knee, steps), indent=2) + "\n")


async def _measure(
    console: Console, folder: Path, whole: Whole, lines: int, seconds: float,
    connections: int, knee: float, journals: Path | None,
) -> tuple[float, list[Step]]:  # fmt: skip
    async with laboratory(folder) as lab:
        started = [await lab.start(stage.name) for stage in (STAGES if whole is Whole.CHAIN else (INTAKE,))]
        for service in started:
            await service.until_ready(service.start_seconds)
        go_first()
        path, headers = ("/v1/feedback", JSON) if lines == 1 else (BATCH, NDJSON)
        reads = READS if whole is Whole.CHAIN else {}
        async with OpenLoop(started[0].url, path, headers, connections) as loop:
            place = Range(lab, loop, reads, lines, seconds, journals)
            await place.step(START_RATE / lines)  # warms up
            knee = knee or await place.knee(console)
            steps = [await place.step(share * knee, share) for share in MULTIPLES]
            return knee, [*steps, await place.step(0.5 * knee, 0.5)]


def show(console: Console, whole: Whole, lines: int, knee: float, steps: Sequence[Step]) -> None:
    table = Table(
        title=f"{whole.value}: knee at [bold]{knee:,.0f} posts/s[/bold] of {lines} feedback "
        f"(p99 within {BOUND_MS:g} ms); the last line is 50 % again, after all",
        title_justify="left",
    )
    columns = (
        "of the knee", "offered/s", "admitted/s", "refused/s", "other", "no Retry-After", "p50 ms", "p99 ms",
        "refused p99", "generator late", "intake peak MB", "waiting", "recovery s",
    )  # fmt: skip
    for name in columns:
        table.add_column(name, justify="right")
    for step in steps:
        table.add_row(
            f"{step.share:.0%}", f"{step.offered:,.0f}", f"{step.admitted:,.0f}", f"{step.refused:,.0f}",
            ", ".join(f"{status}: {n}" for status, n in step.other.items()) or "-", f"{step.silent}",
            f"{step.p50:.0f}", f"{step.p99:.0f}", f"{step.refused_p99:.0f}",
            f"{step.late_p99:.0f}{'!' if step.late_p99 > LATE_MS else ''}", f"{step.peak_mb:.0f}",
            f"{step.waiting:,}", f"{step.recovery_seconds:.1f}",
        )  # fmt: skip
    console.print(table)


def document(
    found: dict[str, Any], whole: Whole, lines: int, knee: float, steps: Sequence[Step]
) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "machine": found, "of": whole.value, "lines": lines, "bound_ms": BOUND_MS, "knee": knee,
        "steps": [asdict(step) for step in steps],
    }  # fmt: skip


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
