"""CloudEvents as senders make them, in each of the three modes, and what was answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx

STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
JSON = {"content-type": "application/json"}
REQUIRED: dict[str, Any] = {
    "specversion": "1.0", "type": "cqm.feedback.v1", "source": "/shop-cn/reviews", "id": "R-1",
}  # fmt: skip
ONE = {"kind": "complaint", "text": "broken"}
ORDER = {"kind": "order", "quantity": 2}
EVENT = {**REQUIRED, "data": ONE}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01"
WAYS = ["binary", "structured", "base64", "batched"]


def headers_of(attributes: Mapping[str, str | bytes | None], **more: str) -> list[tuple[bytes, bytes]]:
    """Binary mode: REQUIRED with `attributes` instead of or beside them; None leaves one out."""
    said = {**REQUIRED, **attributes}
    own = [(f"ce-{name}", value) for name, value in said.items() if value is not None]
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in (*own, *(JSON | more).items())
    ]


async def binary(
    http: httpx.AsyncClient, attributes: Mapping[str, str | bytes | None], data: Any = ONE, **more: str
) -> httpx.Response:
    return await http.post("/v1/events", content=json.dumps(data), headers=headers_of(attributes, **more))


async def structured(
    http: httpx.AsyncClient, event: Any, headers: Mapping[str, str] = STRUCTURED
) -> httpx.Response:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return await http.post("/v1/events", content=body, headers=dict(headers))


def refusal(answer: httpx.Response) -> tuple[int, list[str]]:
    """Status and pointers; the answer is a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, [fault["pointer"] for fault in answer.json().get("errors", [])]


async def send(http: httpx.AsyncClient, way: str, attributes: Mapping[str, str], data: Any) -> str:
    """One event by each way; its id."""
    event = {**REQUIRED, **attributes}
    if way == "binary":
        answer = await binary(http, attributes, data)
    elif way == "batched":
        answer = await structured(http, [{**event, "data": data}], BATCHED)
    elif way == "base64":
        encoded = base64.b64encode(json.dumps(data).encode()).decode()
        answer = await structured(http, {**event, "data_base64": encoded})
    else:
        answer = await structured(http, {**event, "data": data})
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["items"][0]["id"] if way == "batched" else answer.json()["id"]
    return found
