"""What the runtime does, on the screen: lines for events, one bar for downloads."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from deploy.commands.terminal import err, note
from deploy.local.events import Event

_QUARTER = 4
_STYLES = {"died": "yellow", "restarted": "green", "ports": "yellow", "failed": "red"}
_SILENT = frozenset({"starting", "ready"})
"""Every start is told when it has succeeded; what is ready is told with the links."""


class Telling:
    """A `Say`, used as a context manager so that the bar is taken down whatever happens.

    On a terminal downloads are a bar; elsewhere a line per quarter, so that a log stays readable.
    """

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._quarters: dict[str, int] = {}

    def __enter__(self) -> Telling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def __call__(self, event: Event) -> None:
        if event.kind == "download":
            self._download(event)
            return
        if event.kind == "started":
            self._take_down()
        if event.kind not in _SILENT:
            note(f"  {event.text}", _STYLES.get(event.kind))
            if event.remedy:
                note(f"    -> {event.remedy}")

    def _download(self, event: Event) -> None:
        if not err.is_terminal:
            quarter = _QUARTER * event.done // event.total if event.total else 0
            if quarter > self._quarters.get(event.part, -1):
                self._quarters[event.part] = quarter
                note(f"  downloading {event.part}: {100 * quarter // _QUARTER} %")
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
                console=err, transient=True,
            )  # fmt: skip
            self._bar.start()
        if event.part not in self._tasks:
            self._tasks[event.part] = self._bar.add_task(f"downloading {event.part}", total=event.total)
        self._bar.update(self._tasks[event.part], completed=event.done, total=event.total)

    def _take_down(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._tasks.clear()
