"""How fast the tutorial way takes the feedback that routing has taken before."""

from __future__ import annotations

import asyncio
import sys
import time

from tests.bench.laboratory import GENERATOR, Laboratory
from tests.bench.measure import DEADLINE_SECONDS, Measured, Sample

NAME = "tutorial"
COMMAND = (sys.executable, "-m", "tests.bench.tutorial")
WARM, MOST, SECONDS = 100, 4000, 15.0
"""It is measured from its hundredth feedback, for so many or so long."""
LOOK_EVERY = 0.1


async def measure(lab: Laboratory) -> Measured:
    """Its rate and its CPU time per feedback, beside the same servers."""
    await lab.start(NAME, COMMAND)
    (begun, first), deadline = await _look(lab), time.perf_counter() + DEADLINE_SECONDS
    while begun < WARM:
        if time.perf_counter() > deadline:
            raise RuntimeError("the tutorial way has not begun")
        await asyncio.sleep(LOOK_EVERY)
        begun, first = await _look(lab)
    done, last = begun, first
    while done - begun < MOST and last.at - first.at < SECONDS:
        await asyncio.sleep(LOOK_EVERY)
        done, last = await _look(lab)
    await lab.stop(NAME)
    measured = Measured.between(first, last, done - begun)
    measured.cpu_us.pop(GENERATOR)
    return measured


async def _look(lab: Laboratory) -> tuple[int, Sample]:
    lab.check()
    done = await lab.database(NAME).cases.estimated_document_count()
    return done, Sample(time.perf_counter(), {}, {}, lab.cpu_seconds())
