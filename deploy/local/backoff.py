"""How long to wait before a process that ended by itself is started again."""

from __future__ import annotations

FIRST_SECONDS = 0.5
MOST_SECONDS = 30.0
HEALTHY_SECONDS = 60.0


class Backoff:
    """0.5, 1, 2, ... 30 s; from the beginning again once the process has lived for a minute."""

    def __init__(self) -> None:
        self._failures = 0

    def delay_after(self, lived_seconds: float) -> float:
        """Seconds to wait, given how long the process that just ended had lived."""
        if lived_seconds >= HEALTHY_SECONDS:
            self._failures = 0
        delay: float = min(FIRST_SECONDS * 2**self._failures, MOST_SECONDS)
        if delay < MOST_SECONDS:
            self._failures += 1
        return delay
