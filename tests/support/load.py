"""Load for fault runs: feedback and actions, with a journal of what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import httpx

from shared import ids
from shared.codec import Outgoing, encode
from shared.errors import Unavailable
from shared.events import Customer, FeedbackReceived, Rating
from shared.publish import Publisher
from tests.support.faults import Cluster

EVERY = 0.1
WORDS = (
    "the box was crushed", "never arrived", "missing parcel", "wrong item", "it stopped working", "rude",
    "refund please", "password", "loud music", "blocked driveway", "water leak", "no heat",
)  # fmt: skip
HARM = (("critical", "high"), ("high", "medium"), *[("medium", "medium"), ("low", "low")] * 5)
ACTIONS: tuple[dict[str, Any], ...] = (
    {"action": "acknowledge"},
    {"action": "reply", "text": "we look into it"},
    {"action": "resolve", "text": "sent again", "cause_code": "carrier"},
)


@dataclass
class Load:
    """Feedback at a rate, open loop; the same (run, number) is the same feedback.

    `acknowledged`: Kafka said yes. `sent`: those, and what got no answer and may be stored all the same.
    """

    cluster: Cluster
    publisher: Publisher
    rate: int
    sent: set[UUID] = field(default_factory=set)
    acknowledged: set[UUID] = field(default_factory=set)
    answered: set[tuple[UUID, int]] = field(default_factory=set)
    unknown_actions: int = 0
    outages: int = 0
    _records: list[Outgoing] = field(default_factory=list)
    _next: int = 0
    _unanswered: list[int] = field(default_factory=list)
    _random: Random = field(default_factory=lambda: Random(7))

    async def feed(self) -> None:
        """Until cancelled: new feedback at the rate, some of it again, and what was not acknowledged."""
        clock = asyncio.get_running_loop()
        due = clock.time()
        while True:
            new = range(self._next, self._next + max(1, round(self.rate * EVERY)))
            self._next = new.stop
            again = self._random.sample(range(self._next), max(1, len(new) // 8))
            await self._send([*self._unanswered, *new, *again])
            due += EVERY
            await asyncio.sleep(max(0.0, due - clock.time()))

    async def answer_all(self) -> None:
        """What was left without an answer once more, as a client has to."""
        while self._unanswered:
            await self._send(self._unanswered)

    async def act(self) -> None:
        """Until cancelled: people acknowledge, answer and resolve cases."""
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as http:
            while True:
                try:
                    await self._act_once(http)
                except httpx.TransportError:
                    self.unknown_actions += 1
                await asyncio.sleep(EVERY)

    async def _act_once(self, http: httpx.AsyncClient) -> None:
        replica = self._random.choice(self.cluster.of("routing"))
        status = self._random.choice(("new", "assigned", "acknowledged", "in_progress"))
        answer = await http.get(f"{replica.url}/v1/cases", params={"status": status, "limit": 50})
        if answer.status_code != 200 or not (cases := answer.json()["items"]):
            return
        case, action = self._random.choice(cases), self._random.choice(ACTIONS)
        answer = await http.post(f"{replica.url}/v1/cases/{case['id']}/actions", json=action)
        assert answer.status_code in (200, 409, 503), answer.text
        if answer.status_code == 200:
            self.answered.add((UUID(case["id"]), answer.json()["version"]))

    async def _send(self, numbers: list[int]) -> None:
        """A repetition is the same record again, byte for byte."""
        for number in range(len(self._records), max(numbers) + 1):
            self._records.append(record(self.cluster.prefix, number))
        identities = {identity_of(self.cluster.prefix, number) for number in numbers}
        self.sent |= identities
        self._unanswered = list(dict.fromkeys(numbers))
        try:
            await self.publisher.publish([self._records[number] for number in numbers])
        except Unavailable:
            self.outages += 1
        else:
            self.acknowledged |= identities
            self._unanswered = []


@asynccontextmanager
async def under_load(cluster: Cluster, rate: int) -> AsyncIterator[Load]:
    """Load for the length of a block; at its end everything sent has an answer."""
    async with Publisher(cluster.kafka, client_id="load") as publisher:
        load = Load(cluster, publisher, rate)
        tasks = [asyncio.create_task(work) for work in (load.feed(), load.act())]
        try:
            yield load
            for task in tasks:
                if task.done():
                    task.result()  # a failed one says why
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await load.answer_all()


def identity_of(run: str, number: int) -> UUID:
    return ids.signal_id("feedback", run, str(number))


def record(run: str, number: int) -> Outgoing:
    """Feedback `number` of the run as intake says it; four of ten open or join a case."""
    now = datetime.now(UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    actionable = number % 10 < 4
    severity, urgency = HARM[number // 10 % len(HARM)]
    customer = Customer(id=f"{run}-{number % 151}" if number % 7 else "")
    event = FeedbackReceived(
        id=identity_of(run, number),
        source=run,
        external_id=str(number),
        kind="complaint" if actionable else "praise" if number % 2 else "survey",
        channel=("web", "email", "phone", "api")[number % 4],
        occurred_at=now,
        received_at=now,
        language="en",
        text=f"{WORDS[number % len(WORDS)]}, number {number}",
        customer=customer,
        severity=severity if actionable else "",
        urgency=urgency if actionable else "",
        rating=None if actionable else Rating(metric="nps", score=7 + number % 4, scale_min=0, scale_max=10),
        fingerprint=str(number),
    )
    key = customer.id.encode() or event.id.bytes
    return encode(event, key=key, source="intake", at=now)
