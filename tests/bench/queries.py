"""`python -m tests.bench.queries --facts 10000000`: how long figures take, per KPI, dimension and pair.

The counted lines are made directly, as the segments that batches would have written, in a MongoDB of its
own, and compacted by the service's own compactor. Measured is FigureStore.counted over 90 days.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import typer
from rich.console import Console
from rich.table import Table as Shown

from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Question
from services.analytics.domain.periods import starts
from services.analytics.domain.rows import DAY, seconds_since_epoch
from services.analytics.domain.tallies import PAIRS, TALLIES, Tally
from services.analytics.store.compaction import Compactor
from services.analytics.store.facts import FactStore
from services.analytics.store.figures import FigureStore
from services.analytics.store.packed import WEIGHT, Table
from shared.mongo import Database, Document, Mongo
from tests.bench.alone import on_its_own_mongod

DAYS = 90
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
SEGMENT = 20_000
VALUES = {"owner": 200, "product_batch": 2000, "sku": 500, "category": 30, "department": 12, "supplier": 40}
OTHERS = 8
"""Values of the dimensions that are not named above."""
ASKED = ("feedback_volume", "nps", "first_response_time")


def main(
    facts: Annotated[
        int, typer.Option(min=1000, help="Feedback; a fifth as many answered targets.")
    ] = 10_000_000,
    draws: Annotated[int, typer.Option(min=10, help="Times that each question is asked.")] = 50,
) -> None:
    """p50 and p99 of figures over 90 days."""
    on_its_own_mongod("queries", partial(_measure, facts=facts, draws=draws))


async def _measure(console: Console, mongo: Mongo, database: Database, facts: int, draws: int) -> None:
    await FactStore(database).prepare()
    seconds = await _fill(mongo, database, facts)
    console.print(f"{facts:,} facts compacted: {seconds * 1e6 / (facts * 1.2):.1f} us per line")
    for name in ("days", "chunks"):
        size = await database.command("collStats", name)
        console.print(f"{name}: {size['count']:,} documents, {size['storageSize'] / 2**20:,.0f} MiB on disk")
    await _ask(console, FigureStore(database, 2_000_000), draws)


async def _fill(mongo: Mongo, database: Database, facts: int) -> float:
    """Day by day, so that the segments in waiting are few; the seconds that compaction took."""
    compactor, random, spent = Compactor(mongo, database), np.random.default_rng(7), 0.0
    for day in range(DAYS):
        for name, count in (("feedback", facts // DAYS), ("answered", facts // DAYS // 5)):
            await database.segments.insert_many(_segments(TALLIES[name], day, count, random))
        began = time.perf_counter()
        while await compactor.compact():
            pass
        spent += time.perf_counter() - began
    return spent


def _segments(tally: Tally, day: int, count: int, random: Any) -> Iterator[Document]:
    begin = seconds_since_epoch(BEGIN) + day * DAY
    for first in range(0, count, SEGMENT):
        size = min(SEGMENT, count - first)
        codes = {d: random.integers(0, VALUES.get(d, OTHERS), size) for d in tally.dimensions}
        counters = {name: random.integers(0, 2, size) for name in tally.counters}
        bins = {name: random.integers(0, 700, size) for name in tally.spans}
        counters |= {name: (1.02 ** bins[name]).astype(np.int64) for name in tally.spans}
        counters["n"] = counters[WEIGHT] = np.ones(size, np.int64)
        table = Table(begin + random.integers(0, DAY, size), codes, counters, bins)
        words = {d: [f"{d} {n}" for n in range(VALUES.get(d, OTHERS))] for d in tally.dimensions}
        yield {"_id": f"{tally.name}/{day:03}/{first:09}", "t": {tally.name: table.pack() | {"k": words}}}


async def _ask(console: Console, store: FigureStore, draws: int) -> None:
    shown = Shown("KPI", "by", "zone, grain", "p50 ms", "p99 ms")
    for name in ASKED:
        dimensions = KPIS[name].dimensions
        wanted = [(one,) for one in dimensions] + [pair for pair in PAIRS if set(pair) <= set(dimensions)]
        questions = [(by, "UTC", "all") for by in wanted] + [
            (("department",), "Asia/Shanghai", "all"), (("department",), "Asia/Shanghai", "day"),
            (("owner",), "Asia/Shanghai", "day"),
        ]  # fmt: skip
        for by, zone, grain in questions:
            p50, p99 = await _times(store, _question(name, by, zone, grain), draws)
            shown.add_row(name, " x ".join(by), f"{zone}, {grain}", f"{p50:.1f}", f"{p99:.1f}")
    console.print(shown)


def _question(name: str, by: Sequence[str], zone: str, grain: Any) -> Question:
    where = ZoneInfo(zone)
    begin = BEGIN.replace(tzinfo=where).astimezone(UTC)
    end = begin + timedelta(days=DAYS)
    return Question(KPIS[name], begin, end, grain, where, starts(begin, end, grain, where, 10_000), tuple(by))


async def _times(store: FigureStore, question: Question, draws: int) -> tuple[float, float]:
    spent = []
    await store.counted(question)
    for _ in range(draws):
        began = time.perf_counter()
        await store.counted(question)
        spent.append((time.perf_counter() - began) * 1000)
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 99))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
