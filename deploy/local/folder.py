"""The data folder of one instance: its layout, and the lock that keeps a second instance out."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from deploy.local.errors import FolderInUse


def default_data_dir() -> Path:
    """XDG Base Directory: $XDG_DATA_HOME/cqm, else ~/.local/share/cqm."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "cqm"


def cache_dir() -> Path:
    """Downloads of this user, for all instances: $CQM_CACHE, $XDG_CACHE_HOME/cqm, else ~/.cache/cqm."""
    own = os.environ.get("CQM_CACHE")
    if own:
        return Path(own)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "cqm"


def write_atomically(path: Path, data: bytes) -> None:
    """A reader, or a start after a crash, sees the old file or the new one. Readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


PATIENCE_SECONDS = 1.0  # a holder that was just killed needs a moment to let go


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class DataFolder:
    """kafka/, mongo/ (data), logs/NAME.log, run/NAME.json (children), instance.json, ports.json, secret,
    lock."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().resolve()

    def create(self) -> DataFolder:
        for folder in (self.root, self.kafka, self.mongo, self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def mongo(self) -> Path:
        return self.root / "mongo"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def instance_file(self) -> Path:
        return self.root / "instance.json"

    @property
    def ports_file(self) -> Path:
        return self.root / "ports.json"

    @property
    def has_secret(self) -> bool:
        return self._secret.exists()

    @property
    def _secret(self) -> Path:
        return self.root / "secret"

    def secret(self) -> str:
        """What signs pages and links of forms here (CQM_SECRET); made when it is first asked for."""
        if not self.has_secret:
            write_atomically(self._secret, secrets.token_urlsafe(32).encode())
        return self._secret.read_text(encoding="ascii")

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held by this process until the block ends; the kernel drops it when the process is killed.

        Raises FolderInUse with the holder's pid.
        """
        self.create()
        with open(self.root / "lock", "a+", encoding="ascii") as file:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    file.seek(0)
                    raise self._in_use(file.read().strip())
                time.sleep(0.02)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def _in_use(self, pid: str) -> FolderInUse:
        holder = f"process {pid}" if pid else "another process"
        return FolderInUse(
            f"the data folder {self.root} is in use by {holder}",
            f"end it with `cqm down --data-dir {self.root}`, or start beside it with another `--data-dir`",
        )
