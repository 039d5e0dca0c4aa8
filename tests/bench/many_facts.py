"""Millions of facts for questions: their counted lines as batches would have written them, and the facts."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from services.analytics.domain.feedback import FeedbackFact, Said
from services.analytics.domain.rows import DAY, Measure, seconds_since_epoch
from services.analytics.domain.tallies import EVERYTHING, FEEDBACK_FACTS, TALLIES, Tally
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


async def fill(database: Database, compactor: Compactor, facts: int) -> tuple[float, int]:
    """Day by day, so that few segments wait; the seconds that compaction took, and the lines."""
    random, spent, lines = np.random.default_rng(7), 0.0, 0
    for day in range(DAYS):
        for name, tally in TALLIES.items():
            count = max(1, facts // DAYS // (1 if name == "feedback" else OTHER_TALLIES))
            await database.segments.insert_many(_segments(tally, day, count, random))
            lines += count
        began = time.perf_counter()
        while await compactor.compact():
            pass
        spent += time.perf_counter() - began
    return spent, lines


async def newest(lines: int) -> AsyncIterator[Document]:
    """Segments of feedback of the last day, without end."""
    random = np.random.default_rng(8)
    some = list(_segments(TALLIES["feedback"], DAYS - 1, lines * 20, random, lines))
    for number in itertools.count():
        yield some[number % len(some)] | {"_id": f"newest/{number:012}"}


def _segments(
    tally: Tally, day: int, count: int, random: np.random.Generator, size_at_once: int = SEGMENT
) -> Iterator[Document]:
    begin = seconds_since_epoch(BEGIN) + day * DAY
    for first in range(0, count, size_at_once):
        size = min(size_at_once, count - first)
        codes = {d: random.integers(0, VALUES.get(d, OTHERS), size) for d in tally.dimensions}
        counters = {name: random.integers(0, 2, size) for name in tally.counters}
        bins = {name: random.integers(0, 700, size) for name in tally.spans}
        counters |= {name: (1.02 ** bins[name]).astype(np.int64) for name in tally.spans}
        counters["n"] = counters[WEIGHT] = np.ones(size, np.int64)
        table = Table(begin + random.integers(0, DAY, size), codes, counters, bins)
        words = {d: [f"{d} {n}" for n in range(VALUES.get(d, OTHERS))] for d in tally.dimensions}
        yield {"_id": f"{tally.name}/{day:03}/{first:09}", "t": {tally.name: table.pack() | {"k": words}}}


async def store(database: Database, records: int) -> None:
    """Feedback facts, evenly over the days."""
    random = np.random.default_rng(9)
    for first in range(0, records, AT_ONCE):
        some = [_fact(n, records, random) for n in range(first, min(records, first + AT_ONCE))]
        await database[FEEDBACK_FACTS].insert_many(some, ordered=False)


def _fact(number: int, records: int, random: Any) -> Document:
    at = BEGIN + timedelta(seconds=number * DAYS * DAY // records)
    drawn = random.integers(0, 10_000, len(EVERYTHING)).tolist()
    labels = {d: f"{d} {n % VALUES.get(d, OTHERS)}" for d, n in zip(EVERYTHING, drawn, strict=True)}
    said = Said(at=at, received_at=at, fingerprint=f"{number:016x}", labels=labels, customer_id=f"C{number}")
    measure = Measure("feedback", at, {"n": 1, "complaints": 1})
    return document(FeedbackFact(id=UUID(int=number), said=said, d=labels, m=(measure,)), Seals())
