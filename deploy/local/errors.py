"""Errors of the embedded runtime, all meant to be shown to a person as they are.

LocalError
├── RuntimeUnavailable   Kafka or MongoDB cannot be had on this machine
├── FolderInUse          another instance runs in this data folder
├── NotRunning           no instance runs in this data folder
├── Unreadable           what runs in this data folder cannot be told
├── PartFailed           a process ended or did not become ready while the instance was starting
└── StopTimeout          an instance did not end in time
"""

from __future__ import annotations

WAYS_OUT = (
    "use what already runs with `--kafka HOST:PORT` and `--mongo URI`, "
    "or point KAFKA_HOME at an unpacked Apache Kafka (with a Java runtime 17 or newer), "
    "or run everything with `docker compose up`"
)


class LocalError(Exception):
    """What went wrong in `message`, what to do about it in `remedy` (may be empty)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


class RuntimeUnavailable(LocalError):
    """Kafka or MongoDB cannot be had here; the remedy names every way out unless a nearer one is known."""

    def __init__(self, message: str, remedy: str = WAYS_OUT) -> None:
        super().__init__(message, remedy)


class FolderInUse(LocalError):
    pass


class Unreadable(LocalError):
    pass


class NotRunning(LocalError):
    pass


class PartFailed(LocalError):
    pass


class StopTimeout(LocalError):
    pass
