"""Time as an argument: decisions get a `now`, only composition roots hold a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "FixedClock", "SystemClock", "in_milliseconds", "rfc3339"]


class Clock(Protocol):
    """Source of the present moment for the edges of a service."""

    def now(self) -> datetime:
        """Aware UTC time."""
        ...

    def monotonic(self) -> float:
        """Seconds for measuring spans; unrelated to the calendar."""
        ...


class SystemClock:
    """The machine's clock, to the millisecond as MongoDB keeps it: a time read back is the time said."""

    def now(self) -> datetime:
        return in_milliseconds(datetime.now(UTC))

    def monotonic(self) -> float:
        return time.monotonic()


class FixedClock:
    """A clock that stands until it is moved: `advance(seconds)`."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._elapsed = 0.0

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)
        self._elapsed += seconds


def in_milliseconds(at: datetime) -> datetime:
    """The moment as MongoDB keeps it, never later."""
    below = at.microsecond % 1000
    return at.replace(microsecond=at.microsecond - below) if below else at


def rfc3339(at: datetime) -> str:
    """RFC 3339 in UTC with `Z`, as every answer of the API writes times."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
