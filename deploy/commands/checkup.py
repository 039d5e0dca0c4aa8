"""What `cqm doctor` examines, and how a finding looks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deploy.commands.terminal import USAGE, Failure

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


_HOST_AND_PORT = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/,\[\]]+)(?::(\d{1,5}))?")
_HIGHEST_PORT = 65_535


def kafka_security(kafka: str) -> dict[str, Any]:
    """How to speak to a Kafka that is given, by CQM_KAFKA_*. Raises Failure for what is no address, or no
    such setting: the client would end in a bug of its own."""
    from pydantic import ValidationError

    from shared.settings import KafkaSecurity

    for place in kafka.split(","):
        found = _HOST_AND_PORT.fullmatch(place.strip())
        if not found or not 0 < int(found[1] or 1) <= _HIGHEST_PORT:
            raise Failure(f"{kafka} is no address of a Kafka", "HOST:PORT, several with commas", USAGE)
    try:
        return KafkaSecurity().options()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Failure(f"CQM_KAFKA_{str(first['loc'][0]).upper()}: {first['msg']}", "", USAGE) from error
    except OSError as error:
        raise Failure(f"CQM_KAFKA_CA_FILE cannot be read: {error.strerror or error}", "", USAGE) from error


NOT_RUNNING = "neither given nor running"


def skipped(check: str, why: str = NOT_RUNNING) -> Finding:
    return Finding(check, "skipped", why)
