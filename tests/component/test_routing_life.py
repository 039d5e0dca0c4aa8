"""The life of cases on a real Kafka and MongoDB: hands they pass through, and what time does with them.

Topics are shared with other tests, capacities here are small: each test's policy opens cases for its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.routing.app import build
from services.routing.audit import Audit
from services.routing.settings import RoutingSettings
from services.routing.store import AuditStore, entry_id
from shared.events import Customer, FeedbackReceived, Product
from shared.key_store import KeyStore
from shared.sealing import Seals
from tests.component.test_routing import act, case_of, complaint, send
from tests.support.apps import Running, running_app
from tests.support.servers import Servers
from tests.support.spine import eventually

SMALL = Path(__file__).parents[1] / "data" / "policy" / "small.yaml"
Started = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def started(servers: Servers, prefix: str, tmp_path: Path) -> Started:
    """Start routing with the small policy, lines of its `cases` replaced."""

    def start(**replaced: str) -> AbstractAsyncContextManager[Running]:
        lines = SMALL.read_text().splitlines()
        replaced["open_when"] = f"\"attributes.run == '{prefix}'\""
        for key, value in replaced.items():
            place = next(n for n, line in enumerate(lines) if line.startswith(f"  {key}: "))
            lines[place] = f"  {key}: {value}"
        (tmp_path / "policy.yaml").write_text("\n".join(lines))
        settings = RoutingSettings(
            kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text", policy=tmp_path,
            sweep_every=0.1,
        )  # fmt: skip
        return running_app(build(settings))

    return start


@pytest.fixture
async def routing(started: Started) -> AsyncIterator[Running]:
    async with started() as running:
        yield running


def spoken(routing: Running, **fields: Any) -> FeedbackReceived:
    return complaint(attributes={"run": routing.service.settings.database_prefix}, **fields)


async def opened(routing: Running, **fields: Any) -> tuple[FeedbackReceived, Any]:
    feedback = spoken(routing, **fields)
    await send(routing, feedback)
    return feedback, await case_of(routing, feedback)


async def done(routing: Running, case: Any, action: str, /, *, actor: str = "li", **said: Any) -> Any:
    answer = await act(routing, case, {"action": action, **said}, **{"X-Actor": actor})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def timeline(routing: Running, case: Any) -> list[Any]:
    items: list[Any] = (await routing.http.get(f"/v1/cases/{case['id']}/timeline")).json()["items"]
    return items


async def load_of(routing: Running, person: str) -> int:
    people = (await routing.http.get("/v1/people")).json()["items"]
    return int(next(one["load"] for one in people if one["id"] == person))


async def until_load(routing: Running, person: str, load: int) -> None:
    async def reached() -> bool:
        return await load_of(routing, person) == load

    await eventually(reached, what=f"{person} carries {load}")


async def test_a_transfer_finds_an_owner_there_frees_the_one_here_and_names_who_is_accountable(
    routing: Running,
) -> None:
    feedback, case = await opened(routing)
    await done(routing, case, "transfer", department="service", reason="a question of the bill")
    moved = await case_of(routing, feedback)
    assert (moved["department"], moved["owner"], moved["accountable"]) == ("service", "emma", "zhou")
    await until_load(routing, case["owner"], 0)
    await until_load(routing, "emma", 1)
    line = next(line for line in await timeline(routing, case) if line["type"] == "transferred")
    assert (line["data"]["accountable_from"], line["data"]["accountable_to"]) == ("wang", "zhou")


async def test_a_supervisor_gives_a_case_to_somebody_with_room_only(
    routing: Running,
) -> None:
    _, case = await opened(routing)
    other = "zhao" if case["owner"] == "chen" else "chen"
    given = await done(routing, case, "assign", owner=other)
    assert (given["owner"], given["holder"], given["status"]) == (other, other, "assigned")
    assert (await load_of(routing, other), await load_of(routing, case["owner"])) == (1, 0)
    for _ in range(3):
        await opened(routing)
    refused = await act(routing, given, {"action": "assign", "owner": case["owner"]})
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/owner"


async def test_room_that_a_hand_made_assignment_frees_is_given_to_who_waits(routing: Running) -> None:
    cases = [(await opened(routing))[1] for _ in range(4)]
    waiting = spoken(routing)
    await send(routing, waiting)

    async def queued() -> bool:
        return (await case_of(routing, waiting, status="new"))["holder"] == "li"

    await eventually(queued, what="held by the supervisor")
    await done(routing, cases[0], "transfer", department="service", reason="x")
    assert (await case_of(routing, waiting))["owner"] == cases[0]["owner"]


async def test_a_merge_moves_the_evidence_and_keeps_both_histories(routing: Running) -> None:
    first, one = await opened(routing)
    _, other = await opened(routing)
    gone = await done(routing, one, "merge", into=other["reference"])
    assert (gone["status"], gone["merged_into"], gone["allowed_actions"]) == ("merged", other["id"], [])
    survivor = (await routing.http.get(f"/v1/cases/{other['id']}")).json()
    assert str(first.id) in survivor["feedback_ids"] and survivor["owner"] == other["owner"]
    became = (await routing.http.get(f"/v1/feedback/{first.id}")).json()
    assert (became["state"], became["case_id"]) == ("joined", other["id"])
    assert [line["type"] for line in await timeline(routing, one)][-1] == "merged"
    assert [line["type"] for line in await timeline(routing, other)][-1] == "joined"
    await until_load(routing, one["owner"], 0 if one["owner"] != other["owner"] else 1)


async def test_a_reopened_case_goes_back_to_its_owner(routing: Running) -> None:
    feedback, case = await opened(routing)
    owner = case["owner"]
    await done(routing, case, "resolve", actor=owner, text="sent again", cause_code="carrier")
    await until_load(routing, owner, 0)
    await done(routing, case, "customer_message", text="it broke again")
    again = await case_of(routing, feedback)
    assert (again["owner"], again["reopened"], again["status"]) == (owner, 1, "assigned")
    await until_load(routing, owner, 1)


async def test_the_same_key_again_does_nothing_and_for_something_else_is_refused(
    routing: Running,
) -> None:
    _, case = await opened(routing)
    note, key = {"action": "note", "text": "called"}, {"Idempotency-Key": '"n-1"', "If-Match": '"2"'}
    first, second = await act(routing, case, note, **key), await act(routing, case, note, **key)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["version"] == second.json()["version"] == 3
    other = await act(routing, case, {"action": "note", "text": "another"}, **key)
    assert other.status_code == 422 and other.json()["errors"][0]["pointer"] == "Idempotency-Key"


async def test_a_key_is_its_callers_own(routing: Running) -> None:
    """Somebody else's key neither hides what one asks for nor tells that it was used."""
    _, case = await opened(routing)
    note, key = {"action": "note", "text": "called"}, {"Idempotency-Key": "1"}
    for version, actor in enumerate(("chen", "li", "chen", "li"), start=3):
        answer = await act(routing, case, note, **key, **{"X-Actor": actor})
        assert (answer.status_code, answer.json()["version"]) == (200, min(version, 4))


async def test_what_was_asked_with_a_key_cannot_be_tried_out_after_an_erasure(routing: Running) -> None:
    """The same words on the cases of two people look different, and are nobody's repetition any more."""
    service, kept = routing.service, []
    note, key = {"action": "note", "text": "called"}, {"Idempotency-Key": "1"}
    for customer in ("C-1", "C-2"):
        _, case = await opened(routing, customer=Customer(id=customer))
        assert (await act(routing, case, note, **key)).status_code == 200
        stored = await service.database.cases.find_one({"_id": UUID(case["id"])}) or {}
        kept.append(stored["books"]["keys"][0].partition(":"))
    assert kept[0][0] == kept[1][0] and kept[0][2] != kept[1][2]
    keys = KeyStore(service.mongo, service.settings.database_prefix, Seals())
    await keys.destroy(b"C-2", datetime.now(UTC))

    async def refused() -> Any:
        answer = await act(routing, case, note, **key)
        return answer.json() if answer.status_code == 422 else None

    assert "erased" in (await eventually(refused, what="the key is gone"))["errors"][0]["message"]
    assert (await routing.http.get(f"/v1/cases/{case['id']}")).json()["version"] == 3


async def test_one_of_the_versions_in_a_list_has_to_be_the_case_s(routing: Running) -> None:
    _, case = await opened(routing)
    note = {"action": "note", "text": "called"}
    for version, said in enumerate(('"1", "2"', 'W/"3" , "3"', "*", '"7",, "5"', "6"), start=3):
        answer = await act(routing, case, note, **{"If-Match": said})
        assert (answer.status_code, answer.json()["version"]) == (200, version)


async def test_of_two_who_act_at_once_on_one_version_one_wins(routing: Running) -> None:
    _, case = await opened(routing)
    answers: list[httpx.Response] = await asyncio.gather(
        *(act(routing, case, {"action": "acknowledge"}, **{"If-Match": '"2"'}) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]


async def test_who_does_not_acknowledge_loses_the_case_to_somebody_else(started: Started) -> None:
    async with started(acknowledge_within="1s") as routing:
        _, case = await opened(routing)

        async def moved() -> Any:
            now = (await routing.http.get(f"/v1/cases/{case['id']}")).json()
            return now["owner"] not in (None, case["owner"])

        await eventually(moved, what="somebody else owns it")
        released = next(line for line in await timeline(routing, case) if line["type"] == "released")
        assert released["data"]["owner"] == case["owner"] and released["actor"] == "routing"


async def test_a_resolved_case_closes_when_it_stays_silent(started: Started) -> None:
    async with started(close_after="1s") as routing:
        feedback, case = await opened(routing)
        await done(routing, case, "resolve", text="sent again", cause_code="carrier")
        closed = await case_of(routing, feedback, status="closed")
        assert closed["closed_at"] and closed["allowed_actions"] == ["reopen", "note"]


async def test_the_audit_names_what_was_altered_removed_or_rewritten(routing: Running) -> None:
    _, case = await opened(routing)
    await done(routing, case, "note", text="promised a refund")
    assert (await routing.http.get("/v1/audit")).json()["flaws"] == []
    audit = routing.service.database
    anchored = await anchor(routing)
    assert anchored["holds"] and anchored["cases"] >= 1

    entry = entry_id(UUID(case["id"]), 3)
    said = (await audit.case_history.find_one({"_id": entry}))["said"].replace('"noted"', '"held"')
    await audit.case_history.update_one({"_id": entry}, {"$set": {"said": said}})
    assert await flaws(routing, "/v1/audit") == [(case["id"], 3, "altered")]
    await audit.case_history.delete_one({"_id": entry})
    assert await flaws(routing, "/v1/audit") == [(case["id"], 3, "removed")]
    second = await audit.case_history.find_one({"_id": entry_id(UUID(case["id"]), 2)})
    shortened = {"version": 2, "books.head": second["hash"]}
    await audit.cases.update_one({"_id": UUID(case["id"])}, {"$set": shortened})
    assert await flaws(routing, "/v1/audit") == []  # a consistent forgery
    assert await flaws(routing, f"/v1/audit/anchors/{anchored['day']}") == [(case["id"], 3, "removed")]
    await audit.anchor_heads.update_many({}, {"$set": {"version": 2, "hash": second["hash"]}})
    assert not (await anchors(routing))[-1]["holds"]


async def anchors(routing: Running) -> list[Any]:
    items: list[Any] = (await routing.http.get("/v1/audit/anchors")).json()["items"]
    return items


async def anchor(routing: Running) -> Any:
    """The anchor of now: that of the start saw no case yet."""
    audit = Audit(AuditStore(routing.service.database), routing.service.mongo)
    assert await audit.anchor(await routing.service.mongo.now() + timedelta(days=1))
    return (await anchors(routing))[-1]


async def flaws(routing: Running, path: str) -> list[tuple[str, int, str]]:
    page = (await routing.http.get(path)).json()
    return [(flaw["case_id"], flaw["version"], flaw["fault"]) for flaw in page["flaws"]]


async def test_a_new_policy_takes_over_and_a_bad_one_is_refused_while_the_old_one_stays(
    routing: Running, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    text, before = file.read_text(), (await in_force(routing))["version"]
    file.write_text(text.replace("  service: {name:", "  nobody: {nome:"))

    async def refused() -> Any:
        return (await in_force(routing))["refused"]

    assert "policy.yaml:" in await eventually(refused, what="the bad policy is refused")
    assert (await in_force(routing))["version"] == before

    _, case = await opened(routing)
    other = "zhao" if case["owner"] == "chen" else "chen"
    file.write_text("\n".join(line for line in text.splitlines() if f"  {case['owner']}: " not in line))

    async def moved() -> bool:
        now = (await routing.http.get(f"/v1/cases/{case['id']}")).json()
        return bool(now["owner"] == other)

    await eventually(moved, what="who left the policy has no case any more")
    versions = (await routing.http.get("/v1/policy/versions")).json()["items"]
    assert [one["version"] for one in versions] == [(await in_force(routing))["version"], before]
    kept = (await routing.http.get(f"/v1/policy/versions/{before}")).json()
    assert case["owner"] in kept["content"]["people"]
    assert case["policy_version"] == before


async def in_force(routing: Running) -> Any:
    return (await routing.http.get("/v1/policy")).json()


async def test_who_says_to_be_away_is_given_nothing_and_gets_what_waits_when_back(routing: Running) -> None:
    for until, status in ((soon(400), 422), (soon(-1), 422), ("2030-01-01T00:00:00", 422), (soon(300), 200)):
        answer = await routing.http.put("/v1/people/chen/availability", json={"until": until})
        assert answer.status_code == status, answer.text
    assert (await routing.http.put("/v1/people/zhao/availability", json={"until": soon(300)})).is_success
    assert (await routing.http.put("/v1/people/nobody/availability", json={})).status_code == 404
    waiting = spoken(routing)
    await send(routing, waiting)

    async def queued() -> bool:
        return (await case_of(routing, waiting, status="new"))["holder"] == "li"

    await eventually(queued, what="nobody is there")
    assert (await routing.http.put("/v1/people/chen/availability", json={})).json()["away"] is None
    assert (await case_of(routing, waiting))["owner"] == "chen"


def soon(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def test_trials_change_nothing(routing: Running) -> None:
    wrong = {"files": {"mine.yaml": "routing:\n  - {name: x, assign: {department: nobody}}\n"}}
    lint = (await routing.http.post("/v1/policy/check", json=wrong)).json()
    assert not lint["accepted"] and any(finding["file"] == "mine.yaml" for finding in lint["findings"])
    right = SMALL.read_bytes()
    headers = {"content-type": "application/yaml"}
    assert (await routing.http.post("/v1/policy/check", content=right, headers=headers)).json()["accepted"]
    said = {"kind": "complaint", "text": "快递箱子压坏了", "attributes": {"run": "another"}}
    decision = (await routing.http.post("/v1/policy/dry-run?lang=zh", json=said)).json()
    assert decision["category"]["id"] == "logistics.damage" and "压坏" in decision["sentences"][0]
    odd = await routing.http.post("/v1/policy/dry-run", json=said | {"kind": "secret-value"})
    assert odd.status_code == 422 and "secret-value" not in odd.text
    deep = await routing.http.post("/v1/policy/dry-run", json=said | {"category": "a." * 50_000})
    fault = {"pointer": "/category", "message": "category has more than 200 characters", "limit": 200}
    assert deep.status_code == 422 and deep.json()["errors"] == [fault]


async def test_a_case_shows_others_of_the_same_batch_and_of_the_same_supplier(routing: Running) -> None:
    of_batch = {"product": Product(model="CUP-2", batch="2026-02-A")}
    _, one = await opened(routing, kind="quality_report", **of_batch)
    _, two = await opened(routing, kind="inspection", supplier_id="SUP-7", **of_batch)
    _, three = await opened(routing, supplier_id="SUP-7")
    related = (await routing.http.get(f"/v1/cases/{two['id']}")).json()["related"]
    assert [case["id"] for case in related["batch"]] == [one["id"]]
    assert [case["id"] for case in related["supplier"]] == [three["id"]]
    alone = (await routing.http.get(f"/v1/cases/{three['id']}")).json()["related"]
    assert alone["batch"] == [] and alone["supplier"][0]["reference"] == two["reference"]
