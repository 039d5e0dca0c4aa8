"""Figures the tutorial way: `python -m tests.bench.tutorial.analytics`.

One message, one handler, one find, one insert, one `$inc`. All values of an hour are counted in one
document, which is the kindest form for it: a document for each dimension and value would be sixteen updates
a message. It does less: no transaction guards it, a case that changes hands is not taken back, and no
figure needs two events.
"""

import asyncio
import os
from datetime import datetime
from typing import Any

import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker
from motor.motor_asyncio import AsyncIOMotorClient

from services.analytics.domain.tallies import EVERYTHING
from shared.topics import ACTIVITY, CASES, FEEDBACK, SLA

broker = KafkaBroker(os.environ["CQM_KAFKA"])
app = FastStream(broker)
client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(os.environ["CQM_MONGO"])
database = client["bench_tutorial"]
facts, hours = database["facts"], database["hours"]


@broker.subscriber(FEEDBACK.name, group_id="tutorial-analytics", auto_offset_reset="earliest")
async def on_feedback(body: dict[str, Any]) -> None:
    product, customer, rating = body.get("product", {}), body.get("customer", {}), body.get("rating") or {}
    values = body | {f"product_{name}": value for name, value in product.items()} | customer
    counters = {"n": 1}
    if rating.get("metric") == "nps":
        counters |= {
            "nps": 1,
            "promoters": int(rating["score"] >= 9),
            "detractors": int(rating["score"] <= 6),
        }
    await count("feedback", body["id"], body["occurred_at"], values, EVERYTHING, counters)


@broker.subscriber(ACTIVITY.name, group_id="tutorial-analytics", auto_offset_reset="earliest")
async def on_activity(body: dict[str, Any]) -> None:
    await count("activity", body["id"], body["occurred_at"], body, ("kind", "source"), {"n": 1})


@broker.subscriber(CASES.name, group_id="tutorial-analytics", auto_offset_reset="earliest")
async def on_case(body: dict[str, Any]) -> None:
    case = body["case"]
    counters = {"opened": int(case["version"] == 1), "changes": 1}
    await count("cases", body["id"], case["opened_at"], case, EVERYTHING, counters)


@broker.subscriber(SLA.name, group_id="tutorial-analytics", auto_offset_reset="earliest")
async def on_target(body: dict[str, Any]) -> None:
    at, counters = body.get("finished_at") or body["at"], {"met": int(body.get("verdict") == "met"), "n": 1}
    await count("targets", body["id"], at, body.get("labels", {}), EVERYTHING, counters)


async def count(
    kind: str, identity: str, at: str, values: dict[str, Any], dimensions: Any, counters: dict[str, int]
) -> None:
    """The fact, and its hour's counters by every dimension."""
    if await facts.find_one({"_id": identity}):
        return
    await facts.insert_one({"_id": identity, "kind": kind, "at": datetime.fromisoformat(at), **values})
    moved = {
        f"{name}.{str(values.get(name) or '-').replace('.', '_').replace('$', '_')}.{counter}": amount
        for name in dimensions
        for counter, amount in counters.items()
    }
    hour = datetime.fromisoformat(at).replace(minute=0, second=0, microsecond=0)
    await hours.update_one({"_id": f"{kind}/{hour.isoformat()}"}, {"$inc": moved}, upsert=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())
