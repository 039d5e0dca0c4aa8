"""The clocks of cases the tutorial way: `python -m tests.bench.tutorial.sla`.

One message, one handler, one find, one write. It promises by the same policy as sla, step by step with the
same calendar, and does less: no transaction guards it, replies and pauses are not looked at.
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

from services.sla.domain.promise import TARGETS, Promises
from shared.events import CaseChanged
from shared.policy import load_policy
from shared.topics import CASES

broker = KafkaBroker(os.environ["CQM_KAFKA"])
app = FastStream(broker)
client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(os.environ["CQM_MONGO"])
clocks = client["bench_tutorial"]["clocks"]
promises = Promises(load_policy(Path(os.environ["CQM_POLICY"])))


@app.after_startup
async def indexes() -> None:
    await clocks.create_index([("next_at", 1)])
    await clocks.create_index([("department", 1), ("priority", 1), ("due_at", 1)])


@broker.subscriber(CASES.name, group_id="tutorial-sla", auto_offset_reset="earliest")
async def on_case_changed(body: dict[str, Any]) -> None:
    case = msgspec.convert(body, CaseChanged).case
    known = await clocks.find_one({"_id": str(case.id)})
    if known and known["case_version"] >= case.version:
        return
    promised, targets = promises.to(case), {}
    for target in TARGETS:
        promise = promised.target(target, case.priority, case.department)
        if promise is None:
            continue
        hours = promises.hours(promise.calendar)
        targets[target] = {
            "started_at": case.opened_at,
            "due_at": hours.due(case.opened_at, promise.seconds),
            "steps": [
                {"action": step.action, "at": hours.due(case.opened_at, step.seconds)}
                for step in promise.steps
            ],
        }
    moments = [
        moment for one in targets.values() for moment in (one["due_at"], *(s["at"] for s in one["steps"]))
    ]
    clock = {
        "_id": str(case.id), "case_version": case.version, "status": case.status, "priority": case.priority,
        "department": case.department, "owner": case.owner, "category": case.category, "targets": targets,
        "next_at": min(moments, default=None),
        "due_at": min((one["due_at"] for one in targets.values()), default=None),
    }  # fmt: skip
    if known:
        await clocks.replace_one({"_id": clock["_id"]}, clock)
    else:
        await clocks.insert_one(clock)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())
