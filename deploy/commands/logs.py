"""`cqm logs`: the JSON lines of the services, and the others' own, made readable."""

from __future__ import annotations

import asyncio
import codecs
import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from deploy.commands.terminal import USAGE, DataDir, Failure, line, plain, run
from deploy.local.folder import DataFolder, default_data_dir

POLL_SECONDS = 0.25
_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red"}
_FRONT = ("at", "level", "event", "service", "pid", "logger")
_BLOCK = 64 * 1024


def register(app: typer.Typer) -> None:
    @app.command()
    def logs(
        service: Annotated[
            str | None, typer.Argument(help="intake, routing, sla, analytics, kafka, mongo, supervisor")
        ] = None,
        follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
        lines: Annotated[int, typer.Option("-n", "--lines", min=0, max=100_000)] = 50,
        data_dir: DataDir = None,
    ) -> None:
        """The last lines of the logs, by time; of all services, or of one process."""
        files = log_files(DataFolder(data_dir or default_data_dir()), service)
        last = deque(heapq.merge(*(entries(file, lines) for file in files), key=when), maxlen=lines)
        for _, entry in last:
            entry.show(len(files) > 1)
        if follow:
            try:
                run(_follow(files))
            except KeyboardInterrupt:
                return


def log_files(folder: DataFolder, service: str | None) -> list[Path]:
    """One process's log, or those of the services and the supervisor. Raises Failure when there is none."""
    found = {file.stem: file for file in sorted(folder.logs.glob("*.log"), key=lambda file: file.stem)}
    if not found:
        raise Failure(f"there are no logs in {folder.root}", "name the folder with --data-dir", USAGE)
    if service is None:
        return [file for name, file in found.items() if name not in ("kafka", "mongo")]
    wanted = [file for name, file in found.items() if name == service or name.startswith(f"{service}-")]
    if not wanted:
        raise Failure(f"no process has this name; there are {', '.join(found)}", "", USAGE)
    return wanted


def last_lines(file: Path, count: int) -> list[str]:
    """The last `count` lines, read from the end: a log may be long."""
    with file.open("rb") as opened:
        position = opened.seek(0, 2)
        content = b""
        while position and content.count(b"\n") <= count:
            step = min(_BLOCK, position)
            position -= step
            opened.seek(position)
            content = opened.read(step) + content
    return list(deque(content.decode("utf-8", "replace").splitlines(), maxlen=count))


def entries(file: Path, count: int) -> list[tuple[str, Entry]]:
    """The last entries with their times; one without a time has that of the entry before it."""
    at, found = "", []
    for text in last_lines(file, count):
        entry = Entry.of(file.stem, text)
        at = max(at, entry.at)
        found.append((at, entry))
    return found


def when(timed: tuple[str, Entry]) -> str:
    return timed[0]


@dataclass(frozen=True)
class Entry:
    """One line of a log; `fields` is empty for a line that is not ours."""

    process: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, process: str, text: str) -> Entry:
        try:
            return cls(process, text, msgspec.json.decode(text, type=dict[str, Any]))
        except msgspec.MsgspecError:
            return cls(process, text)

    @property
    def at(self) -> str:
        return str(self.fields.get("at", ""))

    def render(self, named: bool) -> str:
        """`09:00:01.123 routing warning waiting_for what=Kafka`; other lines as they are."""
        who = f"{self.process:<10} " if named else ""
        if not self.fields:
            return who + plain(self.text)
        told = self.fields.get("event") or self.fields.get("text") or ""
        more = " ".join(
            f"{name}={plain(value)}"
            for name, value in self.fields.items()
            if name not in (*_FRONT, "text", "exception") and value not in ("", 0)
        )
        head = " ".join(
            part for part in (self.at[11:23], who.strip(), self._level, plain(told), more) if part
        )
        trace = self.fields.get("exception")
        return f"{head}\n{_indented(str(trace))}" if trace else head

    @property
    def _level(self) -> str:
        level = str(self.fields.get("level", ""))
        return "" if level == "info" else level

    def show(self, named: bool) -> None:
        line(self.render(named), _STYLES.get(self._level))


def _indented(text: str) -> str:
    return "\n".join(f"    {plain(part)}" for part in text.splitlines())


@dataclass
class Tail:
    """What is added to one file from now on, in whole lines, across its replacement by a shorter one."""

    file: Path
    position: int
    rest: str = ""
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def new_lines(self) -> Iterator[str]:
        if self.file.stat().st_size < self.position:
            self.position = 0
        with self.file.open("rb") as opened:
            opened.seek(self.position)
            added = opened.read()
        self.position += len(added)
        *whole, self.rest = (self.rest + self.decoder.decode(added)).split("\n")
        yield from whole


async def _follow(files: Sequence[Path]) -> None:
    tails = [Tail(file, file.stat().st_size) for file in files]
    while True:
        for tail in tails:
            for text in tail.new_lines():
                Entry.of(tail.file.stem, text).show(len(files) > 1)
        await asyncio.sleep(POLL_SECONDS)
