"""The afternoon of a department over HTTP, on a real Kafka and MongoDB, with several people at work at once.

What came about is told again from the histories, version by version, by tests/support/afternoon.py: the
model refuses what may not be, and what it ends with is what the API answers.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.routing.app import build
from services.routing.settings import RoutingSettings
from shared import ids
from shared.codec import decode, encode
from shared.events import CaseChanged, Customer, FeedbackReceived
from shared.topics import CASES
from tests.support.afternoon import ENDED, LEGAL, Afternoon
from tests.support.apps import Running, running_app
from tests.support.office import CATEGORIES, CROWD, SEVERITIES, URGENCIES, WEIGHT, document_of
from tests.support.reading import read_topic
from tests.support.retelling import retell
from tests.support.servers import Servers
from tests.support.spine import eventually

FEEDBACKS, BATCH, ACTORS, MOVES = 200, 25, 6, 60
PEOPLE = sorted(CROWD["people"])
LIKELY = {
    "acknowledge": 6, "start": 6, "reply": 4, "hold": 5, "resume": 6, "transfer": 2, "resolve": 7, "merge": 2,
    "reopen": 6, "customer_message": 4, "cancel": 2, "close": 3, "assign": 2, "prioritise": 2, "note": 1,
}  # fmt: skip
MEET = {409, 412, 422}
"""What somebody is told who comes too late, or asks for what cannot be."""


@pytest.fixture
async def routing(servers: Servers, prefix: str, tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "policy.yaml").write_text(document_of(CROWD, f"attributes.run == '{prefix}'"))
    settings = RoutingSettings(
        kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text", policy=tmp_path,
        sweep_every=0.2,
    )  # fmt: skip
    async with running_app(build(settings)) as running:
        yield running


class Office:
    """Those who speak and those who act, by a seed. `said` is what was sent, `answers` what came back; `open`
    from the first cases on."""

    def __init__(self, routing: Running, seed: int) -> None:
        self.routing, self.seed = routing, seed
        self.said: dict[UUID, FeedbackReceived] = {}
        self.answers: Counter[tuple[str, int]] = Counter()
        self.done = 0
        self.open = asyncio.Event()

    async def customers(self) -> None:
        """Two hundred complaints of sixty people about few matters, some of them twice."""
        dice = random.Random(self.seed)
        for start in range(0, FEEDBACKS, BATCH):
            batch = [self._complaint(dice, number) for number in range(start, start + BATCH)]
            again = dice.sample(batch, 3)
            records = [
                encode(one, key=one.customer.id.encode(), source="intake", at=one.received_at)
                for one in (*batch, *again)
            ]
            await self.routing.service.publisher.publish(records)
            await eventually(lambda batch=batch: self._heard(batch), what="the batch is routed")
            self.open.set()

    def _complaint(self, dice: random.Random, number: int) -> FeedbackReceived:
        now = datetime.now(UTC).replace(microsecond=0)
        run = self.routing.service.settings.database_prefix
        gold = dice.random() < 0.2
        one = FeedbackReceived(
            id=ids.signal_id("feedback", run, str(number)), source=run, external_id=str(number),
            kind="complaint", occurred_at=now - timedelta(minutes=dice.randrange(60)), received_at=now,
            language=dice.choice(["zh", "en", "other"]), category=dice.choice(CATEGORIES),
            severity=dice.choice(SEVERITIES), urgency=dice.choice(URGENCIES), attributes={"run": run},
            customer=Customer(id=f"{run}-{dice.randrange(60)}", tier="gold" if gold else ""),
        )  # fmt: skip
        self.said[one.id] = one
        return one

    async def _heard(self, batch: list[FeedbackReceived]) -> bool:
        answer = await self.routing.http.get(f"/v1/feedback/{batch[-1].id}")
        return answer.status_code == 200

    async def somebody(self, number: int) -> None:
        """One pair of hands: looks at the newest cases and does something that was legal when it looked."""
        dice = random.Random(f"{self.seed}/{number}")
        await self.open.wait()
        for _ in range(MOVES):
            cases = (await self.routing.http.get("/v1/cases", params={"limit": 40})).json()["items"]
            await self._do(dice, dice.choice(cases), dice.choice(cases))

    async def _do(self, dice: random.Random, case: Any, other: Any) -> None:
        names = [name for name in case["allowed_actions"] if name in LIKELY]
        if not names:
            return
        name = dice.choices(names, [LIKELY[one] for one in names])[0]
        body = {"action": name} | _body(dice, name, case, other)
        headers = {"X-Actor": dice.choice(PEOPLE)}
        if dice.random() < 0.3:
            headers["If-Match"] = f'"{case["version"]}"'
        clicks = 2 if dice.random() < 0.2 else 1
        if clicks == 2:
            headers["Idempotency-Key"] = str(dice.random())
        path = f"/v1/cases/{case['id']}/actions"
        posts = [self.routing.http.post(path, json=body, headers=headers) for _ in range(clicks)]
        statuses = [answer.status_code for answer in await asyncio.gather(*posts)]
        assert {200, *MEET} >= set(statuses), (body, statuses)
        self.answers.update((name, status) for status in statuses)
        self.done += 200 in statuses


def _body(dice: random.Random, name: str, case: Any, other: Any) -> dict[str, Any]:
    """What the action has to say, not always something that can be."""
    department = dice.choice(["goods", "bills", "help"])
    said: dict[str, dict[str, Any]] = {
        "reply": {"text": "x", "public": dice.random() < 0.7},
        "hold": {"for": dice.choice(["customer", "internal"]), "reason": "x"},
        "assign": {"owner": dice.choice(PEOPLE)},
        "transfer": {"department": department, "reason": "x"},
        "prioritise": {"severity": dice.choice(SEVERITIES), "reason": "x"},
        "resolve": {"text": "x", "cause_code": "carrier"},
        "merge": {"into": dice.choice([other["id"], other["reference"]])},
        "close": {"satisfied": dice.choice([None, True, False])},
    }  # fmt: skip
    texts = {"customer_message": "text", "note": "text", "reopen": "reason", "cancel": "reason"}
    return {texts[name]: "x"} if name in texts else said.get(name, {})


@pytest.mark.parametrize("seed", [20260302])
async def test_an_afternoon_with_many_hands_ends_as_the_model_says(
    routing: Running, servers: Servers, seed: int
) -> None:
    office = Office(routing, seed)
    await asyncio.gather(office.customers(), *(office.somebody(number) for number in range(ACTORS)))
    await eventually(lambda: settled(routing), what="everything that was asked is done")
    cases, histories = await all_cases(routing), await all_histories(routing)
    model = retell(CROWD, office.said, histories)
    assert {one["id"]: told(one) for one in cases} == {str(k): kept(v) for k, v in model.cases.items()}
    assert office.done == sum(
        line["actor"] in PEOPLE for lines in histories.values() for line in lines
    ) - merged(histories)
    assert {status for _, status in office.answers} >= {200, 409}
    assert await nobody_waits_in_vain(routing, model)
    await events_are_the_histories(servers, histories, {one["id"]: one for one in cases})
    assert (await routing.http.get("/v1/audit", params={"limit": 1000})).json()["flaws"] == []


def merged(histories: dict[str, Any]) -> int:
    """A merge is one action and a line in two histories."""
    return sum(line["type"] == "merged" for lines in histories.values() for line in lines)


async def all_cases(routing: Running) -> list[Any]:
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await routing.http.get("/v1/cases", params={"limit": 200, **cursor})).json()
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


async def all_histories(routing: Running) -> dict[str, Any]:
    ids_of = [one["id"] for one in await all_cases(routing)]
    pages = [await routing.http.get(f"/v1/cases/{one}/timeline") for one in ids_of]
    return {one: page.json()["items"] for one, page in zip(ids_of, pages, strict=True)}


async def loads(routing: Running) -> dict[str, int]:
    people = (await routing.http.get("/v1/people")).json()["items"]
    return {one["id"]: one["load"] for one in people if one["load"]}


async def settled(routing: Running) -> bool:
    """Whether the pools count what people own, and everything without an owner waits with somebody."""
    cases, counted = await all_cases(routing), Counter[str]()
    for one in cases:
        if one["owner"] and one["status"] not in ENDED:
            counted[one["owner"]] += WEIGHT[one["priority"]]
    held = all(one["owner"] or one["holder"] or one["status"] in ENDED for one in cases)
    return held and dict(counted) == await loads(routing)


async def nobody_waits_in_vain(routing: Running, model: Afternoon) -> bool:
    now = datetime.now(UTC)
    for one in model.cases.values():
        model.settle(one, one["department"])
    waiting = [one for one in model.cases.values() if not one["owner"] and one["status"] not in ENDED]
    return not any(model.best(one, one["department"], now) for one in waiting)


async def events_are_the_histories(servers: Servers, histories: Any, cases: Any) -> None:
    """Every version was said to everyone, the last one is the case."""
    said: dict[tuple[str, int], CaseChanged] = {}
    told: set[tuple[str, int, str]] = set()
    for record in await read_topic(servers.kafka, CASES.name):
        event, _ = decode(record.value, record.headers)
        if isinstance(event, CaseChanged) and str(event.case.id) in histories:
            known = said.setdefault((str(event.case.id), event.case.version), event)
            assert known == event, "a version was said in two ways"
            told |= {(str(event.case.id), version, change.type) for version, change in event.versions()}
    lines = [(one, line) for one, history in histories.items() for line in history]
    assert told == {(one, line["version"], line["type"]) for one, line in lines}
    for one, case in cases.items():
        last = said[one, case["version"]].case
        assert (last.status, last.owner, last.department) == (
            case["status"], case["owner"] or "", case["department"],
        )  # fmt: skip


def told(case: Any) -> dict[str, Any]:
    """A case as the API answers it."""
    names = (
        "version", "status", "department", "accountable", "severity", "urgency", "priority", "reopened",
        "satisfied", "cause_code", "merged_into", "feedback_ids",
    )  # fmt: skip
    times = ("assigned_at", "acknowledged_at", "first_reply_at", "resolved_at", "closed_at", "updated_at")
    plain = {name: case[name] for name in names} | {"owner": case["owner"] or ""}
    moments = {name: datetime.fromisoformat(case[name]) if case[name] else None for name in times}
    return plain | moments | {"allowed": set(case["allowed_actions"])}


def kept(one: dict[str, Any]) -> dict[str, Any]:
    """The same of the model."""
    names = ("version", "status", "department", "accountable", "severity", "urgency", "priority", "reopened")
    times = ("assigned", "acknowledged", "resolved", "closed", "updated")
    return (
        {name: one[name] for name in (*names, "satisfied", "owner")}
        | {f"{name}_at": one[name] for name in times}
        | {"first_reply_at": one["first_reply"], "cause_code": one["cause"]}
        | {"merged_into": str(one["merged_into"]) if one["merged_into"] else None}
        | {"feedback_ids": [str(evidence) for evidence in one["evidence"]], "allowed": LEGAL[one["status"]]}
    )
