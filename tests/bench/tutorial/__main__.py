"""One message, one handler, one find, one insert, one publish: `python -m tests.bench.tutorial`.

It decides by the same policy as routing, and does less: nobody is assigned, no history kept, no transaction
guards it against a crash. Everything else is as the guides of FastStream and Motor have it.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker
from motor.motor_asyncio import AsyncIOMotorClient

from shared.events import FeedbackReceived
from shared.policy import judge, load_policy, opens, read
from shared.topics import FEEDBACK
from tests.bench.raw import SCRAP

broker = KafkaBroker(os.environ["CQM_KAFKA"])
app = FastStream(broker)
client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(os.environ["CQM_MONGO"])
cases = client["bench_tutorial"]["cases"]
policy = load_policy(Path(os.environ["CQM_POLICY"]))


@broker.subscriber(FEEDBACK.name, group_id="tutorial", auto_offset_reset="earliest")
async def on_feedback(body: dict[str, Any]) -> None:
    if await cases.find_one({"_id": body["id"]}):
        return
    feedback = msgspec.convert(body, FeedbackReceived)
    reading = read(feedback, policy)
    if not opens(reading, policy):
        await cases.insert_one({"_id": body["id"], "state": "recorded"})
        return
    judgement = judge(feedback, reading, policy)
    case = {
        "_id": body["id"],
        "state": "case",
        "category": reading.category,
        "department": judgement.department,
        "priority": judgement.priority,
        "customer": body.get("customer", {}),
        "opened_at": feedback.occurred_at,
    }
    await cases.insert_one(case)
    await broker.publish(case, SCRAP.name, key=body["id"].encode())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())
