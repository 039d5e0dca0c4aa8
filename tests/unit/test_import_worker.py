"""What a worker does with a job before it reads its file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from services.intake.domain.imports import Job, Layout, Mark, Options
from services.intake.imports.worker import MAX_CLAIMS, Worker
from services.intake.store import FileStore, JobStore
from shared import ids
from shared.clock import FixedClock
from tests.support.seals import SEALS

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


class Jobs:
    """Notes how jobs end."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str]] = []

    async def finish(self, identity: UUID, holder: UUID, state: str, reason: str = "") -> bool:
        self.ends.append((state, reason))
        return True

    async def over(self, identities: Sequence[UUID]) -> list[UUID]:
        return list(identities)


class Files:
    """Notes which files are opened."""

    def __init__(self) -> None:
        self.opened = 0

    def open(self, identity: UUID, size: int) -> Any:
        self.opened += 1
        raise AssertionError("is not to be read")

    async def delete(self, identity: UUID) -> None:
        pass


async def no_records(records: Sequence[Any]) -> None:
    assert not records


async def test_a_job_that_was_claimed_three_times_without_moving_fails_unread() -> None:
    """Rows that took all memory killed each replica that claimed them, one after the other, for ever."""
    jobs, files = Jobs(), Files()
    worker = Worker(
        cast(JobStore, jobs), cast(FileStore, files), no_records, FixedClock(NOW), "cqm", 30, 30, SEALS
    )
    job = Job(
        id=ids.fresh_id(), state="running", name="some.csv", by="me", label="me", source="shop",
        fixed_source=False, mapping="own", mapping_yaml="", options=Options(), layout=Layout("csv"), size=1,
        sha256="0", content="0", traceparent="", mark=Mark(2001), claims=MAX_CLAIMS + 1,
    )  # fmt: skip
    await worker._work(job)
    ((state, reason),) = jobs.ends
    assert (state, files.opened) == ("failed", 0)
    assert reason.startswith("was begun 3 times after row 2001, and each time the process ended before")
