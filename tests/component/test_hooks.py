"""Signed webhooks on a real Kafka: who is let in, what is refused and where, and what a replay does not."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from services.intake.api import hooks
from services.intake.app import build
from services.intake.domain.payload import read_payload
from services.intake.settings import ADAPTERS, IntakeSettings
from services.routing.app import build as build_routing
from services.routing.settings import RoutingSettings
from shared import topics
from shared.codec import decode
from tests.component.test_intake import records_after
from tests.support import signing
from tests.support.apps import Running, running_app
from tests.support.servers import Servers
from tests.support.spine import eventually

JSON = {"content-type": "application/json"}


@pytest.fixture
async def intake(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    for name, secret in signing.SECRETS.items():
        monkeypatch.setenv(name, secret)
    async with running_app(
        build(IntakeSettings(kafka=servers.kafka, mongo=servers.mongo, log="text"))
    ) as running:
        yield running


def now() -> datetime:
    return datetime.now(UTC)


def feedback(**said: Any) -> bytes:
    data = {"kind": "complaint", "text": "箱子坏了"} | said
    return json.dumps({"type": "feedback.created", "data": data}, ensure_ascii=False).encode()


def example(name: str, mark: str) -> bytes:
    """The recorded payload with ids of the test's own."""
    text = (ADAPTERS / "examples" / f"{name}.json").read_text()
    for recorded in ("5158", "866550311766439020", "a3a12ec67a1365927098a606107fac15", "1a30ba71cca2921f"):
        text = text.replace(f'"{recorded}"', f'"{recorded}{mark}"').replace(
            f":{recorded},", f':"{recorded}{mark}",'
        )
    return text.encode()


@pytest.mark.parametrize("name", signing.SIGNERS)
async def test_a_shipped_adapter_takes_its_example_and_a_replay_says_the_same_again(
    intake: Running, servers: Servers, name: str
) -> None:
    mark = uuid4().hex[:12]
    body, topic = example(name, mark), topics.ACTIVITY if name == "shopify-refund" else topics.FEEDBACK
    sign = signing.SIGNERS[name]
    if name == "generic":
        sign = lambda content, at: signing.standard(content, at, f"msg_{mark}")  # noqa: E731
    async with records_after(servers, topic.name) as read:
        answers = [
            await intake.http.post(f"/v1/hooks/{name}", content=body, headers=JSON | sign(body, now()))
            for _ in range(2)
        ]
        first, second = [decode(record.value, record.headers)[0] for record in await read(mark, 2)]
    assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
    assert answers[0].json() == answers[1].json() == {"accepted": 1, "ids": [str(first.id)]}
    assert (first.id, first.fingerprint) == (second.id, second.fingerprint)


async def test_a_replay_has_no_second_effect(intake: Running, servers: Servers, prefix: str) -> None:
    settings = RoutingSettings(kafka=servers.kafka, mongo=servers.mongo, database_prefix=prefix, log="text")
    body = feedback(customer={"id": f"C-{uuid4().hex}"}, category="logistics.damage")
    signed = JSON | signing.standard(body, now(), f"msg_{uuid4().hex}")
    async with running_app(build_routing(settings)) as routing:
        for _ in range(3):
            answer = await intake.http.post("/v1/hooks/generic", content=body, headers=signed)
            assert answer.status_code == 202, answer.text
        last = feedback(customer={"id": f"C-{uuid4().hex}"})
        after = JSON | signing.standard(last, now(), f"msg_{uuid4().hex}")
        (marker,) = (await intake.http.post("/v1/hooks/generic", content=last, headers=after)).json()["ids"]
        (identity,) = answer.json()["ids"]
        for known in (identity, marker):
            await eventually(_is_known(routing, known), what=f"feedback {known} in routing", within=60)
        cases = (await routing.http.get(f"/v1/cases?feedback_id={identity}")).json()["items"]
    assert len(cases) == 1
    assert cases[0]["feedback_ids"] == [identity]


def _is_known(routing: Running, identity: str) -> Any:
    async def known() -> bool:
        return (await routing.http.get(f"/v1/feedback/{identity}")).status_code == 200

    return known


def signed(body: bytes, **changed: str | None) -> dict[str, str]:
    headers = JSON | signing.standard(body, now())
    return {name: value for name, value in (headers | changed).items() if value is not None}


GOOD = feedback()
BAD: dict[str, tuple[dict[str, str | None], bytes, int, list[str]]] = {
    "a wrong signature": ({"webhook-signature": "v1," + "A" * 43 + "="}, GOOD, 401, []),
    "no signature": ({"webhook-signature": None}, GOOD, 401, []),
    "an empty signature": ({"webhook-signature": ""}, GOOD, 401, []),
    "a signature without its version": ({"webhook-signature": "A" * 43 + "="}, GOOD, 401, []),
    "a signature that is no base64": ({"webhook-signature": "v1,****"}, GOOD, 401, []),
    "a signature that is not ASCII": ({"webhook-signature": "v1,\xe9\xff"}, GOOD, 401, []),
    "no id": ({"webhook-id": None}, GOOD, 401, []),
    "an id that is not ASCII": ({"webhook-id": "\xe9"}, GOOD, 401, []),
    "no time": ({"webhook-timestamp": None}, GOOD, 401, []),
    "a time that is none": ({"webhook-timestamp": "soon"}, GOOD, 401, []),
    "a time 301 s ago": ({"webhook-timestamp": "-301"}, GOOD, 401, []),
    "a time in 302 s": ({"webhook-timestamp": "+302"}, GOOD, 401, []),
    "another media type": ({"content-type": "text/plain"}, GOOD, 415, []),
    "broken gzip": ({"content-encoding": "gzip"}, GOOD, 400, []),
    "no JSON": ({}, b"{", 400, [""]),
    "a name that stands twice": ({}, b'{"data": {}, "data": {}}', 422, [""]),
    "NaN": ({}, b'{"data": {"text": NaN}}', 422, ["/data/text"]),
    "fields that do not fit": (
        {}, feedback(kind="rumour", severity="bad"), 422, ["/data/kind", "/data/severity"],
    ),
    "an object where text belongs": ({}, feedback(text={"$ne": None}), 422, ["/data/text"]),
    "a time without a zone": ({}, feedback(occurred_at="2026-03-02T09:00:00"), 422, ["/data/occurred_at"]),
    "text of 1 MB": ({}, feedback(text="x" * 1_000_000), 422, ["/data/text"]),
    "a score off its scale": (
        {}, feedback(rating={"metric": "nps", "score": 11, "scale_min": 0, "scale_max": 10}),
        422, ["/data/rating/score"],
    ),
    "nothing to say": ({}, b'{"type": "feedback.created"}', 422, ["/data/text"]),
    "a body over the limit": ({}, feedback(text="x" * (2 << 20)), 413, []),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
async def test_what_is_refused_has_its_status_and_its_place(intake: Running, what: str) -> None:
    changed, body, status, pointers = BAD[what]
    off = changed.get("webhook-timestamp")
    if off and off[0] in "+-":
        at = datetime.fromtimestamp(now().timestamp() + int(off), UTC)
        headers = JSON | signing.standard(body, at)
    else:
        headers = signed(body, **changed)
    raw = [(name, value.encode("latin-1")) for name, value in headers.items()]
    answer = await intake.http.post("/v1/hooks/generic", content=body, headers=raw)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        problem
    )
    assert [fault["pointer"] for fault in problem.get("errors", ())] == pointers
    assert "rumour" not in answer.text and "xxxx" not in answer.text
    if status == 401:
        assert problem["detail"] == "The request is not signed as this adapter asks for."
        assert "www-authenticate" in answer.headers


async def test_a_header_that_comes_twice_proves_nothing(intake: Running) -> None:
    headers = [*signed(GOOD).items(), ("webhook-id", "msg_2")]
    answer = await intake.http.post("/v1/hooks/generic", content=GOOD, headers=headers)
    assert answer.status_code == 401


async def test_an_adapter_that_is_not_there_is_answered_like_any_unknown_path(intake: Running) -> None:
    unknown = await intake.http.post("/v1/hooks/nobody", content=GOOD, headers=signed(GOOD))
    elsewhere = await intake.http.post("/v1/nowhere", content=GOOD, headers=signed(GOOD))
    assert (unknown.status_code, unknown.json()) == (404, elsewhere.json())


async def test_a_payload_of_which_one_element_does_not_fit_is_refused_whole(
    intake: Running, servers: Servers
) -> None:
    mark = uuid4().hex
    payload = json.loads(example("alertmanager", mark))
    firing = payload["alerts"][0]
    payload["alerts"] = [firing, firing | {"fingerprint": f"x{mark}", "startsAt": "soon"}]
    body = json.dumps(payload).encode()
    headers = JSON | signing.bearer(body, now())
    async with records_after(servers, topics.FEEDBACK.name) as read:
        refused = await intake.http.post("/v1/hooks/alertmanager", content=body, headers=headers)
        payload["alerts"] = [firing, firing, firing | {"fingerprint": f"last{mark}"}]
        taken = await intake.http.post("/v1/hooks/alertmanager", json=payload, headers=headers)
        events = [decode(record.value, record.headers)[0] for record in await read(mark, 2)]
    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/alerts/1/startsAt"]
    answer = taken.json()
    once, again, last = answer["ids"]
    assert answer["accepted"] == 3 and once == again != last
    assert {str(event.id) for event in events} == {once, last}


async def test_two_contents_of_one_identity_in_a_payload_are_a_conflict(intake: Running) -> None:
    payload = json.loads(example("alertmanager", uuid4().hex))
    firing = payload["alerts"][0]
    payload["alerts"] = [firing, firing | {"labels": {"alertname": "Another"}}]
    headers = signing.bearer(b"", now())
    answer = await intake.http.post("/v1/hooks/alertmanager", json=payload, headers=headers)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/alerts/1"]


async def test_what_is_no_feedback_is_answered_202_and_taken_by_nobody(intake: Running) -> None:
    body = b'{"type": "feedback.deleted"}'
    answer = await intake.http.post("/v1/hooks/generic", content=body, headers=signed(body))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "ids": []})


async def test_a_long_payload_is_read_beside_other_requests(
    intake: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[bool] = []

    def read(raw: bytes) -> Any:
        readers.append(threading.current_thread() is threading.main_thread())
        return read_payload(raw)

    monkeypatch.setattr(hooks, "read_payload", read)
    for said in (GOOD, feedback(attributes={"words": "x" * 900}, unread=[1] * 300_000)):
        answer = await intake.http.post("/v1/hooks/generic", content=said, headers=signed(said))
        assert answer.status_code == 202, answer.text
    assert readers == [True, False]


async def test_an_adapter_without_its_secret_is_shut_and_the_others_are_open(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQM_HOOK_GENERIC", signing.SECRETS["CQM_HOOK_GENERIC"])
    monkeypatch.delenv("CQM_HOOK_ZENDESK", raising=False)
    async with running_app(
        build(IntakeSettings(kafka=servers.kafka, mongo=servers.mongo, log="text"))
    ) as running:
        body = example("zendesk", "")
        shut = await running.http.post(
            "/v1/hooks/zendesk", content=body, headers=JSON | signing.zendesk(body, now())
        )
        opened = await running.http.post("/v1/hooks/generic", content=GOOD, headers=signed(GOOD))
        page = (await running.http.get("/metrics")).text
    assert (shut.status_code, shut.headers["retry-after"]) == (503, "60")
    assert opened.status_code == 202
    assert 'cqm_intake_rejected_total{door="hooks",reason="no_secret",source="zendesk"}' in page
    assert 'cqm_intake_accepted_total{door="hooks",kind_of_signal="feedback",source="webhook"}' in page
