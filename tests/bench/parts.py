"""What parts of the work cost in this process: CPU, no servers."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from tests.bench.machine import machine, show_machine

ROUNDS = 5
T = TypeVar("T")


class Parts:
    """Parts by name, in order, and the CPU time of each."""

    def __init__(self, count: int) -> None:
        """`count`: items that each part takes."""
        self._count, self._found = count, list[tuple[str, float]]()
        gc.disable()  # what is held here a service would have written and forgotten

    def take(self, name: str, work: Callable[[], T]) -> T:
        """What `work` makes, which is done five times."""
        best, made = float("inf"), None
        for _ in range(ROUNDS):
            del made
            began = time.process_time()
            made = work()
            best = min(best, time.process_time() - began)
        self._found.append((name, best * 1e6 / self._count))
        assert made is not None
        return made

    def show(self) -> None:
        """CPU microseconds per item, the least of five rounds."""
        console = Console(width=None if Console().is_terminal else 120)
        show_machine(console, machine())
        console.print(f"{self._count:,} feedback with 1 KB of text each")
        table = Table("part", "us")
        for name, us in self._found:
            table.add_row(name, f"{us:.1f}")
        console.print(table)
