"""What an import is: a file, how it is to be read, and how far it has been taken in."""

from __future__ import annotations

import codecs
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from shared.errors import CQMError

ENCODINGS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be")
NO_QUOTE = "none"
_ALSO_CALLED = {"gbk": "gb18030", "gb2312": "gb18030", "utf-8-sig": "utf-8", "utf-16": "utf-16-le"}
_NAMED_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|"}

State = Literal["queued", "running", "done", "cancelled", "failed"]
FINISHED: tuple[State, ...] = ("done", "cancelled", "failed")


class WrongOption(ValueError):
    """`option` of a request, and what it may be."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(reason)
        self.option = option


class Full(CQMError):
    """So many imports are unfinished that no other is taken now. `of_caller`: all of them are the caller's,
    who may wait for one of them to end, or cancel it."""

    def __init__(self, limit: int, *, of_caller: bool) -> None:
        whose = "of yours " if of_caller else ""
        super().__init__(f"{limit} imports {whose}are unfinished, which is the limit; send it again later")
        self.limit, self.of_caller = limit, of_caller


class Room(NamedTuple):
    """How many imports may be unfinished at the same time: of one caller, and in all. As many more as arrive
    in one moment may pass."""

    of_caller: int
    in_all: int


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sender says about a file; "" leaves it to be found out."""

    encoding: str = ""
    delimiter: str = ""
    quote: str = ""

    @classmethod
    def checked(cls, encoding: str, delimiter: str, quote: str) -> Options:
        """Raises WrongOption."""
        delimiter = _NAMED_DELIMITERS.get(delimiter, delimiter)
        if delimiter and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise WrongOption("delimiter", "must be one character, or comma, semicolon, tab, bar")
        if quote not in ("", NO_QUOTE) and (len(quote) != 1 or quote in f"{delimiter}\r\n\0"):
            raise WrongOption("quote", f"must be one character, or {NO_QUOTE}")
        return cls(_codec(encoding), delimiter, quote)


def _codec(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name if encoding else ""
    except (LookupError, ValueError):  # no codec, or no name of one: it has a NUL in it
        name = "unknown"
    name = _ALSO_CALLED.get(name, name)
    if name and name not in ENCODINGS:
        raise WrongOption("encoding", f"must be one of {', '.join(ENCODINGS)}, gbk, utf-16")
    return name


class Layout(msgspec.Struct, frozen=True):
    """How a file is to be read; found once, so that every replica reads the same rows."""

    format: str
    encoding: str = ""
    delimiter: str = ""
    quote: str = ""
    header: list[str] = []


class Mark(msgspec.Struct, frozen=True):
    """Everything up to here is settled. `row` as a spreadsheet numbers it: the header is row 1.

    `offset`: where the next row begins, in bytes of the text in UTF-8; 0 where it is found by counting rows.
    """

    row: int = 1
    offset: int = 0


class Reject(msgspec.Struct, frozen=True):
    """A row that was not taken. `column` of the file, or pointer into the feedback, or ""."""

    row: int
    column: str
    reason: str
    cells: list[str]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is imported, by which mapping, for whom, and how far it is.

    `content`: hash of file and mapping, by which the same import is known again. `label` stands for who sent
    it in metrics. `share`: of the file that has been read, 0 to 1. `worked`: seconds that were worked on it.
    `waiting`: why nothing moves just now. `claims`: how often it was claimed since it moved last, each time
    by somebody else.
    """

    id: UUID
    state: State
    name: str
    by: str
    label: str
    source: str
    fixed_source: bool
    mapping: str
    mapping_yaml: str
    options: Options
    layout: Layout
    size: int
    sha256: str
    content: str
    traceparent: str
    mark: Mark
    accepted: int = 0
    rejected: int = 0
    share: float = 0.0
    worked: float = 0.0
    reason: str = ""
    waiting: str = ""
    claims: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def rows(self) -> int:
        """Rows settled; empty lines are none."""
        return self.accepted + self.rejected

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    @property
    def rate(self) -> float:
        """Rows per second of work."""
        return self.rows / self.worked if self.worked else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds of work that are left, when it goes on as it did; None while nobody can know."""
        if self.is_finished or not self.share or not self.worked:
            return None
        return self.worked * (1 - self.share) / self.share
