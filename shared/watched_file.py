"""Files that may change while a service runs: what was last read of them without error stays in force."""

from __future__ import annotations

import asyncio
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
        """Read it again where it has changed, and say whether there is a new value. Never raises
        SetupError: what cannot be read is told in the log, once for each version."""
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.value = self._read(self.path)
        except SetupError as error:
            self.wrong = str(error)
            log.critical("file_refused", path=str(self.path), why=self.wrong, in_force="what was read before")
            return False
        self.wrong = ""
        log.info("file_read_again", path=str(self.path))
        return True


def _stamp(path: Path) -> _Stamp:
    """What a look can see of a change, of each file; empty while there is nothing to see."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        seen = [(file.name, file.stat()) for file in files]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_ino, stat.st_size) for name, stat in seen)
