"""What a feedback costs analytics in this process, with and without what its text says: CPU, no servers.

`python -m tests.bench.hearing`: the reference mix (workload.py), decided in batches as the service does, and
what a compaction makes of the texts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import typer
from ddsketch.mapping import LogarithmicMapping
from rich.console import Console
from rich.table import Table

from services.analytics.app import RELATIVE_ERROR
from services.analytics.domain import feedback
from services.analytics.domain.facts import Outcome
from services.analytics.domain.voice import Listen, listener
from services.analytics.store import voice
from services.analytics.store.documents import document
from services.analytics.store.facts import shares
from services.intake.api.signals import Arrival
from services.intake.domain.rows import read_row
from shared.events import FeedbackReceived
from tests.bench import workload
from tests.bench.machine import machine, show_machine
from tests.support.seals import SEALS

BATCH, ROUNDS = 1000, 5
T = TypeVar("T")


def main(count: Annotated[int, typer.Option(min=BATCH, help="Feedback.")] = 10_000) -> None:
    """CPU microseconds per feedback, the least of five rounds."""
    console = Console(width=None if Console().is_terminal else 120)
    show_machine(console, machine())
    console.print(f"{count:,} feedback with 1 KB of text each")
    table = Table("part", "us")
    for name, us in measure(count):
        table.add_row(name, f"{us:.1f}")
    console.print(table)


def measure(count: int) -> list[tuple[str, float]]:
    """Each part by name, and what it takes."""
    found: list[tuple[str, float]] = []

    def part(name: str, work: Callable[[], T]) -> T:
        best, made = float("inf"), None
        for _ in range(ROUNDS):
            del made
            began = time.process_time()
            made = work()
            best = min(best, time.process_time() - began)
        found.append((name, best * 1e6 / count))
        assert made is not None
        return made

    gc.disable()  # what is held here a service would have written and forgotten
    now, decode = datetime.now(UTC), msgspec.json.Decoder(FeedbackReceived).decode
    said = (read_row(one, now, "bench") for one in workload.signals(count, run="hearing"))
    arrival = Arrival("feedback", now, SEALS)
    written = [arrival.receive(one).record.value for one in said]
    events = part("decode", lambda: [decode(one) for one in written])
    batches = [events[start : start + BATCH] for start in range(0, count, BATCH)]
    listen = listener(ZoneInfo("Asia/Shanghai"))
    part("hear what texts say", lambda: [listen(event) for event in events])
    part("decide without texts", lambda: _decided(batches, None))
    outcomes = part("decide", lambda: _decided(batches, listen))
    part("documents", lambda: [[document(fact, SEALS) for facts in one.new.values() for fact in facts]
                               for one in outcomes])  # fmt: skip
    segments = part("segments", lambda: [{"t": shares(one.rows)} for one in outcomes])
    part("compact texts", lambda: voice.divided(voice.lines_of(segments)))
    return found


def _decided(batches: Sequence[Sequence[FeedbackReceived]], listen: Listen | None) -> list[Outcome]:
    bin_of, known = LogarithmicMapping(RELATIVE_ERROR).key, feedback.Known({}, {})
    return [feedback.take(batch, known, bin_of, listen) for batch in batches]


if __name__ == "__main__":
    typer.run(main)
