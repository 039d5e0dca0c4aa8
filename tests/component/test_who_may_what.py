"""Who may what on a real MongoDB, with real keys and tokens: docs/security.md over HTTP (promise P12)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from services.routing.app import build
from services.routing.domain.case_file import CaseFile, begin
from services.routing.domain.changes import Changes, Outcome
from services.routing.settings import RoutingSettings
from services.routing.store import CaseStore
from shared.events import Change, Customer, Personal
from shared.mongo import transaction
from tests.support.apps import Running, running_app
from tests.support.callers import Callers, Headers
from tests.support.cases import NOW, case_file
from tests.support.permissions import COLLEAGUE, ELSEWHERE, HERE, ME, STRANGER, Cell, cells, word_for
from tests.support.servers import Servers

SMALL = Path(__file__).parents[1] / "data" / "policy" / "small.yaml"
PERSONAL = Personal(name="李明", phone="+86 138 0013 8000", email="li.ming@example.org")
NEVER = {"If-Match": '"999"'}
"""412 for who may, so that nothing is done."""
BODIES: dict[str, dict[str, Any]] = {
    "reply": {"text": "x"}, "customer_message": {"text": "x"}, "note": {"text": "x"},
    "hold": {"for": "customer", "reason": "x"}, "assign": {"owner": COLLEAGUE},
    "transfer": {"department": ELSEWHERE, "reason": "x"}, "prioritise": {"severity": "high", "reason": "x"},
    "resolve": {"text": "x", "cause_code": "carrier"}, "reopen": {"reason": "x"}, "merge": {"into": "x"},
    "cancel": {"reason": "x"},
}  # fmt: skip


class Kept(NamedTuple):
    """Stored cases: mine, a colleague's, and one of another department."""

    mine: CaseFile
    others: CaseFile
    foreign: CaseFile


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Callers:
    return Callers(tmp_path_factory.mktemp("callers"))


@pytest.fixture(scope="module")
async def routing(
    servers: Servers, callers: Callers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """With a policy that opens nothing: the cases are those that a test stores."""
    policy = tmp_path_factory.mktemp("policy") / "policy.yaml"
    policy.write_text(SMALL.read_text().replace("kind == 'complaint'", "attributes.run == 'nobody'"))
    settings = RoutingSettings(
        kafka=servers.kafka, mongo=servers.mongo, database_prefix=f"t{uuid4().hex[:10]}", log="text",
        policy=policy, **callers.settings,
    )  # fmt: skip
    async with running_app(build(settings)) as running:
        yield running


@pytest.fixture(scope="module")
async def kept(routing: Running) -> Kept:
    return Kept(
        await stored(routing, HERE, ME), await stored(routing, HERE, COLLEAGUE),
        await stored(routing, ELSEWHERE, STRANGER),
    )  # fmt: skip


async def stored(routing: Running, department: str, owner: str, **given: Any) -> CaseFile:
    """An assigned case with its history and its feedback, whose texts name the customer."""
    customer, feedback = Customer(id="C-9", personal=PERSONAL), uuid4()
    case = case_file(
        department=department, owner=owner, status="assigned", customer=customer, feedback_ids=(feedback,),
        subject=f"{PERSONAL.name} waits", **given,
    ).case  # fmt: skip
    note = Change(type="noted", actor="li", at=NOW, data={"text": f"call {PERSONAL.phone}"})
    step, service = begin(case, note), routing.service
    changes = Changes(
        [Outcome(feedback, "case", "f", case.id)], {case.id: step.file}, {case.id: None}, [step.entry]
    )
    assert service.mongo is not None
    async with service.mongo.session() as session:
        await transaction(session, lambda s: CaseStore(service.database).save(changes, s))
    return step.file


async def act(routing: Running, case: UUID | str, action: str, by: Headers, **said: Any) -> httpx.Response:
    body = {"action": action} | BODIES.get(action, {}) | said.pop("body", {})
    return await routing.http.post(
        f"/v1/cases/{case}/actions", json=body, headers=by | said.pop("headers", {})
    )


async def get(routing: Running, path: str, by: Headers, **parameters: Any) -> Any:
    answer = await routing.http.get(f"/v1/{path}", headers=by, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


ACTIONS = [cell for cell in cells() if cell.of == "cases" and cell.to != "read"]


@pytest.mark.parametrize("cell", ACTIONS, ids=str)
async def test_every_action_answers_as_its_row_says(
    routing: Running, kept: Kept, callers: Callers, cell: Cell
) -> None:
    answers = [await act(routing, one.case.id, cell.to, callers[cell.role], headers=NEVER) for one in kept]
    statuses = [answer.status_code for answer in answers]
    if cell.role == "auditor":
        assert statuses == [403, 403, 403] and "auditor" not in answers[0].json()["roles"]
        return
    sees_elsewhere = cell.role == "quality_manager"
    assert set(statuses[:2]) <= {403, 412} and statuses[2] in ({403, 412} if sees_elsewhere else {404})
    # the last of the three is nobody's own: whoever may act elsewhere acts on others' cases
    assert cell.said == word_for(*(status == 412 for status in statuses))


@pytest.mark.parametrize("cell", [c for c in cells() if c.of in ("policy", "audit")], ids=str)
async def test_what_belongs_to_no_department_answers_as_its_row_says(
    routing: Running, callers: Callers, cell: Cell
) -> None:
    answer = await routing.http.get(f"/v1/{cell.of}", headers=callers[cell.role])
    assert answer.status_code == (200 if cell.said == "yes" else 403)
    if cell.said == "unbound":
        await get(routing, cell.of, callers.unbound)


@pytest.mark.parametrize("cell", [c for c in cells() if (c.of, c.to) == ("cases", "read")], ids=str)
async def test_lists_pages_and_loads_hold_what_may_be_seen(
    routing: Running, kept: Kept, callers: Callers, cell: Cell
) -> None:
    by, expected = callers[cell.role], {HERE} if cell.said == "theirs" else {HERE, ELSEWHERE}
    first = await get(routing, "cases", by, limit=1)
    seen, following = {one["department"] for one in first["items"]}, first["next"]
    while following:
        page = await get(routing, "cases", by, limit=1, cursor=following)
        seen |= {one["department"] for one in page["items"]}
        following = page["next"]
    assert seen == expected
    for path in ("departments", "people"):
        items = (await get(routing, path, by))["items"]
        assert {one.get("department", one["id"]) for one in items} == expected
    for path in ("cases", "people"):
        elsewhere = (await get(routing, path, by, department=ELSEWHERE))["items"]
        assert bool(elsewhere) == (ELSEWHERE in expected)
    feedback = kept.foreign.case.feedback_ids[0]
    assert bool((await get(routing, "cases", by, feedback_id=feedback))["items"]) == (ELSEWHERE in expected)


@pytest.mark.parametrize("cell", [c for c in cells() if c.of == "personal data"], ids=str)
async def test_a_customer_is_shown_as_the_row_says(
    routing: Running, kept: Kept, callers: Callers, cell: Cell
) -> None:
    async def shown(by: Headers) -> bool:
        path = f"cases/{kept.others.case.reference}"
        case, lines = await get(routing, path, by), await get(routing, f"{path}/timeline", by)
        texts = (case["subject"], lines["items"][0]["data"]["text"])
        full = (f"{PERSONAL.name} waits", f"call {PERSONAL.phone}")
        assert texts == (full if "name" in case["customer"] else ("[hidden] waits", "call [hidden]"))
        assert ("name" in case["customer"]) == ("phone" in case["customer"]) == ("email" in case["customer"])
        return "name" in case["customer"]

    assert await shown(callers[cell.role]) == (cell.said == "theirs")
    if cell.said == "scope":
        assert await shown(callers.with_personal)


@pytest.mark.parametrize("cell", [c for c in cells() if c.of == "availability"], ids=str)
async def test_an_availability_is_changed_by_whom_the_row_names(
    routing: Running, callers: Callers, cell: Cell
) -> None:
    async def back(person: str, by: Headers) -> httpx.Response:
        return await routing.http.put(f"/v1/people/{person}/availability", json={}, headers=by)

    answers = [await back(name, callers[cell.role]) for name in (ME, COLLEAGUE, STRANGER)]
    assert cell.said == word_for(*(answer.status_code == 200 for answer in answers))
    unknown, foreign = await back("nobody", callers["head"]), await back(STRANGER, callers["head"])
    assert (unknown.status_code, unknown.json()) == (foreign.status_code, foreign.json())


@pytest.mark.parametrize("role", ["agent", "supervisor", "head", "integration"])
async def test_a_foreign_case_is_answered_like_one_that_does_not_exist(
    routing: Running, kept: Kept, callers: Callers, role: Any
) -> None:
    by, foreign = callers[role], kept.foreign.case
    for name, path in (
        (foreign.id, "cases/{}"), (foreign.reference, "cases/{}"), (foreign.id, "cases/{}/timeline"),
        (foreign.feedback_ids[0], "feedback/{}"),
    ):  # fmt: skip
        found = await routing.http.get("/v1/" + path.format(name), headers=by)
        unknown = await routing.http.get("/v1/" + path.format(uuid4()), headers=by)
        assert (found.status_code, found.content) == (404, unknown.content)
    answers = [
        await act(routing, one, "note", by, body=body)
        for one in (foreign.id, uuid4())
        for body in ({}, {"foreign": "field"})
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}


async def test_a_foreign_target_of_a_merge_is_like_an_unknown_one(
    routing: Running, kept: Kept, callers: Callers
) -> None:
    foreign, unknown = [
        await act(routing, kept.mine.case.id, "merge", callers["supervisor"], body={"into": str(into)})
        for into in (kept.foreign.case.id, uuid4())
    ]
    assert (foreign.status_code, foreign.content) == (422, unknown.content)
    assert foreign.json()["errors"][0]["pointer"] == "/into"


async def test_a_merge_needs_the_right_on_both_cases(routing: Running, kept: Kept, callers: Callers) -> None:
    sees_both = callers.token("supervisor", "auditor")
    into = {"into": str(kept.foreign.case.id)}
    refused = await act(routing, kept.mine.case.id, "merge", sees_both, body=into)
    assert refused.status_code == 403 and "supervisor" in refused.json()["roles"]


async def test_who_transfers_a_case_away_sees_it_for_the_last_time(
    routing: Running, callers: Callers
) -> None:
    case, key = (await stored(routing, HERE, ME)).case, {"Idempotency-Key": "once"}
    given = await act(routing, case.id, "transfer", callers["agent"], headers=key)
    assert given.status_code == 200 and given.json()["department"] == ELSEWHERE
    assert given.json()["allowed_actions"] == [] and "name" not in given.json()["customer"]
    again = await act(routing, case.id, "transfer", callers["agent"], headers=key)
    assert again.status_code == 404
    assert (await get(routing, f"cases/{case.id}", callers["auditor"]))["department"] == ELSEWHERE


async def test_a_refusal_names_roles_and_what_the_caller_may_do(
    routing: Running, kept: Kept, callers: Callers
) -> None:
    refused = await act(routing, kept.others.case.id, "resolve", callers["agent"])
    assert refused.status_code == 403 and refused.json()["roles"] == ["supervisor", "head"]
    assert refused.json()["allowed_actions"] == ["customer_message", "note"]
    shown = await get(routing, f"cases/{kept.others.case.id}", callers["agent"])
    assert shown["allowed_actions"] == ["customer_message", "note"]
    illegal = await act(routing, kept.mine.case.id, "resume", callers["agent"])
    assert illegal.status_code == 409
    assert set(illegal.json()["allowed_actions"]).isdisjoint({"assign", "prioritise", "merge", "cancel"})


async def test_a_token_says_roles_departments_and_whose_a_case_is(
    routing: Running, kept: Kept, callers: Callers
) -> None:
    case = kept.others.case.id
    colleague = callers.token("agent", "offline_access", name=COLLEAGUE)
    assert (await act(routing, case, "start", colleague, headers=NEVER)).status_code == 412
    elsewhere = callers.token("agent", departments=(ELSEWHERE,), name=COLLEAGUE)
    assert (await act(routing, case, "start", elsewhere, headers=NEVER)).status_code == 404
    nowhere = callers.token("supervisor", departments=())
    assert (await get(routing, "cases", nowhere))["items"] == []
    for roles in ((), ("admin",)):
        refused = await routing.http.get("/v1/cases", headers=callers.token(*roles))
        assert refused.status_code == 403 and "agent" in refused.json()["roles"]
