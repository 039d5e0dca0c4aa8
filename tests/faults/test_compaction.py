"""The compactor killed with -9, in its transaction and right after it: every line stays counted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.servers import Servers
from shared.mongo import Mongo
from shared.publish import Publisher
from tests.support.analytics import NOON, case_changed, rating
from tests.support.analytics import feedback as said
from tests.support.figures import record
from tests.support.own_process import own_process
from tests.support.spine import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
COUNT = 200
POINTS = ("in_transaction", "committed")


async def tell(servers: Any, begin: int) -> None:
    names = [("killed", n) for n in range(begin, begin + COUNT)]
    events = [said(name, source="killed", rating=rating("nps", name[1] % 11, 0, 10)) for name in names]
    moved = [case_changed(name, about=(name,), department=f"d{name[1] % 3}") for name in names]
    async with Publisher(servers.kafka, client_id="test") as publisher:
        await publisher.publish([record(event) for event in [*events, *moved]])


@pytest.mark.parametrize("point", POINTS)
async def test_a_compactor_that_is_killed_counts_every_line_once(
    fault_servers: Servers, tmp_path: Path, point: str
) -> None:
    prefix = f"t{uuid4().hex[:10]}"
    common = {"CQM_SESSION_TIMEOUT": "6", "CQM_DATABASE_PREFIX": prefix}
    crash = common | {"CQM_CRASH_AT": f"compactor/{point}"}
    async with own_process("analytics", fault_servers, tmp_path / "one", **crash) as dying:
        await tell(fault_servers, 0)
        await eventually(lambda: not dying.child.running, what="killed by itself", within=60)
    async with own_process("analytics", fault_servers, tmp_path / "two", **common) as service:
        await tell(fault_servers, COUNT)
        mongo = Mongo(fault_servers.mongo)
        segments = mongo.database(f"{prefix}_analytics").segments
        async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=60) as http:

            async def counted() -> bool:
                asked = {"from": NOON.date().isoformat(), "to": "2019-06-01"}
                figure = (await http.get("/v1/kpis/feedback_volume", params=asked)).json()
                return bool(figure["total"]["n"] == 2 * COUNT and await segments.find_one({}) is None)

            await eventually(counted, what="all counted and compacted", within=240)
            for source in ("facts", "log"):
                answer = await http.post("/v1/recompute-check/all", json={"from": source})
                assert answer.json()["equal"] is True, answer.text[:1000]
        mongo.close()
