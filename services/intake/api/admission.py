"""Overload is answered at once: so many bytes of bodies are held at a time, and no more (promise P11)."""

from __future__ import annotations

from shared.problem import Problem


class Budget:
    """Bytes of bodies, inflated, that may be held between their arrival and their answer.

    What becomes of them comes on top, one slice of a batch at a time: 64 MiB of bodies cost 100 MB.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    def take(self, count: int) -> None:
        """Raises Problem 503 when they are more than what is left."""
        if self._held + count > self._limit:
            raise Problem(
                503,
                "Too much is arriving at the same time; nothing of this request was taken.",
                headers={"Retry-After": "1", "Connection": "close"},
            )
        self._held += count

    def give_back(self, count: int) -> None:
        self._held -= count
