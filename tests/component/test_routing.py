"""Routing on a real Kafka and a real MongoDB: from a feedback to a case with an owner, and what people do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.routing.app import build
from services.routing.settings import RoutingSettings
from shared import ids
from shared.codec import encode
from shared.events import CaseLabels, Customer, EscalationRaised, FeedbackReceived
from tests.support.apps import Running, running_app
from tests.support.servers import Servers
from tests.support.spine import eventually

NOW = datetime.now(UTC)


@pytest.fixture
async def routing(servers: Servers, prefix: str) -> AsyncIterator[Running]:
    settings = RoutingSettings(kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text")
    async with running_app(build(settings)) as running:
        yield running


def complaint(text: str = "快递箱子压坏了，里面的杯子碎了", **fields: Any) -> FeedbackReceived:
    source, external = uuid4().hex, uuid4().hex
    given: dict[str, Any] = {
        "id": ids.signal_id("feedback", source, external), "source": source, "external_id": external,
        "kind": "complaint", "channel": "web", "language": "zh", "occurred_at": NOW, "received_at": NOW,
        "customer": Customer(id=uuid4().hex), "fingerprint": "f1",
    }  # fmt: skip
    return FeedbackReceived(text=text, **given | fields)


async def send(routing: Running, *events: FeedbackReceived) -> None:
    records = [encode(event, key=event.customer.id.encode(), source="intake", at=NOW) for event in events]
    await routing.service.publisher.publish(records)


async def case_of(routing: Running, feedback: FeedbackReceived, status: str | None = "assigned") -> Any:
    async def found() -> Any:
        answer = await routing.http.get("/v1/cases", params={"feedback_id": str(feedback.id)})
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        return items[0] if items and status in (None, items[0]["status"]) else None

    return await eventually(found, what=f"case {status}")


async def act(routing: Running, case: Any, body: dict[str, Any], **headers: str) -> Any:
    return await routing.http.post(f"/v1/cases/{case['id']}/actions", json=body, headers=headers)


async def test_a_broken_box_in_chinese_gets_an_owner_of_logistics_with_rule_and_reason(
    routing: Running,
) -> None:
    feedback = complaint()
    await send(routing, feedback)
    case = await case_of(routing, feedback)
    assert case["department"] == "logistics" and case["category"] == "logistics.damage"
    assert case["owner"] and case["holder"] == case["owner"]
    assert "压坏" in case["decision"]["reason"] and case["decision"]["rule"]
    assert case["version"] == 2 and case["reference"] == ids.reference(feedback.id)
    by_reference = await routing.http.get(f"/v1/cases/{case['reference'].lower()}")
    assert by_reference.json()["id"] == case["id"] and by_reference.headers["etag"] == '"2"'


async def test_the_same_feedback_again_does_nothing_and_another_content_is_a_dead_letter(
    routing: Running,
) -> None:
    feedback = complaint()
    other = complaint("别的", id=feedback.id, customer=feedback.customer, fingerprint="f2")
    await send(routing, feedback, feedback, other, feedback)
    case = await case_of(routing, feedback)
    last = complaint()
    await send(routing, last)
    await case_of(routing, last)
    again = await routing.http.get(f"/v1/cases/{case['id']}")
    assert again.json()["version"] == 2 and again.json()["feedback_ids"] == [str(feedback.id)]


async def test_a_second_complaint_about_the_same_matter_joins_the_open_case(routing: Running) -> None:
    first = complaint()
    second = complaint(customer=first.customer)
    await send(routing, first)
    case = await case_of(routing, first)
    await send(routing, second)
    joined = await case_of(routing, second)
    assert joined["id"] == case["id"] and joined["feedback_ids"] == [str(first.id), str(second.id)]
    became = await routing.http.get(f"/v1/feedback/{second.id}")
    assert became.json() == {"id": str(second.id), "state": "joined", "case_id": case["id"]}


async def test_praise_is_recorded_and_opens_nothing(routing: Running) -> None:
    praise = complaint("thank you", kind="praise")
    await send(routing, praise)

    async def state() -> Any:
        return (await routing.http.get(f"/v1/feedback/{praise.id}")).json().get("state")

    assert await eventually(state) == "recorded"


async def test_acknowledge_reply_resolve_are_versions_with_a_hash_chain_and_free_the_owner(
    routing: Running,
) -> None:
    feedback = complaint()
    await send(routing, feedback)
    case = await case_of(routing, feedback)
    busy = (await loads(routing))[case["owner"]]
    for body in (
        {"action": "acknowledge"},
        {"action": "reply", "text": "我们马上补发"},
        {"action": "resolve", "text": "补发了", "cause_code": "carrier"},
    ):
        answer = await act(routing, case, body, **{"X-Actor": case["owner"]})
        assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "resolved" and answer.json()["version"] == 5
    lines = (await routing.http.get(f"/v1/cases/{case['id']}/timeline")).json()["items"]
    assert [line["type"] for line in lines] == ["opened", "assigned", "acknowledged", "replied", "resolved"]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5] and len({line["hash"] for line in lines}) == 5
    assert lines[-1]["actor"] == case["owner"] and lines[-1]["from"] == "in_progress"

    await eventually(lambda: is_freer(routing, case["owner"], busy), what="capacity freed")


async def loads(routing: Running) -> dict[str, int]:
    people = (await routing.http.get("/v1/people", params={"department": "logistics"})).json()["items"]
    return {person["id"]: person["load"] for person in people}


async def is_freer(routing: Running, owner: str, than: int) -> bool:
    return (await loads(routing))[owner] < than


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"action": "resolve", "text": "x", "cause_code": "nope"}, 422, "/cause_code"),
        ({"action": "resolve", "cause_code": "carrier"}, 422, ""),
        ({"action": "reply", "text": "  "}, 422, "/text"),
        ({"action": "reply", "text": "x" * 20_001}, 422, "/text"),
        ({"action": "explode"}, 422, "/action"),
        ({"action": "reply", "text": "x", "owner": "me"}, 422, ""),
        ({"action": "resume"}, 409, None),
    ],
)
async def test_an_action_that_does_not_fit_is_refused_with_the_field(
    routing: Running, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    feedback = complaint()
    await send(routing, feedback)
    case = await case_of(routing, feedback)
    answer = await act(routing, case, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if pointer is None:
        assert answer.json()["allowed_actions"]
    else:
        assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_stale_version_is_412_and_an_unknown_case_404(routing: Running) -> None:
    feedback = complaint()
    await send(routing, feedback)
    case = await case_of(routing, feedback)
    assert (await act(routing, case, {"action": "acknowledge"}, **{"If-Match": '"1"'})).status_code == 412
    assert (await act(routing, case, {"action": "acknowledge"}, **{"If-Match": '"2"'})).status_code == 200
    assert (await act(routing, {"id": uuid4()}, {"action": "acknowledge"})).status_code == 404
    assert (await routing.http.get("/v1/cases/NOPE")).status_code == 404


async def test_an_escalation_is_obeyed_once_however_often_it_comes(routing: Running) -> None:
    feedback = complaint(severity="low", urgency="low")
    await send(routing, feedback)
    case = await case_of(routing, feedback)
    before = case["priority"]
    raised = escalation(case, "raise_priority")
    reassign = escalation(case, "reassign")
    records = [
        encode(event, key=UUID(case["id"]).bytes, source="sla", at=NOW)
        for event in (raised, raised, reassign, reassign, raised)
    ]
    await routing.service.publisher.publish(records)

    async def moved() -> Any:
        now = (await routing.http.get(f"/v1/cases/{case['id']}")).json()
        return now if now["status"] == "assigned" and now["owner"] != case["owner"] else None

    after = await eventually(moved, what="another owner")
    assert after["priority"] == f"P{int(before[1]) - 1}"
    assert after["version"] == 5  # raised, released, assigned


def escalation(case: Any, action: Any) -> EscalationRaised:
    labels = CaseLabels(
        department=case["department"], priority=case["priority"], kind="complaint", channel="web"
    )
    return EscalationRaised(
        id=ids.name_id(case["id"], action), case_id=UUID(case["id"]), case_version=2, target="resolution",
        epoch=1, step=1, action=action, due_at=NOW, step_at=NOW, at=NOW, labels=labels,
    )  # fmt: skip


async def test_lists_are_paged_filtered_and_refuse_what_they_do_not_know(routing: Running) -> None:
    category = f"test.c{uuid4().hex}"
    feedbacks = [complaint(occurred_at=NOW - timedelta(minutes=n), category=category) for n in range(5)]
    await send(routing, *feedbacks)
    for feedback in feedbacks:
        await case_of(routing, feedback, status=None)
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "2", "category": category} | ({"cursor": cursor} if cursor else {})
        page = (await routing.http.get("/v1/cases", params=params)).json()
        seen += [case["id"] for case in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert len(seen) == len(set(seen)) == 5
    for bad in (
        {"limit": "1000000000"},
        {"sort": "$where"},
        {"cursor": "xx"},
        {"opened_from": "2026-01-01T00:00:00"},
    ):
        assert (await routing.http.get("/v1/cases", params=bad)).status_code == 422
    assert (await routing.http.get("/v1/cases", params={"customer_id": '{"$ne": null}'})).json()[
        "items"
    ] == []
