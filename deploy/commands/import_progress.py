"""The bar of an import: the file on its way, then its rows; how far, how fast, how long still."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from deploy.commands.terminal import err, note

NOTE_SECONDS = 10.0


class ImportProgress:
    """On a terminal a bar; elsewhere a line each ten seconds."""

    def __init__(self, file: Path) -> None:
        self._size = max(file.stat().st_size, 1)
        self._noted = time.monotonic()
        self._waiting = False
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[words]}"),
            console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(file.name, total=100, words="")

    def __enter__(self) -> ImportProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def sent(self, count: int) -> None:
        """Bytes of the file that are on their way."""
        self._show(100 * count / self._size, "sent")

    def imported(self, job: dict[str, Any]) -> None:
        """The job as intake tells it."""
        words = f"{job['rows']:,} rows, {job['rate']:,.0f}/s"
        if job["eta_seconds"] is not None:
            words += f", {_span(job['eta_seconds'])} left"
        self.wait(job["waiting"] or "")
        self._show(job["percent"], words)

    def wait(self, why: str) -> None:
        """Why nothing moves, said once; "" when it moves again."""
        if why and not self._waiting:
            note(f"{why}; trying again, nothing is lost", "yellow")
        elif not why and self._waiting:
            note("it goes on", "green")
        self._waiting = bool(why)

    def _show(self, percent: float, words: str) -> None:
        self._bar.update(self._task, completed=percent, words=words)
        now = time.monotonic()
        if not err.is_terminal and now - self._noted > NOTE_SECONDS:
            self._noted = now
            note(f"{percent:.0f} %: {words}")


def _span(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
