"""Overload is answered at once, before it makes everybody late (promise P11): no more requests are let in
than get their answer in time, and no more bytes of bodies are held than there is room for."""

from __future__ import annotations

from shared.problem import Problem

LEAST, FIRST, MOST = 64, 256, 4096
_BACK_OFF = 0.75
_STEP = 16


class Crowd:
    """How many requests may be under way at a time: as many as get their answer within `seconds`.

    A longer queue serves nobody sooner, and those at its end are late in any case. How long it may be depends
    on the machine, on Kafka, and on what requests hold, so it is found out as TCP finds its window: a
    publication whose oldest waited too long makes it shorter by a quarter; one whose oldest waited less than
    half of `seconds` makes it longer by a sixteenth, where it was half used. LEAST are always let in, so that
    a Kafka that takes long in itself gets its share.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._most = FIRST
        self._seen = 0

    def is_full(self, under_way: int) -> bool:
        """Asked for each head that arrives (shared/http_protocol.py), where a refusal costs least."""
        if under_way > self._seen:
            self._seen = under_way
        return under_way >= self._most

    def waited(self, seconds: float) -> None:
        """The oldest of a publication got its answer after so long."""
        if seconds > self._seconds:
            self._most = max(LEAST, int(self._most * _BACK_OFF))
        elif seconds < self._seconds / 2 and self._seen > self._most / 2:
            self._most = min(MOST, self._most + self._most // _STEP)
        self._seen = 0


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
