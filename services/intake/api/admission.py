"""Overload is answered at once: so many bytes of bodies are held at a time, and no more (promise P11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.intake.api.metrics import IN_FLIGHT_BYTES
from shared.problem import Problem


class Budget:
    """Bytes of bodies, inflated, that may be held between their arrival and their answer.

    What becomes of them comes on top, one slice of a batch at a time: 64 MiB of bodies cost 100 MB.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @contextmanager
    def lease(self) -> Iterator[Callable[[int], None]]:
        """A function that takes bytes from the budget, and raises Problem 503; all come back at the end."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self._held + count > self._limit:
                raise Problem(
                    503,
                    "Too much is arriving at the same time; nothing of this request was taken.",
                    headers={"Retry-After": "1", "Connection": "close"},
                )
            self._held += count
            taken += count
            IN_FLIGHT_BYTES.set(self._held)

        try:
            yield take
        finally:
            self._held -= taken
            IN_FLIGHT_BYTES.set(self._held)
