"""Where an interrupted import goes on: one small file per content, mapping and system."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from deploy.local.folder import write_atomically

_KEY_DIGITS = 32


class Position(msgspec.Struct, frozen=True):
    """`rows` of the file are settled; the figures and the size of the rejects file belong to them."""

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    rejects_bytes: int = 0


class Bookmark:
    """Kept in `folder`/imports. What it says is saved by sending: to send a row again changes nothing."""

    def __init__(self, folder: Path, key: str) -> None:
        self._file = folder / "imports" / f"{key}.json"

    def load(self) -> Position:
        """The start of the file when nothing usable is known."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Position)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Position()

    def save(self, position: Position) -> None:
        write_atomically(self._file, msgspec.json.encode(position))

    def clear(self) -> None:
        self._file.unlink(missing_ok=True)


def key_of(file: Path, mapping: Path, system: str, rejects: Path) -> str:
    """The same for the same content, mapping, system and place of rejects, whatever the file is called."""
    digest = hashlib.sha256()
    for path in (file, mapping):
        with path.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    digest.update(f"{system}\0{rejects.absolute()}".encode())
    return digest.hexdigest()[:_KEY_DIGITS]
