"""Load for fault runs: a client of intake and of routing with a journal, and a foreign producer of poison."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import httpx
import msgspec

from shared import ids
from shared.codec import Outgoing
from shared.errors import Unavailable
from shared.publish import Publisher
from shared.topics import FEEDBACK
from tests.support.faults import Cluster
from tests.support.journal import Journal

EVERY = 0.1
POISON_EVERY = 20
"""Of so many rounds one is followed by a record that nobody can read."""
REFUSED_EVERY = 5
"""Of so many rounds one has a signal that intake has to refuse."""
LARGEST_BATCH = 1000
ANSWER_SECONDS = 3.0
NDJSON = {"content-type": "application/x-ndjson"}
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
    """Feedback at a rate; the same (run, number) is the same feedback, however often it is sent.

    `journal` is what the client knows of them; `poison` the keys of records that have to become dead letters;
    `answered` the (case, version) of actions that routing said yes to.
    """

    cluster: Cluster
    publisher: Publisher
    journal: Journal
    rate: int
    random: Random
    poison: set[bytes] = field(default_factory=set)
    answered: set[tuple[UUID, int]] = field(default_factory=set)
    unknown_actions: int = 0
    outages: int = 0
    _bodies: list[bytes] = field(default_factory=list)
    _next: int = 0
    _unanswered: list[int] = field(default_factory=list)

    async def feed(self) -> None:
        """Until cancelled: new feedback at the rate, some of it again, and what was not acknowledged."""
        clock = asyncio.get_running_loop()
        due, rounds = clock.time(), 0
        async with self._client() as http:
            while True:
                await self._round(http, rounds)
                rounds += 1
                due += EVERY
                await asyncio.sleep(max(0.0, due - clock.time()))

    async def answer_all(self) -> None:
        """What was left without an answer once more, as a client has to."""
        async with self._client() as http:
            while self._unanswered:
                await self._send(http, self._unanswered[:LARGEST_BATCH])

    async def act(self) -> None:
        """Until cancelled: people acknowledge, answer and resolve cases."""
        async with self._client() as http:
            while True:
                try:
                    await self._act_once(http)
                except httpx.TransportError:
                    self.unknown_actions += 1
                await asyncio.sleep(EVERY)

    @staticmethod
    def _client() -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS)

    async def _round(self, http: httpx.AsyncClient, number: int) -> None:
        new = range(self._next, self._next + max(1, round(self.rate * EVERY)))
        self._next = new.stop
        again = self.random.sample(range(self._next), max(1, len(new) // 8))
        self._unanswered = list(dict.fromkeys([*self._unanswered, *new, *again]))
        await self._send(http, self._unanswered[:LARGEST_BATCH])
        if number % REFUSED_EVERY == 0:
            await self._send_refused(http, number)
        if number % POISON_EVERY == 0:
            await self._send_poison(number)

    async def _send(self, http: httpx.AsyncClient, numbers: Sequence[int]) -> None:
        """No answer, or one that says to come again, leaves them to the next round."""
        for number in range(len(self._bodies), max(numbers) + 1):
            self._bodies.append(msgspec.json.encode(item(self.cluster.prefix, number)))
        identities = [identity_of(self.cluster.prefix, number) for number in numbers]
        self.journal.note("sent", identities)
        answer = await self._post(http, b"\n".join(self._bodies[number] for number in numbers))
        if answer is None or answer.status_code != 202:
            self.journal.note("unknown", identities)
            return
        self.journal.note("ok", identities)
        settled = set(numbers)
        self._unanswered = [number for number in self._unanswered if number not in settled]

    async def _send_refused(self, http: httpx.AsyncClient, number: int) -> None:
        """A score off its scale: whatever happens, it may not be stored."""
        wrong = item(self.cluster.prefix, number) | {"external_id": f"wrong-{number}"}
        wrong["rating"] = {"metric": "nps", "score": 11, "scale_min": 0, "scale_max": 10}
        answer = await self._post(http, msgspec.json.encode(wrong))
        assert answer is None or answer.status_code in (207, 503), answer.text
        self.journal.note("refused", [ids.signal_id("feedback", self.cluster.prefix, f"wrong-{number}")])

    async def _post(self, http: httpx.AsyncClient, body: bytes) -> httpx.Response | None:
        """None without an answer. Answers other than promised end the run."""
        replica = self.random.choice(self.cluster.of("intake"))
        try:
            answer = await http.post(f"{replica.url}/v1/feedback/batch", content=body, headers=NDJSON)
        except httpx.TransportError:
            self.outages += 1
            return None
        assert answer.status_code in (202, 207, 429, 503), answer.text
        self.outages += answer.status_code in (429, 503)
        return answer

    async def _send_poison(self, number: int) -> None:
        """Past intake, as a foreign producer would. One that got no answer is not expected anywhere."""
        key = f"{self.cluster.prefix}-poison-{number}".encode()
        try:
            await self.publisher.publish([Outgoing(FEEDBACK.name, key, b"{not json", [])])
        except Unavailable:
            self.outages += 1
        else:
            self.poison.add(key)

    async def _act_once(self, http: httpx.AsyncClient) -> None:
        replica = self.random.choice(self.cluster.of("routing"))
        status = self.random.choice(("new", "assigned", "acknowledged", "in_progress"))
        answer = await http.get(f"{replica.url}/v1/cases", params={"status": status, "limit": 50})
        if answer.status_code != 200 or not (cases := answer.json()["items"]):
            return
        case, action = self.random.choice(cases), self.random.choice(ACTIONS)
        answer = await http.post(f"{replica.url}/v1/cases/{case['id']}/actions", json=action)
        assert answer.status_code in (200, 409, 503), answer.text
        if answer.status_code == 200:
            self.answered.add((UUID(case["id"]), answer.json()["version"]))


@asynccontextmanager
async def under_load(cluster: Cluster, rate: int, seed: int = 7) -> AsyncIterator[Load]:
    """Load for the length of a block; at its end everything sent has an answer."""
    journal = Journal(cluster.folder / "journal")
    async with Publisher(cluster.kafka, client_id="load") as publisher:
        load = Load(cluster, publisher, journal, rate, Random(seed))
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
    journal.close()


def identity_of(run: str, number: int) -> UUID:
    """The id that intake gives to feedback `number` of a run."""
    return ids.signal_id("feedback", run, str(number))


def item(run: str, number: int) -> dict[str, Any]:
    """Feedback `number` of the run as a client sends it; four of ten open or join a case."""
    actionable = number % 10 < 4
    severity, urgency = HARM[number // 10 % len(HARM)]
    sent: dict[str, Any] = {
        "source": run,
        "external_id": str(number),
        "kind": "complaint" if actionable else "praise" if number % 2 else "survey",
        "channel": ("web", "email", "phone", "api")[number % 4],
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "language": "en",
        "text": f"{WORDS[number % len(WORDS)]}, number {number}",
    }
    if number % 7:
        sent["customer"] = {"id": f"{run}-{number % 151}"}
    if actionable:
        return sent | {"severity": severity, "urgency": urgency}
    rating = {"metric": "nps", "score": 7 + number % 4, "scale_min": 0, "scale_max": 10}
    return sent | {"rating": rating}
