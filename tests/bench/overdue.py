"""`python -m tests.bench.overdue --clocks 1000000`: how long lists of what is late take, by every filter.

The clocks are made directly in a MongoDB of its own. Measured is ClockStore.late, decoding included.
"""

import random
import time
from collections import defaultdict
from functools import partial
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.sla.domain.clock import Clock
from services.sla.store import ClockStore
from services.sla.store.documents import clock_document
from services.sla.store.late import due_document
from shared.mongo import Database, Mongo, ending_after
from tests.bench.alone import on_its_own_mongod
from tests.support.open_clocks import clocks, lists

PAGE = 50
INSERT = 2000
FILLING_SECONDS = 1800.0


def main(
    count: Annotated[int, typer.Option("--clocks", min=1000, help="How many clocks are open.")] = 1_000_000,
    draws: Annotated[int, typer.Option(min=2, help="Clocks whose values each list is asked with.")] = 50,
) -> None:
    """p50 and p99 of every list of what is late."""
    on_its_own_mongod("overdue", partial(_measure, count=count, draws=draws))


async def _measure(console: Console, mongo: Mongo, database: Database, count: int, draws: int) -> None:
    store = ClockStore(database)
    began = time.perf_counter()
    with ending_after(FILLING_SECONDS):
        drawn = await _fill(store, database, count, draws)
        await store.ensure_indexes()
    console.print(f"{count:,} clocks in {time.perf_counter() - began:.0f} s", highlight=False)
    _show(console, await _ask(store, drawn), count)


async def _fill(store: ClockStore, database: Database, count: int, draws: int) -> list[Clock]:
    """Returns `draws` of them, whose values are asked for."""
    chance, drawn = random.Random(2), []
    made = clocks(count)
    while batch := list(islice(made, INSERT)):
        await store.late_list.remember({clock.labels.department for clock in batch})
        await database.clocks.insert_many([clock_document(clock) for clock in batch], ordered=False)
        await database.dues.insert_many([due_document(clock) for clock in batch], ordered=False)
        drawn.append(chance.choice(batch))
    return chance.sample(drawn, min(draws, len(drawn)))


async def _ask(store: ClockStore, drawn: list[Clock]) -> dict[str, list[float]]:
    """Milliseconds of each list, sorted; what one draw asks comes in any order."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    chance = random.Random(3)
    for clock in drawn:
        asked = [one for deep in (False, True) for one in lists(clock, deep, PAGE + 1)]
        chance.shuffle(asked)
        for one in asked:
            began = time.perf_counter()
            await store.late(one.wanted)
            taken[one.label].append(1000 * (time.perf_counter() - began))
    return {label: sorted(some) for label, some in taken.items()}


def _show(console: Console, found: dict[str, list[float]], count: int) -> None:
    table = Table(title=f"Late among {count:,} open clocks, pages of {PAGE} (ms)", title_justify="left")
    table.add_column("due, filters, page")
    for name in ("n", "p50", "p99", "most"):
        table.add_column(name, justify="right")
    everything = sorted(one for some in found.values() for one in some)
    slowest = sorted(found.items(), key=lambda entry: -_at(entry[1], 0.99))
    for label, some in [*slowest[:20], ("all together", everything)]:
        figures = (_at(some, 0.5), _at(some, 0.99), some[-1])
        table.add_row(label, str(len(some)), *(f"{one:.1f}" for one in figures))
    console.print(table)


def _at(ordered: list[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
