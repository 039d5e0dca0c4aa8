"""Each consuming service alone: it drains what the one before it has said; right after it, its limit.

One after the other on the same servers, so every stage gets the real events of the stage before.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass

from shared.topics import ACTIVITY, ASSIGNMENTS, CASES, FEEDBACK, SLA, Topic
from tests.bench import raw, workload
from tests.bench.laboratory import GENERATOR, Laboratory
from tests.bench.measure import Measured, until_settled
from tests.bench.posting import Poster
from tests.bench.tutorial import measure as tutorial

LINES = 500
RUN = "stages"


@dataclass(frozen=True, slots=True)
class Stage:
    """A service; an `item` is a record of one of `counted`, `says` and `collections` are what it makes."""

    name: str
    item: str
    reads: tuple[Topic, ...]
    counted: tuple[Topic, ...]
    says: tuple[Topic, ...] = ()
    collections: tuple[str, ...] = ()


INTAKE = Stage("intake", "feedback", (), ())
CONSUMING = (
    Stage(
        "routing",
        "feedback",
        (FEEDBACK, ASSIGNMENTS, SLA),
        (FEEDBACK,),
        (CASES, ASSIGNMENTS),
        ("feedback", "cases", "case_history"),
    ),
    Stage("sla", "case event", (CASES,), (CASES,), (SLA,), ("clocks", "dues", "escalations")),
    Stage(
        "analytics",
        "event",
        (FEEDBACK, ACTIVITY, CASES, SLA),
        (FEEDBACK, ACTIVITY, CASES, SLA),
        (),
        ("feedback_facts", "activity_facts", "case_facts", "target_facts", "joint_facts"),
    ),
)
STAGES = (INTAKE, *CONSUMING)


@dataclass(frozen=True, slots=True)
class Finding:
    """A stage beside its limit, and beside the tutorial way where there is one. CPU shares of a raw stage
    have the same names."""

    stage: Stage
    real: Measured
    raw: Measured
    naive: Measured | None = None


async def measure(lab: Laboratory, count: int, last: str) -> AsyncIterator[Finding]:
    """The stages in order up to `last`, `count` feedback each, as they are done."""
    await raw.make_scrap_topic(lab)
    await _feed(lab, workload.bodies(count, LINES, run=RUN))
    for stage in CONSUMING:
        yield await _consuming(lab, stage)
        if stage.name == last:
            return


async def _feed(lab: Laboratory, bodies: list[bytes]) -> None:
    """Through intake, whose own figures are those of doors.py."""
    service = await lab.start(INTAKE.name)
    await service.until_ready(service.start_seconds)
    async with Poster(service.url) as poster:
        await poster.flood(bodies)
    await lab.stop(INTAKE.name)


async def _consuming(lab: Laboratory, stage: Stage) -> Finding:
    await lab.start(stage.name)
    names = {topic.name for topic in stage.counted}
    first, last = await until_settled(lab, {stage.name: stage.reads}, counted=names)
    await lab.stop(stage.name)
    items = [sum(n for (_, topic), n in sample.done.items() if topic in names) for sample in (first, last)]
    real = Measured.between(first, last, items[1] - items[0])
    real.cpu_us.pop(GENERATOR)
    work = await raw.collect(lab, stage.name, stage.counted, stage.says, stage.collections)
    gc.freeze()  # the documents are ballast that a service would not have
    limit = await raw.replay(lab, stage.name, work)
    gc.unfreeze()
    naive = await tutorial.measure(lab, stage.name) if stage.name in tutorial.MODULES else None
    return Finding(stage, real, limit, naive)
