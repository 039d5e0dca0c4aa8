"""What the runtime says while it works: one flat struct, for a terminal and for JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

Kind = Literal[
    "download",  # done and total in bytes
    "ports",  # a wanted port was taken: which one serves instead
    "starting",
    "started",
    "died",  # a process ended by itself: code, and when it is started again
    "restarted",
    "ready",  # everything answers; said once
    "stopping",
    "stopped",
    "failed",  # the instance could not start: text is the message, remedy what to do
]


class Event(msgspec.Struct, frozen=True):
    """`part` is kafka, mongo, a service (routing, routing-1) or instance; `text` is for a person."""

    kind: Kind
    part: str
    text: str
    done: int = 0
    total: int = 0
    remedy: str = ""
    error: str = ""


Say = Callable[[Event], None]


def say_nothing(event: Event) -> None:
    """For callers that watch nothing."""
