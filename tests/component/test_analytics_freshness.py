"""`as_of` on a real Kafka: the moment up to which all partitions are in, whichever replica is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest

from services.analytics.app import build
from services.analytics.freshness import FRESHNESS
from shared.events import Customer
from shared.handler import Partition
from shared.partitioner import partition_of
from shared.topics import FEEDBACK
from tests.support.analytics import case_changed, feedback
from tests.support.apps import Running, running_app
from tests.support.figures import ask, dropping, record, send, settings_for, shows
from tests.support.servers import Servers
from tests.support.spine import eventually

A_MOMENT = timedelta(seconds=20)
"""More than looking, counting and a rebalance take on a busy machine."""
TWO_LOOKS = timedelta(seconds=2)


@pytest.fixture
async def replicas(servers: Servers) -> AsyncIterator[list[Running]]:
    async with dropping(servers) as prefix:
        settings = settings_for(servers, prefix)
        async with running_app(build(settings)) as one, running_app(build(settings)) as other:
            yield [one, other]


async def as_of(replica: Running) -> datetime | None:
    found = (await ask(replica, "feedback_volume"))["as_of"]
    return datetime.fromisoformat(found) if found else None


async def after(replica: Running, moment: datetime) -> datetime:
    async def later() -> Any:
        found = await as_of(replica)
        return found if found is not None and found > moment else None

    found: datetime = await eventually(later, what=f"figures complete up to {moment}")
    return found


async def test_idle_and_empty_partitions_hold_nothing_back_and_an_unread_one_does(
    replicas: list[Running],
) -> None:
    for replica in replicas:
        assert datetime.now(UTC) - await after(replica, datetime.now(UTC)) < A_MOMENT
    assert FRESHNESS._value.get() < A_MOMENT.total_seconds()

    held_back = feedback("as_of held back", source="t.as_of")
    number = partition_of(record(held_back).key, FEEDBACK.partitions)
    partition = Partition(FEEDBACK.name, number)

    async def holder() -> Any:
        streams = [stream for one in replicas for stream in one.service.streams if partition in stream.held]
        return streams[0] if len(streams) == 1 else None

    stream = await eventually(holder, what="one replica that holds the partition")
    stream.processor.stopped[partition] = "stopped by the test"
    stopped_at = datetime.now(UTC)
    others = [feedback(("as_of", n), source="t.as_of") for n in range(50)]
    others = [one for one in others if partition_of(record(one).key, FEEDBACK.partitions) != number]
    await send(replicas[0], held_back, *others)
    for replica in replicas:
        await shows(replica, "feedback_volume", len(others), filter="source:t.as_of")

    async def stands() -> bool:
        """Looks have been taken since the record was sent, and it is not in: so they do not count."""
        asked_at = datetime.now(UTC)
        found = [await as_of(one) for one in replicas]
        return all(moment is not None and moment < asked_at - 2 * TWO_LOOKS for moment in found)

    await eventually(stands, what="as_of that stands still")
    await stream.restart()
    for replica in replicas:
        await shows(replica, "feedback_volume", len(others) + 1, filter="source:t.as_of")
        await after(replica, stopped_at + 2 * TWO_LOOKS)


async def test_every_answer_and_file_says_up_to_when_all_partitions_are_in(replicas: list[Running]) -> None:
    replica, sent_at = replicas[0], datetime.now(UTC)
    case = case_changed("as_of in all", about=("as_of in all",), customer=Customer(id="C-as-of"))
    await send(replica, feedback("as_of in all", source="t.all"), case)
    await shows(replica, "feedback_volume", 1, filter="source:t.all")
    await after(replica, datetime.now(UTC))
    http, may = replica.http, {"from": "2019-05-01", "to": "2019-06-01"}
    found: dict[str, str] = {}
    for path in (
        "kpis/nps", "kpis/nps/records", "kpis/feedback_volume/records", "kpis/backlog_age",
        "reports/departments", "reports/owners", "reports/defects", "voice", "customers/C-as-of",
    ):  # fmt: skip
        answer = await http.get(f"/v1/{path}", params=may if path[:4] in ("kpis", "repo") else {})
        found[path] = answer.json()["as_of"]
    for source in ("facts", "log"):
        for path, body in (("", {"kpi": "nps"}), ("/all", {})):
            answer = await http.post(f"/v1/recompute-check{path}", json={"from": source, "query": may} | body)
            found[f"recomputed{path} from the {source}"] = answer.json()["as_of"]
    for path in ("nps", "nps/records"):
        for form in ("csv", "parquet"):
            answer = await http.get(f"/v1/kpis/{path}", params=may | {"format": form})
            found[f"{path} as {form}"] = answer.headers["X-CQM-As-Of"]
            if form == "parquet":
                metadata = pq.read_schema(BytesIO(answer.content)).metadata
                assert metadata[b"as_of"].decode() == answer.headers["X-CQM-As-Of"]
    too_early = {path: moment for path, moment in found.items() if datetime.fromisoformat(moment) < sent_at}
    assert too_early == {}
