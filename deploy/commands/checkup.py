"""What `cqm doctor` examines, and how a finding looks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deploy.commands.terminal import Failure

State = Literal["ok", "note", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """`text` says what was seen, `remedy` what to do. Only a problem makes the exit code 1."""

    check: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What is to be examined; `kafka` and `mongo` are None where neither given nor running."""

    data_dir: Path
    policy: Path
    kafka: str | None
    mongo: str | None
    security: dict[str, Any]
    urls: dict[str, list[str]]
    database_prefix: str

    @property
    def running(self) -> bool:
        """Whether an instance runs in the data folder."""
        return bool(self.urls)


_OPTIONS = {"Kafka": "--kafka HOST:PORT", "MongoDB": "--mongo URI"}


def needed(given: str | None, server: Literal["Kafka", "MongoDB"]) -> str:
    """The address, of a command that can do nothing without it. Raises Failure."""
    if given is None:
        raise Failure(f"no {server} is given, and nothing runs in the data folder", _OPTIONS[server])
    return given


NOT_RUNNING = "neither given nor running"


def skipped(check: str, why: str = NOT_RUNNING) -> Finding:
    return Finding(check, "skipped", why)
