"""Where a command writes: results to stdout, progress and errors to stderr, colour only on a terminal."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table

OK, FINDING, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: well, a finding or a failure, wrong usage; 130 is the shells' word for Ctrl-C."""

T = TypeVar("T")
_WIDTH_OF_A_PIPE = 120
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the instance (default: the user's data folder)."),
]
KafkaAddress = Annotated[
    str | None, typer.Option(envvar="CQM_KAFKA", help="HOST:PORT (default: the running instance's)")
]
MongoUri = Annotated[
    str | None, typer.Option(envvar="CQM_MONGO", help="URI (default: the running instance's)")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON, for a script.")]


class Failure(Exception):
    """A foreseeable error: one sentence in `message`, what to do in `remedy`, and the exit code."""

    def __init__(self, message: str, remedy: str = "", code: int = FINDING) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code


def _console(stream: TextIO, *, stderr: bool) -> Console:
    sized = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        stderr=stderr, width=None if sized else _WIDTH_OF_A_PIPE, markup=False, highlight=False, emoji=False
    )


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def line(text: str = "", style: str | None = None) -> None:
    """One line of the result, never broken: commands and links can be copied as they stand."""
    out.print(text, style=style, soft_wrap=True)


def note(text: str, style: str | None = None) -> None:
    """A line beside the result, on stderr."""
    err.print(text, style=style, soft_wrap=True)


def tell_error(message: str, remedy: str = "") -> None:
    note(f"error: {message}", "red")
    if remedy:
        note(f"  -> {remedy}")


def write_json(value: Any) -> None:
    """The whole result as one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A plain table; `right` names the columns of numbers. What identifies a row stands in the first column
    and stays whole in the narrowest terminal, because it is what the next command is given."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, column in enumerate(columns):
        number = column in right
        whole = number or place == 0
        made.add_column(
            column,
            justify="right" if number else "left",
            no_wrap=whole,
            overflow="ignore" if whole else "fold",
        )
    return made


def program() -> str:
    """How `cqm` is called from this shell: by its name where the path leads to this one, else by its file."""
    mine, found = Path(sys.argv[0]), shutil.which("cqm")
    if mine.name != "cqm" or (found is not None and Path(found).samefile(mine)):
        return "cqm"
    near = os.path.relpath(mine)
    return shlex.quote(str(mine.absolute()) if near.startswith("..") else near)


def plain(text: Any) -> str:
    """Text of others without what would steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def run(work: Coroutine[Any, Any, T]) -> T:
    """An async command from its first line to its last."""
    return asyncio.run(work)


def end(code: int) -> None:
    """Leave with an exit code that is not 0."""
    if code:
        raise typer.Exit(code)
