"""Jobs of imports on a real MongoDB: who has them, and how often they were taken over without moving."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import msgspec
import pytest

from services.intake.domain.imports import Job, Layout, Mark, Options
from services.intake.store import JobStore
from shared import ids
from shared.errors import Unavailable
from shared.mongo import Mongo
from tests.support.servers import Servers


@pytest.fixture
async def jobs(servers: Servers, prefix: str) -> AsyncIterator[JobStore]:
    """Leases of no time, as if every holder died at once."""
    mongo = Mongo(servers.mongo)
    store = JobStore(mongo.database(f"{prefix}_intake"), lease=0)
    await store.prepare()
    yield store
    mongo.close()


def a_job(identity: UUID) -> Job:
    return Job(
        id=identity, state="queued", name="some.csv", by="me", label="me", source="shop", fixed_source=False,
        mapping="own", mapping_yaml="", options=Options(), layout=Layout("csv"), size=1, sha256="0",
        content=str(identity), traceparent="", mark=Mark(),
    )  # fmt: skip


async def test_claims_are_counted_until_the_job_moves_or_waits(jobs: JobStore) -> None:
    identity = ids.fresh_id()
    await jobs.begin(identity)
    await jobs.queue(a_job(identity))

    async def claims(holder: UUID) -> int:
        job = await jobs.claim(holder)
        assert job is not None
        return job.claims

    first, second, third = uuid4(), uuid4(), uuid4()
    assert [await claims(holder) for holder in (first, second, third)] == [1, 2, 3]
    assert await claims(third) == 3  # MongoDB was away, and the same process goes on with its job
    assert await jobs.renew(identity, third)
    assert await claims(first) == 4
    assert await jobs.renew(identity, first, waiting="Kafka is away")
    assert await claims(second) == 1
    moved = msgspec.structs.replace(a_job(identity), mark=Mark(2001))
    assert await jobs.save(moved, second)
    assert await claims(third) == 1


async def test_an_upload_that_still_arrives_is_not_taken_for_a_dead_one(jobs: JobStore) -> None:
    identity, dead = ids.fresh_id(), ids.fresh_id()
    for one in (identity, dead):
        await jobs.begin(one)
    hours_ago = {"$subtract": ["$$NOW", 3 * 3_600_000]}
    await jobs._jobs.update_many({"_id": {"$in": [identity, dead]}}, [{"$set": {"created_at": hours_ago}}])
    assert {identity, dead} <= set(await jobs.expired(days=1, upload_seconds=7200))
    await jobs.still_arrives(identity)
    assert await jobs.expired(days=1, upload_seconds=7200) == [dead]


async def test_an_upload_that_was_removed_is_to_be_sent_again(jobs: JobStore) -> None:
    identity = ids.fresh_id()
    await jobs.begin(identity)
    await jobs.delete(identity)
    with pytest.raises(Unavailable, match="send it again"):
        await jobs.still_arrives(identity)
    with pytest.raises(Unavailable, match="send it again"):
        await jobs.queue(a_job(identity))
    assert await jobs.find(identity) is None


async def test_the_same_content_is_the_unfinished_job(jobs: JobStore) -> None:
    first, second = ids.fresh_id(), ids.fresh_id()
    for one in (first, second):
        await jobs.begin(one)
    queued = await jobs.queue(a_job(first))
    again = msgspec.structs.replace(a_job(second), content=queued.content)
    assert (await jobs.queue(again)).id == first
