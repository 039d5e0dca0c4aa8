"""How fast the tutorial way takes what a stage has taken before it: feedback, case events, all events."""

from __future__ import annotations

import asyncio
import sys
import time

from tests.bench.laboratory import GENERATOR, Laboratory
from tests.bench.measure import DEADLINE_SECONDS, Measured, Sample

NAME = "tutorial"
MODULES = {
    "routing": "tests.bench.tutorial",
    "sla": "tests.bench.tutorial.sla",
    "analytics": "tests.bench.tutorial.analytics",
}
WARM, MOST, SECONDS = 100, 4000, 15.0
"""It is measured from its hundredth item, for so many or so long."""
LOOK_EVERY = 0.1


async def measure(lab: Laboratory, stage: str) -> Measured:
    """Its rate and its CPU time per item, beside the same servers."""
    await lab.start(NAME, (sys.executable, "-m", MODULES[stage]))
    (begun, first), deadline = await _look(lab, stage), time.perf_counter() + DEADLINE_SECONDS
    while begun < WARM:
        if time.perf_counter() > deadline:
            raise RuntimeError("the tutorial way has not begun")
        await asyncio.sleep(LOOK_EVERY)
        begun, first = await _look(lab, stage)
    done, last = begun, first
    while done - begun < MOST and last.at - first.at < SECONDS:
        await asyncio.sleep(LOOK_EVERY)
        done, last = await _look(lab, stage)
    await lab.stop(NAME)
    measured = Measured.between(first, last, done - begun)
    measured.cpu_us.pop(GENERATOR)
    return measured


async def _look(lab: Laboratory, stage: str) -> tuple[int, Sample]:
    lab.check()
    done = await _DONE[stage](lab)
    return done, Sample(time.perf_counter(), {}, {}, lab.cpu_seconds())


async def _feedback(lab: Laboratory) -> int:
    """One document for each."""
    count: int = await lab.database(NAME).cases.estimated_document_count()
    return count


async def _case_events(lab: Laboratory) -> int:
    """A clock at version n has seen n of them."""
    every = [{"$group": {"_id": None, "events": {"$sum": "$case_version"}}}]
    found = await lab.database(NAME).clocks.aggregate(every).to_list(1)
    return int(found[0]["events"]) if found else 0


async def _events(lab: Laboratory) -> int:
    """One fact for each."""
    count: int = await lab.database(NAME).facts.estimated_document_count()
    return count


_DONE = {"routing": _feedback, "sla": _case_events, "analytics": _events}
