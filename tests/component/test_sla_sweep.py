"""The sweep between reading and saying: what a slow database, or a record in between, makes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from services.sla.app import build
from services.sla.domain.clock import Clock
from services.sla.store import Changes, ClockStore
from shared.errors import TooSlow
from shared.mongo import Session
from tests.component.test_sla import clock_of, new_case, settings_in, tell
from tests.support.apps import running_app
from tests.support.servers import Servers
from tests.support.spine import eventually


async def test_what_a_slow_database_cannot_take_in_one_transaction_is_said_in_several(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, sizes = ClockStore.save, []

    async def slow(self: ClockStore, changes: Changes, session: Session) -> None:
        if changes.raised:
            sizes.append(len(changes.moved))
            if len(changes.moved) > 3:
                raise TooSlow("as MongoDB ends a transaction that grew too old")
        await save(self, changes, session)

    monkeypatch.setattr(ClockStore, "save", slow)
    past = datetime.now(UTC) - timedelta(days=1)
    late = [new_case(priority="P1", opened_at=past) for _ in range(20)]
    async with running_app(build(await settings_in(tmp_path, servers))) as sla:
        await tell(sla, *late)

        async def all_fired() -> bool:
            count: int = await sla.service.database.escalations.count_documents({})
            return count >= 4 * len(late)

        await eventually(all_fired, what="four steps of each case")
        assert max(sizes) > 3 >= min(sizes)
        kept = sla.service.database.escalations.find()
        fired = [(one["case_id"], one["target"], one["step"]) async for one in kept]
        assert len(set(fired)) == len(fired) == 4 * len(late)


async def test_an_answer_that_comes_between_reading_a_clock_and_saying_its_steps_prevents_them(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise P8: what was consumed before a step is claimed, counts. Its neighbour's steps are said."""
    load_due, read = ClockStore.load_due, set[str]()
    past = datetime.now(UTC) - timedelta(days=1)
    answered = new_case(priority="P1", opened_at=past)
    neighbour = new_case(priority="P1", opened_at=past)
    async with running_app(build(await settings_in(tmp_path, servers))) as sla:

        async def answered_meanwhile(
            self: ClockStore, partitions: Collection[int], now: datetime, limit: int
        ) -> Iterator[Clock]:
            clocks = list(await load_due(self, partitions, now, limit))
            if answered.id in {clock.case_id for clock in clocks} and not read:
                read.add("the clock of before the answer")
                ended = new_case(
                    id=answered.id,
                    version=2,
                    opened_at=past,
                    status="cancelled",
                    updated_at=datetime.now(UTC),
                )
                await tell(sla, ended)
                await clock_of(sla, answered.id, version=2)
            return iter(clocks)

        monkeypatch.setattr(ClockStore, "load_due", answered_meanwhile)
        await tell(sla, answered, neighbour)

        async def neighbour_fired() -> bool:
            count: int = await sla.service.database.escalations.count_documents({"case_id": neighbour.id})
            return count == 4

        await eventually(neighbour_fired, what="the steps of the neighbour")
        late = new_case(id=uuid4(), priority="P1", opened_at=past)  # another round of the sweep
        await tell(sla, late)

        async def late_fired() -> bool:
            return bool(await sla.service.database.escalations.count_documents({"case_id": late.id}))

        await eventually(late_fired, what="the steps of a later case")
        assert read
        assert await sla.service.database.escalations.count_documents({"case_id": answered.id}) == 0
