"""`python -m tests.bench.queries --facts 10000000`: how long figures take, per KPI, dimension and pair.

The counted lines are made directly, as the segments that batches would have written, in a MongoDB of its
own, and compacted by the service's own compactor; of the facts behind them, the first `--records` are stored
for drill-down, as close to each other as all would be. With `--folder` the filled database is kept there, and
is found there the next time. Measured is what the API calls, over 90 days: FigureStore.counted, and a first
page of records. With `--events` so many events a second come in meanwhile, as segments that are compacted, in
this process.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import typer
from rich.console import Console
from rich.table import Table as Shown

from services.analytics.api.records import READ_PER_RECORD
from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Question
from services.analytics.domain.periods import starts
from services.analytics.domain.tallies import PAIRS
from services.analytics.store.compaction import Compactor
from services.analytics.store.evidence import EvidenceStore
from services.analytics.store.facts import FactStore
from services.analytics.store.figures import FigureStore
from shared.mongo import Database, Mongo
from shared.sealing import Seals
from tests.bench import many_facts
from tests.bench.alone import on_its_own_mongod

PAGE = 100
"""Records of a first page."""
LINES_A_SEGMENT = 500


def main(
    facts: Annotated[
        int, typer.Option(min=1000, help="Feedback; a tenth as many in each other tally.")
    ] = 10_000_000,
    records: Annotated[int, typer.Option(min=1, help="Facts to drill down to.")] = 1_000_000,
    draws: Annotated[int, typer.Option(min=10, help="Times that each question is asked.")] = 50,
    events: Annotated[int, typer.Option(min=0, help="Events a second, the second time.")] = 5000,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the database here, and take what is here.")
    ] = None,
) -> None:
    """p50 and p99 of figures over 90 days, first alone, then while events come in."""
    measure = partial(_measure, facts=facts, records=records, draws=draws, events=events)
    on_its_own_mongod("queries", measure, kept=folder)


async def _measure(
    console: Console, mongo: Mongo, database: Database, facts: int, records: int, draws: int, events: int
) -> None:
    await FactStore(database, Seals()).prepare()
    compactor = Compactor(mongo, database)
    if not await database.feedback_facts.estimated_document_count():
        await _fill(console, database, compactor, facts, records)
    while await compactor.compact():  # what came in at the end of the time before
        pass
    for name in ("days", "chunks", "feedback_facts"):
        size = await database.command("collStats", name)
        console.print(f"{name}: {size['count']:,} documents, {size['storageSize'] / 2**20:,.0f} MiB on disk")
    await _ask(console, database, draws, "alone")
    if events:
        async with _coming_in(database, compactor, events):
            await _ask(console, database, max(10, draws // 5), f"while {events:,} events/s come in")


async def _fill(console: Console, database: Database, compactor: Compactor, facts: int, records: int) -> None:
    if await database.days.estimated_document_count():
        raise RuntimeError("the folder holds what an interrupted run has left; name an empty one")
    seconds, lines = await many_facts.fill(database, compactor, facts, records)
    console.print(f"{lines:,} lines compacted: {seconds * 1e6 / lines:.1f} us per line")


@asynccontextmanager
async def _coming_in(database: Database, compactor: Compactor, events: int) -> AsyncIterator[None]:
    """Segments of LINES_A_SEGMENT lines at a steady pace, and the compactor's steps."""

    async def come_in() -> None:
        began, number = time.perf_counter(), 0
        async for segment in many_facts.newest(LINES_A_SEGMENT):
            await asyncio.sleep(began + number * LINES_A_SEGMENT / events - time.perf_counter())  # the pace
            await database.segments.insert_one(segment)
            number += 1

    async def compact() -> None:
        while True:
            await asyncio.sleep(compactor.PAUSE_SECONDS)  # as the service does
            await compactor.step()

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work()) for work in (come_in, compact)]
        yield
        for task in running:
            task.cancel()


async def _ask(console: Console, database: Database, draws: int, how: str) -> None:
    store, evidence = FigureStore(database, 2_000_000), EvidenceStore(database, 2_000_000)
    shown = Shown("KPI", "asked", "p50 ms", "p99 ms", "worst by", "p50 ms", "p99 ms")
    everything: list[float] = []
    for name, kpi in KPIS.items():
        if kpi.now:
            continue  # read from the cases themselves
        wanted = [(one,) for one in kpi.dimensions]
        found = {by: await _times(partial(store.counted, _question(name, by)), draws) for by in wanted}
        everything += [ms for some in found.values() for ms in some]
        worst = max(found, key=lambda by: np.percentile(found[by], 99))
        whole = [ms for some in found.values() for ms in some]
        shown.add_row(
            name, f"{len(found)} dimensions", *_percentiles(whole), worst[0], *_percentiles(found[worst])
        )
    for pair in PAIRS:
        times = await _times(partial(store.counted, _question("feedback_volume", pair)), draws)
        shown.add_row("feedback_volume", " x ".join(pair), *_percentiles(times))
    for zone, grain in (
        ("UTC", "day"),
        ("Asia/Shanghai", "all"),
        ("Asia/Shanghai", "day"),
        ("Asia/Kolkata", "hour"),
    ):
        asked = _question("first_response_time", ("department",), zone, grain)
        shown.add_row(
            asked.kpi.name,
            f"department, {zone}, {grain}",
            *_percentiles(await _times(partial(store.counted, asked), draws)),
        )
    for where in (
        {},
        {"department": ("department 1",)},
        {"owner": ("owner 1",)},
        {"product_batch": ("product_batch 1",)},
        {"channel": ("channel 1",), "kind": ("kind 1",)},
    ):
        asked = _question("feedback_volume", (), where=where)
        times = await _times(partial(_first_page, evidence, asked), draws)
        shown.add_row("records", " and ".join(where) or "all", *_percentiles(times))
    p50, p99 = _percentiles(everything)
    console.print(f"\nAll KPIs by one dimension, {how}: p50 {p50}, p99 {p99} ms")
    console.print(shown)


def _question(
    name: str, by: Sequence[str], zone: str = "UTC", grain: Any = "all", where: dict[str, Any] | None = None
) -> Question:
    of = ZoneInfo(zone)
    begin = many_facts.BEGIN.replace(tzinfo=of).astimezone(UTC)
    end = begin + timedelta(days=many_facts.DAYS)
    periods = starts(begin, end, grain, of, 10_000)
    return Question(KPIS[name], begin, end, grain, of, periods, tuple(by), where or {})


async def _first_page(evidence: EvidenceStore, question: Question) -> int:
    found = 0
    async for some in evidence.records(question, None, READ_PER_RECORD * PAGE):
        found += len(some)
        if found > PAGE:
            break
    return found


async def _times(ask: Callable[[], Awaitable[Any]], draws: int) -> list[float]:
    """Milliseconds; the first time does not count."""
    await ask()
    spent = []
    for _ in range(draws):
        began = time.perf_counter()
        await ask()
        spent.append((time.perf_counter() - began) * 1000)
    return spent


def _percentiles(times: Sequence[float]) -> tuple[str, str]:
    return f"{np.percentile(times, 50):.1f}", f"{np.percentile(times, 99):.1f}"


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
