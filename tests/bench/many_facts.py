"""Millions of facts for questions: their counted lines as batches would have written them, and the facts."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np

from services.analytics.domain.feedback import FeedbackFact, Said
from services.analytics.domain.rows import DAY, EPOCH, Measure, seconds_since_epoch
from services.analytics.domain.tallies import FEEDBACK_FACTS, TALLIES, Tally
from services.analytics.store.compaction import Compactor
from services.analytics.store.documents import document
from services.analytics.store.packed import WEIGHT, Table
from shared.mongo import Database, Document
from shared.sealing import Seals

DAYS = 90
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
SEGMENT = 20_000
VALUES = {"owner": 200, "product_batch": 2000, "sku": 500, "category": 30, "department": 12, "supplier": 40}
OTHERS = 8
"""Values of the dimensions that are not named above."""
OTHER_TALLIES = 10
"""A feedback in so many is counted in each of the others."""
AT_ONCE = 5000
_COUNTERS = TALLIES["feedback"].counters


async def fill(database: Database, compactor: Compactor, facts: int, records: int) -> tuple[float, int]:
    """Day by day, so that few segments wait; the seconds that compaction took, and the lines.

    The first `records` lines of feedback have the facts that they count, too.
    """
    random, spent, lines, ids = np.random.default_rng(7), 0.0, 0, itertools.count()
    for day in range(DAYS):
        for name, tally in TALLIES.items():
            count = max(1, facts // DAYS // (1 if name == "feedback" else OTHER_TALLIES))
            tables = list(_tables(tally, day, count, random))
            await database.segments.insert_many([_segment(tally, day, *one) for one in enumerate(tables)])
            if name == "feedback":
                await _store(database, tables, itertools.islice(ids, max(0, records - day * count)))
            lines += count
        began = time.perf_counter()
        while await compactor.compact():
            pass
        spent += time.perf_counter() - began
    return spent, lines


async def newest(lines: int) -> AsyncIterator[Document]:
    """Segments of feedback of the last day, without end."""
    random, tally, day = np.random.default_rng(8), TALLIES["feedback"], DAYS - 1
    tables = enumerate(_tables(tally, day, lines * 20, random, lines))
    some = [_segment(tally, day, *one) for one in tables]
    for number in itertools.count():
        yield some[number % len(some)] | {"_id": f"newest/{number:012}"}


def _tables(
    tally: Tally, day: int, count: int, random: np.random.Generator, size_at_once: int = SEGMENT
) -> Iterator[Table]:
    begin = seconds_since_epoch(BEGIN) + day * DAY
    for first in range(0, count, size_at_once):
        size = min(size_at_once, count - first)
        codes = {d: random.integers(0, VALUES.get(d, OTHERS), size) for d in tally.dimensions}
        counters = {name: random.integers(0, 2, size) for name in tally.counters}
        bins = {name: random.integers(0, 700, size) for name in tally.spans}
        counters |= {name: (1.02 ** bins[name]).astype(np.int64) for name in tally.spans}
        counters["n"] = counters[WEIGHT] = np.ones(size, np.int64)
        yield Table(begin + random.integers(0, DAY, size), codes, counters, bins)


def _segment(tally: Tally, day: int, number: int, table: Table) -> Document:
    """With the words that occur, as a batch has them."""
    words, codes = {}, {}
    for name, column in table.codes.items():
        used, codes[name] = np.unique(column, return_inverse=True)
        words[name] = [_word(name, code) for code in used.tolist()]
    packed = Table(table.at, codes, table.counters, table.bins).pack()
    return {"_id": f"{tally.name}/{day:03}/{number:06}", "t": {tally.name: packed | {"k": words}}}


async def _store(database: Database, tables: Iterable[Table], ids: Iterator[int]) -> None:
    """The facts that the lines count, as far as there are ids."""
    for table in tables:
        for first in range(0, len(table), AT_ONCE):
            if some := list(_facts(table.take(slice(first, first + AT_ONCE)), ids)):
                await database[FEEDBACK_FACTS].insert_many(some, ordered=False)


def _facts(table: Table, ids: Iterator[int]) -> Iterator[Document]:
    codes = zip(*(column.tolist() for column in table.codes.values()), strict=True)
    counts = zip(*(table.counters[name].tolist() for name in _COUNTERS), strict=True)
    handling = zip(table.counters["handling"].tolist(), table.bins["handling"].tolist(), strict=True)
    lines = zip(
        table.at.tolist(), codes, counts, handling, ids, strict=False
    )  # ids last: each that is taken is used
    for second, line, counted, span, number in lines:
        at = EPOCH + timedelta(seconds=second)
        labels = {name: _word(name, code) for name, code in zip(table.codes, line, strict=True)}
        said = Said(
            at=at, received_at=at, fingerprint=f"{number:016x}", labels=labels, customer_id=f"C{number}"
        )
        counters = {name: n for name, n in zip(_COUNTERS, counted, strict=True) if n}
        measure = Measure("feedback", at, counters, {"handling": span})
        yield document(FeedbackFact(id=UUID(int=number), said=said, d=labels, m=(measure,)), Seals())


def _word(dimension: str, code: int) -> str:
    return f"{dimension} {code}"
