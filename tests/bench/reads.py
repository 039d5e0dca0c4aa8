"""`python -m tests.bench.reads --cases 1000000`: how long lists of cases take, per filter, order and page.

The cases are made directly in a MongoDB of its own; each list is asked for with the values of many cases,
drawn by chance, from its beginning and from deep within. Measured is CaseStore.search, decoding included.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.routing.store import CaseStore
from shared.events import Case
from shared.mongo import Database, Mongo, ending_after
from tests.bench.alone import on_its_own_mongod
from tests.support import archive

PAGE = 50
INSERT = 2000
FILLING_SECONDS = 1800.0


def main(
    cases: Annotated[int, typer.Option(min=1000, help="How many cases there are.")] = 1_000_000,
    draws: Annotated[int, typer.Option(min=10, help="Values that each list is asked with.")] = 100,
) -> None:
    """p50 and p99 of every list of cases."""
    on_its_own_mongod("reads", partial(_measure, count=cases, draws=draws))


async def _measure(console: Console, mongo: Mongo, database: Database, count: int, draws: int) -> None:
    store = CaseStore(database)
    began = time.perf_counter()
    with ending_after(FILLING_SECONDS):  # indexes are built at the end, which takes a third of the time
        drawn = await _fill(database, count, draws)
        await store.prepare()
    console.print(f"{count:,} cases in {time.perf_counter() - began:.0f} s", highlight=False)
    _show(console, await _ask(store, drawn), count)


async def _fill(database: Database, count: int, draws: int) -> list[Case]:
    """Returns `draws` of them, whose values are asked for."""
    chance, drawn = random.Random(2), []
    made = archive.cases(count)
    while batch := list(islice(made, INSERT)):
        await database.cases.insert_many([archive.document(case) for case in batch], ordered=False)
        drawn.append(chance.choice(batch))
    return chance.sample(drawn, min(draws, len(drawn)))


async def _ask(store: CaseStore, drawn: list[Case]) -> dict[str, list[float]]:
    """Milliseconds of each list; what one draw asks comes in any order."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    chance = random.Random(3)
    for case in drawn:
        asked = [
            one
            for deep in (False, True)
            for lists in (archive.lists, archive.long_spans)
            for one in lists(case, deep)
        ]
        chance.shuffle(asked)
        for label, wanted in asked:
            began = time.perf_counter()
            await store.search(wanted, PAGE + 1)
            seconds[f"{label}{', deep' if wanted.after else ''}"].append(time.perf_counter() - began)
    return {label: sorted(1000 * one for one in some) for label, some in seconds.items()}


def _show(console: Console, found: dict[str, list[float]], count: int) -> None:
    table = Table(title=f"Lists of {PAGE} of {count:,} cases (ms)", title_justify="left")
    table.add_column("filter, order, page")
    for name in ("n", "p50", "p99", "most"):
        table.add_column(name, justify="right")
    everything = sorted(one for some in found.values() for one in some)
    for label, some in [*_slowest(found), ("all together", everything)]:
        figures = (_at(some, 0.5), _at(some, 0.99), some[-1])
        table.add_row(label, str(len(some)), *(f"{one:.1f}" for one in figures))
    console.print(table)


def _slowest(found: dict[str, list[float]]) -> Iterator[tuple[str, list[float]]]:
    yield from sorted(found.items(), key=lambda entry: -_at(entry[1], 0.99))


def _at(ordered: list[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
