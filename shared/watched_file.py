"""Files that may change while a service runs: what was last read of them without error stays in force."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from shared.errors import SetupError

log = structlog.get_logger("cqm.files")
LOOK_SECONDS = 1.0
T = TypeVar("T")
_Stamp = tuple[tuple[str, int, int, int], ...]


class WatchedFile(Generic[T]):
    """A file, or a folder of files. `value` is the content as `read` makes it, and what a call answers;
    `wrong` says why a newer one is not in force, else ""."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        """Reads it for the first time. Raises SetupError, like `read`."""
        self.path = path
        self.wrong = ""
        self._read = read
        self._stamp = _stamp(path)
        self.value = read(path)

    def __call__(self) -> T:
        return self.value

    async def keep_fresh(self, looked: Callable[[bool], Awaitable[None]]) -> None:
        """Runs until cancelled: looks, and tells each time whether there is a new value."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # reading takes a moment, in which requests and heartbeats go on
            await looked(await asyncio.to_thread(self.look))

    def look(self) -> bool:
        """Read it again where it has changed, and say whether there is a new value. Never raises: what cannot
        be read is told in the log, once for each version, and stands in `wrong`."""
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.value = self._read(self.path)
        except SetupError as error:
            self.wrong = str(error)
            self._tell_refused()
            return False
        except Exception as error:
            # the next look would not read it again, and nobody would know which version is not in force
            self.wrong = f"cannot be read: {type(error).__name__}"
            self._tell_refused(error)
            return False
        self.wrong = ""
        log.info("file_read_again", path=str(self.path))
        return True

    def _tell_refused(self, unforeseen: Exception | None = None) -> None:
        """As an error of the file's author, or (`unforeseen`) of CQM's own."""
        log.critical(
            "file_refused", path=str(self.path), why=self.wrong, in_force="what was read before",
            exc_info=unforeseen,
        )  # fmt: skip


def _stamp(path: Path) -> _Stamp:
    """What a look can see of a change, of each file; empty while there is nothing to see."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        seen = [(file.name, _state(file)) for file in files]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_ino, stat.st_size) for name, stat in seen)


def _state(file: Path) -> os.stat_result:
    """Of a link whose target is away: of the link, or one of an editor would hide all changes beside it."""
    try:
        return file.stat()
    except OSError:
        return file.lstat()
