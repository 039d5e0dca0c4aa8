"""`python -m tests.bench.reads --cases 1000000`: how long lists of cases take, per filter, order and page.

The cases are made directly in a MongoDB of its own; each list is asked for with the values of many cases,
drawn by chance, from its beginning and from deep within. Measured is CaseStore.search, decoding included.
With `--folder` the filled database is kept there, and is found there the next time.
"""

import random
import time
from collections import defaultdict
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.routing.store import CaseStore
from services.routing.store.documents import file_of
from shared.events import Case
from shared.ids import first_document_id
from shared.mongo import Database, Mongo, ending_after
from tests.bench.alone import on_its_own_mongod
from tests.support import archive

PAGE = 50
INSERT = 2000
FILLING_SECONDS = 1800.0
SHOWN = 30
"""Lists that are shown by themselves, those with the highest p99."""

Taken = dict[str, list[float]]
"""Milliseconds of each list, sorted."""


def main(
    cases: Annotated[int, typer.Option(min=1000, help="How many cases there are.")] = 1_000_000,
    draws: Annotated[int, typer.Option(min=10, help="Values that each list is asked with.")] = 100,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the database here, and take what is here.")
    ] = None,
) -> None:
    """p50 and p99 of every list of cases."""
    on_its_own_mongod("reads", partial(_measure, count=cases, draws=draws), kept=folder)


async def _measure(console: Console, mongo: Mongo, database: Database, count: int, draws: int) -> None:
    store = CaseStore(database)
    began = time.perf_counter()
    with ending_after(FILLING_SECONDS):  # indexes are built at the end, which takes a third of the time
        if not await database.cases.estimated_document_count():
            await _fill(database, count)
        await store.prepare()
        count = await database.cases.estimated_document_count()
    console.print(f"{count:,} cases after {time.perf_counter() - began:.0f} s", highlight=False)
    drawn = await _draw(database, draws)
    began, cpu = time.process_time(), await _cpu_seconds(database)
    taken = await _ask(store, drawn)
    each = 1000 / sum(len(some) for some in taken.values())
    own, mongod = time.process_time() - began, await _cpu_seconds(database) - cpu
    _show(console, taken, count)
    console.print(
        f"CPU of a list: mongod {mongod * each:.1f} ms, service {own * each:.1f} ms", highlight=False
    )


async def _fill(database: Database, count: int) -> None:
    made = archive.cases(count)
    while batch := list(islice(made, INSERT)):
        await database.cases.insert_many([archive.document(case) for case in batch], ordered=False)


async def _draw(database: Database, draws: int) -> list[Case]:
    """Cases whose values are asked for, and one more."""
    chance, drawn = random.Random(2), []
    for _ in range(draws + 1):
        since = archive.SINCE + chance.random() * 0.99 * archive.YEARS
        document = await database.cases.find_one(
            {"_id": {"$gte": first_document_id(since)}}, sort=[("_id", 1)]
        )
        assert document is not None, "the archive has cases in all of its time"
        drawn.append(file_of(document).case)
    return drawn


async def _ask(store: CaseStore, drawn: list[Case]) -> Taken:
    """What one draw asks comes in any order."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    chance = random.Random(3)
    for case, other in pairwise(drawn):
        asked = [one for deep in (False, True) for one in archive.all_lists(case, other, deep)]
        chance.shuffle(asked)
        for label, wanted in asked:
            began = time.perf_counter()
            await store.search(wanted, PAGE + 1)
            taken[f"{label}{', deep' if wanted.after else ''}"].append(1000 * (time.perf_counter() - began))
    return {label: sorted(some) for label, some in taken.items()}


async def _cpu_seconds(database: Database) -> float:
    """Of mongod, since its start."""
    spent = (await database.client.admin.command("serverStatus"))["extra_info"]
    return float(spent["user_time_us"] + spent["system_time_us"]) / 1e6


def _show(console: Console, found: Taken, count: int) -> None:
    table = Table(title=f"Lists of {PAGE} of {count:,} cases (ms)", title_justify="left")
    table.add_column("filter, order, page")
    for name in ("n", "p50", "p99", "most"):
        table.add_column(name, justify="right")
    slowest = sorted(found.items(), key=lambda entry: -_at(entry[1], 0.99))
    everything = sorted(one for some in found.values() for one in some)
    for label, some in [*slowest[:SHOWN], ("all together", everything)]:
        figures = (_at(some, 0.5), _at(some, 0.99), some[-1])
        table.add_row(label, str(len(some)), *(f"{one:.1f}" for one in figures))
    console.print(table)


def _at(ordered: list[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
