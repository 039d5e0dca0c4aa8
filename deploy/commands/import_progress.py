"""The bar of an import: how far, how fast, how long still, and why it waits."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.commands.resume import Position
from deploy.commands.terminal import err, note

NOTE_SECONDS = 10.0


class ImportProgress:
    """On a terminal a bar by bytes of the file; elsewhere a line each ten seconds."""

    def __init__(self, file: Path, first_row: int) -> None:
        self._size = file.stat().st_size
        self._first_row = first_row
        self._began = time.monotonic()
        self._noted = self._began
        self._waiting = False
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True),
            console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(file.name, total=self._size, rate="")

    def __enter__(self) -> ImportProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, position: Position, read_bytes: int) -> None:
        now = time.monotonic()
        rate = (position.rows - self._first_row) / max(now - self._began, 0.001)
        words = f"{position.rows:,} rows, {rate:,.0f}/s"
        self._bar.update(self._task, completed=read_bytes, rate=words)
        if not err.is_terminal and now - self._noted > NOTE_SECONDS:
            self._noted = now
            note(f"{100 * read_bytes // max(self._size, 1)} %: {words}")

    def wait(self, why: str) -> None:
        """Why nothing moves, said once; "" when it moves again."""
        if why and not self._waiting:
            note(f"{why}; trying again, nothing is lost", "yellow")
        elif not why and self._waiting:
            note("it goes on", "green")
        self._waiting = bool(why)
