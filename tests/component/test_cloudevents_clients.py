"""The CloudEvents SDKs for Python and JavaScript, unchanged, against the real service and a real Kafka."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fastapi import FastAPI

from services.intake.app import build
from services.intake.settings import IntakeSettings
from shared import ids, topics
from shared.codec import decode
from tests.component.test_intake import records_after
from tests.support.apps import served_app
from tests.support.servers import Servers

FILES = Path(__file__).parents[1] / "contract"
SCRIPT = "cloudevents.mjs"
NPM_SECONDS, NODE_SECONDS = 150, 60
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01"

Events = list[dict[str, Any]]
Send = Callable[[str, str, Events], Awaitable[list[dict[str, Any]]]]
"""Sends events to an address in a mode; the answers, one to each request."""


@pytest.fixture(scope="module")
def app(servers: Servers) -> FastAPI:
    return build(IntakeSettings(kafka=servers.kafka, mongo=servers.mongo, log="text"))


@pytest.fixture(scope="module")
async def address(app: FastAPI) -> AsyncIterator[str]:
    async with served_app(app) as base:
        yield f"{base}/v1/events"


def written_in_python(event: dict[str, Any]) -> CloudEvent:
    attributes = {name: value for name, value in event.items() if name != "data"}
    attributes["time"] = datetime.fromisoformat(event["time"])
    return CloudEvent(attributes, event["data"])


async def send_in_python(address: str, mode: str, events: Events) -> list[dict[str, Any]]:
    written = [written_in_python(event) for event in events]
    if mode == "batched":
        # the SDK has no batched mode: an array of what its JSON format makes of each
        body = b"[" + b",".join(JSONFormat().write(event) for event in written) + b"]"
        messages = [HTTPMessage({"content-type": "application/cloudevents-batch+json"}, body)]
    else:
        bind = to_binary_event if mode == "binary" else to_structured_event
        messages = [bind(event) for event in written]
    async with httpx.AsyncClient() as http:
        answers = [await http.post(address, content=one.body, headers=one.headers) for one in messages]
    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    return [answer.json() for answer in answers]


async def run(*command: str, folder: Path, given: bytes = b"", seconds: float) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, wrong = await asyncio.wait_for(process.communicate(given), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{' '.join(command)}: {wrong.decode(errors='replace')}"
    return said


@pytest.fixture(scope="module")
async def javascript(tmp_path_factory: pytest.TempPathFactory) -> Send:
    """The SDK as its lock file says, installed beside the script in a folder of the test's own."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("the CloudEvents SDK for JavaScript needs node and npm, which are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    for name in ("package.json", "package-lock.json", ".npmrc", SCRIPT):
        shutil.copy(FILES / name, folder)
    await run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder, seconds=NPM_SECONDS)

    async def send(address: str, mode: str, events: Events) -> list[dict[str, Any]]:
        given = json.dumps(events).encode()
        answers = await run(node, SCRIPT, address, mode, folder=folder, given=given, seconds=NODE_SECONDS)
        found: list[dict[str, Any]] = json.loads(answers)
        return found

    return send


@pytest.fixture(scope="module", params=["python", "javascript"])
def send(request: pytest.FixtureRequest) -> Send:
    if request.param == "python":
        return send_in_python
    found: Send = request.getfixturevalue("javascript")
    return found


def feedback_and_activity(source: str) -> Events:
    """Both with every optional attribute and an extension."""
    common = {
        "specversion": "1.0", "source": source, "time": "2026-03-02T09:00:00.125+08:00",
        "subject": "orders/17", "datacontenttype": "application/json",
        "dataschema": "http://127.0.0.1:1/never-asked.json", "traceparent": TRACE, "comexample": "x",
    }  # fmt: skip
    complaint = {"kind": "complaint", "text": "箱子坏了", "customer": {"id": "顾客-9"}}
    return [
        {**common, "type": "cqm.feedback.v1", "id": "R-1", "data": complaint},
        {**common, "type": "cqm.activity.v1", "id": "R-1", "data": {"kind": "order", "quantity": 2}},
    ]


@pytest.mark.parametrize("mode", ["binary", "structured", "batched"])
async def test_what_an_sdk_sends_is_on_its_topic(
    app: FastAPI, address: str, servers: Servers, send: Send, mode: str
) -> None:
    source = f"/shops/{uuid4().hex}"
    async with (
        records_after(servers, topics.FEEDBACK.name) as read_feedback,
        records_after(servers, topics.ACTIVITY.name) as read_activity,
    ):
        answers = await send(address, mode, feedback_and_activity(source))
        records = [*await read_feedback(source, 1), *await read_activity(source, 1)]
    identities = [str(ids.signal_id(kind, source, "R-1")) for kind in ("feedback", "activity")]
    taken = answers[0]["items"] if mode == "batched" else answers
    assert [one["id"] for one in taken] == identities
    seals = app.state.service.seals
    feedback, activity = (seals.opened(decode(record.value, record.headers)[0]) for record in records)
    assert [str(feedback.id), str(activity.id)] == identities
    assert (feedback.source, feedback.external_id, feedback.text) == (source, "R-1", "箱子坏了")
    assert (activity.source, activity.external_id, activity.quantity) == (source, "R-1", 2)
    assert records[0].key.decode() == "顾客-9"
    for event, record in zip((feedback, activity), records, strict=True):
        assert event.occurred_at.isoformat() == "2026-03-02T01:00:00.125000+00:00"
        assert dict(record.headers)["traceparent"].decode() == TRACE


async def test_an_id_of_any_characters_comes_through_headers_and_is_that_of_the_body(
    address: str, servers: Servers
) -> None:
    source = f"/店铺/{uuid4().hex}"
    event = {**feedback_and_activity(source)[0], "id": '顾客 100% "9" 😀'}
    async with records_after(servers, topics.FEEDBACK.name) as read:
        answers = [*await send_in_python(address, "binary", [event])]
        answers += await send_in_python(address, "structured", [event])
        said = [decode(record.value, record.headers)[0] for record in await read(source, 2)]
    assert {answer["id"] for answer in answers} == {str(ids.signal_id("feedback", source, event["id"]))}
    assert {one.external_id for one in said} == {event["id"]}
    assert len({one.fingerprint for one in said}) == 1
