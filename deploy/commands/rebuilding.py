"""A second generation of figures: a process that counts the log anew, watched, then switched to.

Nothing here counts: that is analytics itself, started on the other generation. What is done here is to look
how far it is, whether the log still holds everything, whether its figures are those that are served, and
to say in one document which generation is live.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.commands.addresses import Addresses, find
from deploy.commands.checkup import Surroundings, needed
from deploy.commands.doctor import surroundings
from deploy.commands.rebuild_compare import compare
from deploy.commands.rebuild_log import Log, following, lost
from deploy.commands.terminal import Failure, err, note
from deploy.local.folder import DataFolder
from deploy.local.plan import Plan, service_env
from deploy.local.ports import PortBook
from deploy.local.service import Service
from shared.errors import Unavailable
from shared.generations import Generations
from shared.mongo import Mongo, driver_errors

NAME = "analytics-rebuild"
LOOK_SECONDS = 0.5
TAKEN_OVER_SECONDS = 30.0


class Consent(NamedTuple):
    """What the caller has agreed to."""

    loss: bool
    difference: bool


@dataclass(frozen=True)
class Rebuilt:
    """`differing` names KPIs with their totals, served and rebuilt; `compared` says it in words."""

    number: int
    switched: bool
    compared: str
    differing: list[tuple[str, str, str]]


async def rebuilt(
    data_dir: Path | None, kafka: str | None, mongo: str | None, consent: Consent, *, restart: bool
) -> Rebuilt:
    """Build, compare, switch. Raises Failure where the log no longer holds what was counted."""
    around = surroundings(data_dir, kafka, mongo, None)
    async with _opened(around) as (generations, log):
        await _check_log(generations, log, around.database_prefix, consent)
        if restart:
            await generations.give_up()
        begun = (await generations.state()).building
        number = await generations.begin()
        note(f"generation {number}: " + ("goes on where it was" if begun else "begins"))
        service = _service(around, number)
        await service.spawn()
        try:
            await service.until_ready(service.start_seconds)
            building = Rebuilding(generations, log, around, number, service)
            await _caught_up(building)
            await _check_log(generations, log, around.database_prefix, consent)
            compared, differing = await compare(_live(data_dir, around), service.url)
            if differing and not consent.difference:
                return Rebuilt(number, False, compared, differing)
            before = await building.epochs()
            if not await generations.switch(number):
                raise Failure(
                    "somebody else has switched or given up what was built", "cqm rebuild analytics"
                )
            await _taken_over(building, before)
            return Rebuilt(number, True, compared, differing)
        finally:
            await service.child.stop(service.grace_seconds)


async def drop(data_dir: Path | None, kafka: str | None, mongo: str | None) -> list[int]:
    """Delete the generations that were live before; which."""
    around = surroundings(data_dir, kafka, mongo, None)
    client = Mongo(needed(around.mongo, "MongoDB"))
    try:
        return await Generations(client, around.database_prefix).drop_kept()
    finally:
        client.close()


@dataclass(frozen=True)
class Rebuilding:
    """The generation that is being built."""

    generations: Generations
    log: Log
    around: Surroundings
    number: int
    service: Service

    async def done(self) -> tuple[int, int]:
        """Records that are counted, and records that there are."""
        begins, ends = await self.log.extents()
        upto = await following(self.generations, self.around.database_prefix, self.number)
        counted = sum(max(0, min(upto.get(one, begins[one]), ends[one]) - begins[one]) for one in ends)
        return counted, sum(ends[one] - begins[one] for one in ends)

    async def epochs(self) -> dict[str, int]:
        """How often each partition was claimed in this generation."""
        with driver_errors():
            fences = await self.generations.database(self.number).offsets.find({}, {"epoch": 1}).to_list(None)
        return {fence["_id"]: fence["epoch"] for fence in fences}


async def _check_log(generations: Generations, log: Log, prefix: str, consent: Consent) -> None:
    """What the log does not hold any more would be missing; said before anything is switched."""
    gone = await lost(generations, log, prefix)
    for text in gone:
        note(f"  {text}", "red")
    if gone and not consent.loss:
        raise Failure(
            "the log no longer holds everything that was counted: figures of it would be gone",
            "keep the figures that are live; or `--accept-loss`",
        )
    if gone:
        note("figures of what the log no longer holds will be gone, as --accept-loss says", "red")


async def _caught_up(building: Rebuilding) -> None:
    """Returns when everything is counted that the log held at one moment. Raises Failure when it dies."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} events"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("counting the log", total=1)
        told = -1
        while True:
            if not building.service.child.running:
                tail = building.service.child.log_tail()
                raise Failure(f"the process that counts has ended:\n{tail}", "cqm rebuild analytics")
            counted, total = await building.done()
            bar.update(task, completed=counted, total=max(1, total))
            if not err.is_terminal and (tenth := 10 * counted // max(1, total)) > told:
                told = tenth
                note(f"  {counted:,} of {total:,} events")
            if counted >= total:
                return
            await asyncio.sleep(LOOK_SECONDS)  # the pace of looking


async def _taken_over(building: Rebuilding, before: Mapping[str, int]) -> None:
    """Until the live service has claimed all partitions; so long this process counts on for it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TAKEN_OVER_SECONDS
    while loop.time() < deadline:
        now = await building.epochs()
        if all(now.get(fence, 0) > epoch for fence, epoch in before.items()):
            return
        await asyncio.sleep(LOOK_SECONDS)  # the pace of looking
    note("no service of analytics has taken it over yet: it goes on there when one runs", "yellow")


def _live(data_dir: Path | None, around: Surroundings) -> Addresses | None:
    """The service whose figures are served now; never that of another system."""
    named = any(name.startswith("CQM_URL") for name in os.environ)
    return find(data_dir) if around.running else find(None) if named else None


def _service(around: Surroundings, number: int) -> Service:
    folder = DataFolder(around.data_dir).create()
    port = PortBook(folder.ports_file).claim(NAME)
    kafka, mongo = needed(around.kafka, "Kafka"), needed(around.mongo, "MongoDB")
    plan = Plan(data_dir=str(folder.root), kafka=kafka if around.security else None)
    env = service_env(plan, kafka, mongo, port, os.environ) | {
        "CQM_GENERATION": str(number), "CQM_DATABASE_PREFIX": around.database_prefix, "CQM_RATE": "off",
    }  # fmt: skip
    return Service(NAME, port, ["nice", "-n", "10", sys.executable, "-m", "services.analytics"], env, folder)


@asynccontextmanager
async def _opened(around: Surroundings) -> AsyncIterator[tuple[Generations, Log]]:
    client = Mongo(needed(around.mongo, "MongoDB"))
    consumer = AIOKafkaConsumer(bootstrap_servers=needed(around.kafka, "Kafka"), **around.security)
    try:
        await client.ping()
        await consumer.start()
        yield Generations(client, around.database_prefix), Log(consumer)
    except KafkaError as error:
        raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await consumer.stop()
        client.close()
