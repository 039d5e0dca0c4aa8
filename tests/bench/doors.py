"""Intake's doors, each beside its limit: the same feedback over HTTP to the real service and to
raw_intake.py, which gets it as the real one publishes it (`as_published`).

Both run all the time, and take turns: what else the machine does meets both alike. The figure of each is the
median of its rounds.
"""

from __future__ import annotations

import os
import statistics
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.events import Personal, Words
from shared.sealing import AROUND
from tests.bench import raw, workload
from tests.bench.laboratory import GENERATOR, Laboratory
from tests.bench.measure import Measured
from tests.bench.posting import BATCH, Poster

REAL, RAW = "intake", "raw-intake"
RAW_COMMAND = (sys.executable, "-m", "tests.bench.raw_intake")
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Way:
    """A way in: `lines` feedback a request over `at_once` connections.

    `target` is the share of its limit that it shall reach, `part` its share of the count that a run is asked
    for: what takes longer gets less.
    """

    name: str
    path: str
    lines: int
    at_once: int
    target: float
    part: float


WAYS = (
    Way("NDJSON of 500 lines", BATCH, 500, 4, 0.5, 1.0),
    Way("one feedback a post", "/v1/feedback", 1, 32, 0.8, 0.2),
)


@dataclass(frozen=True, slots=True)
class Finding:
    way: Way
    real: Measured
    raw: Measured

    @property
    def share(self) -> float:
        return self.real.rate / self.raw.rate


async def measure(lab: Laboratory, count: int) -> AsyncIterator[Finding]:
    """Each way as it is done; `count` feedback a round."""
    await raw.make_scrap_topic(lab)
    services = [await lab.start(REAL), await lab.start(RAW, RAW_COMMAND)]
    for service in services:
        await service.until_ready(service.start_seconds)
    for way in WAYS:
        bodies = workload.bodies(int(count * way.part), way.lines, run="doors")
        said = {REAL: bodies, RAW: [as_published(body) for body in bodies]}
        rounds: dict[str, list[Measured]] = {REAL: [], RAW: []}
        for number in range(-1, ROUNDS):
            for service in services if number % 2 else reversed(services):
                measured = await _round(lab, service.name, service.url, way, said[service.name])
                if number >= 0:  # the one before is for warming up
                    rounds[service.name].append(measured)
        yield Finding(way, _median(rounds[REAL]), _median(rounds[RAW]))


def as_published(body: bytes) -> bytes:
    """The same lines, as large and as random as intake publishes them: what people say is sealed there, and
    sealed words do not compress."""
    return b"\n".join(_published(msgspec.json.decode(line)) for line in body.split(b"\n"))


def _published(said: dict[str, Any]) -> bytes:
    """The sealed words, in base64 as in the event, stand in the place of the text."""
    who = said["customer"]
    personal = Personal(name=who.pop("name"), phone=who.pop("phone"), email=who.pop("email"))
    words = msgspec.json.encode(Words(text=said["text"], personal=personal))
    return msgspec.json.encode(said | {"text": b64encode(os.urandom(len(words) + AROUND)).decode()})


async def _round(lab: Laboratory, name: str, url: str, way: Way, bodies: Sequence[bytes]) -> Measured:
    async with Poster(url, way.path, way.at_once) as poster:
        first = await poster.mark(lab)
        await poster.flood(bodies)
        measured = Measured.between(first, await poster.mark(lab), poster.accepted)
    cpu = {"service": measured.cpu_us[name], **{part: measured.cpu_us[part] for part in ("Kafka", GENERATOR)}}
    return Measured(measured.items, measured.seconds, cpu)


def _median(rounds: Sequence[Measured]) -> Measured:
    """Of the times and of each processor share by itself."""
    return Measured(
        rounds[0].items,
        statistics.median(one.seconds for one in rounds),
        {name: statistics.median(one.cpu_us[name] for one in rounds) for name in rounds[0].cpu_us},
    )
