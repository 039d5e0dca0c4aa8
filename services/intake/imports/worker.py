"""Whoever holds a job's lease does its work: rows to Kafka in batches, and how far after each of them.

A batch is published, its refused rows are kept, then the mark moves, in this order. Whoever dies in between
leaves at most one batch that is sent again, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO
from uuid import UUID, uuid4

import msgspec
import structlog

from services.intake.api import metrics
from services.intake.domain.imports import Job
from services.intake.domain.signals import Sender
from services.intake.imports.layout import open_table
from services.intake.imports.rows import Batch, RowReader
from services.intake.imports.table import Unreadable
from services.intake.store.files import FileStore
from services.intake.store.jobs import JobStore
from shared.clock import Clock
from shared.codec import Outgoing
from shared.crash import crash_point
from shared.errors import CQMError, TransientError
from shared.mapping import mapping_of
from shared.sealing import Seals

log = structlog.get_logger("cqm.imports")

WAY = "imports"
"""In metrics."""
POLL_SECONDS = 1.0
SWEEP_SECONDS = 600.0
UPLOAD_SECONDS = 7200.0
"""An upload that was not said to go on for so long has died (reception.py)."""
MAX_CLAIMS = 3
"""Of a job that does not move: its file kills whoever reads it, and the jobs behind it wait."""
_LONGEST_PAUSE = 5.0

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


class _Lost(CQMError):
    """The job was cancelled, or another replica has it now."""


class _Stuck(CQMError):
    """The job was claimed as often as it may be without moving."""


@dataclass
class Worker:
    """One job at a time. `group` names the crash points, `lease`: seconds, `days` until ended jobs go."""

    jobs: JobStore
    files: FileStore
    publish: Publish
    clock: Clock
    group: str
    lease: float
    days: float
    seals: Seals
    holder: UUID = field(default_factory=uuid4)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """There is a new job: look at once."""
        self._woken.set()

    async def run(self) -> None:
        """Works until it is cancelled. Raises TransientError when MongoDB is away."""
        self.seals.demand()  # rows are sealed as they are read, in a thread that cannot wait for the keys
        await self.jobs.prepare()
        await self.files.prepare()
        swept = 0.0
        while True:
            self._woken.clear()
            if job := await self.jobs.claim(self.holder):
                await self._work(job)
                continue
            if self.clock.monotonic() - swept > SWEEP_SECONDS:
                swept = self.clock.monotonic()
                await self.sweep()
            await self._idle()

    async def sweep(self) -> None:
        """Removes what ended long ago, what is left of uploads that died, and files that nobody reads."""
        for identity in await self.jobs.over(await self.files.identities()):
            await self.files.delete(identity)
        for identity in await self.jobs.expired(self.days, UPLOAD_SECONDS):
            await self.files.delete(identity)
            await self.jobs.delete(identity)

    async def _idle(self) -> None:
        """Until a job comes in here, or another replica's may have been left."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _work(self, job: Job) -> None:
        log.info("import_begins", job=str(job.id), after_row=job.mark.row)
        crash_point(self.group, "received")
        try:
            async with self._held(job):
                await self._import(job)
        except _Lost:
            log.info("import_left", job=str(job.id))
        except TransientError:
            raise
        except (Unreadable, CQMError) as error:
            log.warning("import_failed", job=str(job.id), why=str(error))
            await self.jobs.finish(job.id, self.holder, "failed", str(error))
        except Exception as error:  # the next job must not wait for a bug that this one has found
            log.critical("import_failed", job=str(job.id), exc_info=error)
            await self.jobs.finish(job.id, self.holder, "failed", "an error of CQM's own; it is in the log")
        for identity in await self.jobs.over([job.id]):  # another replica may go on with it
            await self.files.delete(identity)

    @asynccontextmanager
    async def _held(self, job: Job) -> AsyncIterator[None]:
        """The lease is renewed meanwhile, however long a batch takes."""
        renewing = asyncio.create_task(self._renew(job.id))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _renew(self, identity: UUID) -> None:
        while True:
            await asyncio.sleep(self.lease / 3)  # the pace of renewing
            try:
                await self.jobs.renew(identity, self.holder)
            except TransientError as error:
                log.warning("lease_not_renewed", job=str(identity), why=str(error))

    async def _import(self, job: Job) -> None:
        if job.claims > MAX_CLAIMS:
            raise _Stuck(
                f"was begun {MAX_CLAIMS} times after row {job.mark.row}, and each time the process ended "
                f"before the next rows were taken: look at these rows, or send the others without them"
            )
        source = await asyncio.to_thread(self._batches, job, self.files.open(job.id, job.size))
        began = self.clock.monotonic()
        batch = await asyncio.to_thread(next, source, None)
        while batch is not None:
            following = asyncio.create_task(asyncio.to_thread(next, source, None))
            try:
                await self._settle(job, batch)
                began, last = self.clock.monotonic(), began
                job = _moved(job, batch, began - last)
                await self._save(job)
            except BaseException:
                await asyncio.gather(following, return_exceptions=True)  # a thread is within the file
                raise
            batch = await following
        if await self.jobs.finish(job.id, self.holder, "done"):
            log.info("import_done", job=str(job.id), accepted=job.accepted, rejected=job.rejected)

    def _batches(self, job: Job, file: BinaryIO) -> Iterator[Batch]:
        mapping = mapping_of(job.mapping_yaml.encode(), f"{job.mapping}.yaml")
        table = open_table(file, job.layout, job.size)
        return RowReader(table, mapping, sender_of(job), self.seals, job.traceparent.encode()).batches(
            job.mark, self.clock.now
        )

    async def _settle(self, job: Job, batch: Batch) -> None:
        """The rows are on Kafka, or kept as refused. While Kafka is away this waits, and says so."""
        crash_point(self.group, "decided")
        attempt = 0
        while True:
            try:
                began = self.clock.monotonic()
                await self.publish(batch.records)
                seconds = self.clock.monotonic() - began
                metrics.ACKNOWLEDGED_SECONDS.labels(WAY, job.label).observe(seconds)
                break
            except TransientError as error:
                log.warning("import_waits", job=str(job.id), why=str(error))
                if not await self.jobs.renew(job.id, self.holder, waiting=str(error)):
                    raise _Lost from None
                attempt += 1
                await asyncio.sleep(min(_LONGEST_PAUSE, 0.1 * 2.0**attempt))  # backoff
        crash_point(self.group, "published")
        await self.jobs.reject(job.id, batch.rejects)

    async def _save(self, job: Job) -> None:
        if not await self.jobs.save(job, self.holder):
            raise _Lost
        crash_point(self.group, "committed")


def sender_of(job: Job) -> Sender:
    """With its number, the content is the identity of a row for which the mapping names no external id."""
    return Sender(job.source, ("import", job.content), job.fixed_source)


def _moved(job: Job, batch: Batch, seconds: float) -> Job:
    metrics.ACCEPTED.labels(WAY, "feedback", job.label).inc(batch.accepted)
    metrics.REJECTED.labels(WAY, job.label, metrics.reason(422)).inc(len(batch.rejects))
    return msgspec.structs.replace(
        job,
        mark=batch.mark,
        share=batch.share,
        accepted=job.accepted + batch.accepted,
        rejected=job.rejected + len(batch.rejects),
        worked=job.worked + seconds,
    )
