"""What a client knows of what it sent, on disk before it goes on: ok, refused, or unknown.

One line each, `WORD ID`; a line is believed only when it is whole. `ok` wins over `unknown`: a signal that
got no answer is sent again with the same id, which settles it (docs/promises.md P2).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID

Word = Literal["sent", "ok", "refused", "unknown"]
WORDS: tuple[Word, ...] = ("sent", "ok", "refused", "unknown")


@dataclass
class Entries:
    """The ids under each word."""

    sent: set[UUID] = field(default_factory=set)
    ok: set[UUID] = field(default_factory=set)
    refused: set[UUID] = field(default_factory=set)
    unknown: set[UUID] = field(default_factory=set)

    def note(self, word: Word, ids: Iterable[UUID]) -> None:
        getattr(self, word).update(ids)


class Journal:
    """Appends, and waits for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, word: Word, ids: Iterable[UUID]) -> None:
        """Returns when the lines are on the disk: `sent` before it leaves, the others after an answer."""
        some = list(ids)
        if some:
            os.write(self._file, "".join(f"{word} {one}\n" for one in some).encode())
            os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


def read_journal(path: Path) -> Entries:
    """What a journal says that a client left behind. A last line that was cut off is no line."""
    entries = Entries()
    for line in path.read_text().splitlines(keepends=True):
        word, _, identity = line.rstrip("\n").partition(" ")
        if line.endswith("\n") and word in WORDS:
            entries.note(word, [UUID(identity)])
    return entries
