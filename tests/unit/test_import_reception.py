"""A file that arrives slowly is said to arrive, so that no replica sweeps it away meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from services.intake.domain.imports import Options, Room
from services.intake.imports import Reception
from services.intake.imports.reception import RENEW_SECONDS
from services.intake.imports.worker import UPLOAD_SECONDS
from services.intake.store import FileStore, JobStore
from shared.clock import FixedClock
from tests.support.seals import SEALS

CLOCK = FixedClock(datetime(2026, 3, 2, 1, 30, tzinfo=UTC))
PAUSE = 9.0
"""Seconds between two pieces: after ten without any, an upload ends."""


class Jobs:
    """Notes the longest time for which a file was not said to arrive."""

    def __init__(self) -> None:
        self.said = CLOCK.monotonic()
        self.longest = 0.0

    async def prepare(self) -> None:
        pass

    async def begin(self, identity: UUID) -> None:
        self.said = CLOCK.monotonic()

    async def still_arrives(self, identity: UUID) -> None:
        self.longest = max(self.longest, CLOCK.monotonic() - self.said)
        self.said = CLOCK.monotonic()

    async def delete(self, identity: UUID) -> None:
        pass


class Files:
    async def prepare(self) -> None:
        pass

    async def write(self, identity: UUID, name: str, pieces: AsyncIterator[bytes]) -> int:
        return sum([len(piece) async for piece in pieces])

    async def delete(self, identity: UUID) -> None:
        pass


async def slowly(seconds: float) -> AsyncIterator[bytes]:
    for _ in range(round(seconds / PAUSE)):
        CLOCK.advance(PAUSE)
        yield b"x"


async def test_a_file_that_comes_for_hours_is_said_to_arrive_all_the_time() -> None:
    jobs = Jobs()
    reception = Reception(
        cast(JobStore, jobs), cast(FileStore, Files()), CLOCK, lambda: None, Room(1, 1), SEALS
    )
    async with reception.arriving(slowly(3 * UPLOAD_SECONDS), "some.csv", Options()) as arrived:
        assert arrived.size == round(3 * UPLOAD_SECONDS / PAUSE)
        longest = max(jobs.longest, CLOCK.monotonic() - jobs.said)
    assert longest <= RENEW_SECONDS + PAUSE < UPLOAD_SECONDS / 2
