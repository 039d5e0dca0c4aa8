"""CloudEvents that are taken: what becomes of attributes and data, and batches. Who may send which."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.intake.api.batch import MAX_BODY
from services.intake.api.routes import MAX_BATCH_BODY
from services.intake.domain.cloudevents import MAX_ATTRIBUTES, MAX_LENGTH
from shared import ids
from shared.api_keys import KeyEntry, digest_of, new_parts, write_keys
from shared.codec import Outgoing, decode
from shared.events import ActivityRecorded, FeedbackReceived
from shared.principal import Scope
from shared.settings import Settings
from shared.topics import ACTIVITY
from tests.support.cloudevents import (
    BATCHED,
    EVENT,
    JSON,
    ONE,
    ORDER,
    REQUIRED,
    STRUCTURED,
    TRACE,
    WAYS,
    binary,
    refusal,
    send,
    structured,
)
from tests.support.intake import NOW, Shelf, client


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="module")
async def http(shelf: Shelf) -> AsyncIterator[httpx.AsyncClient]:
    async with client(shelf) as opened:
        yield opened


def event_in(record: Outgoing) -> FeedbackReceived | ActivityRecorded:
    event, _ = decode(record.value, record.headers)
    assert isinstance(event, FeedbackReceived | ActivityRecorded)
    return event


# --- what is taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_source_and_id_are_the_identity_whatever_the_way(
    http: httpx.AsyncClient, shelf: Shelf, way: str
) -> None:
    identity = ids.signal_id("feedback", "/shop-cn/reviews", "R-1")
    assert await send(http, way, {}, ONE) == str(identity)
    event = event_in(shelf.latest[0])
    assert (event.id, event.source, event.external_id) == (identity, "/shop-cn/reviews", "R-1")


async def test_each_way_says_the_same(http: httpx.AsyncClient, shelf: Shelf) -> None:
    said = {"time": "2026-03-02T00:59:00Z", "subject": "orders/17", "comexample": "x"}
    prints = set()
    for way in WAYS:
        await send(http, way, said, {**ONE, "customer": {"id": "C-9"}})
        prints.add(event_in(shelf.latest[0]).fingerprint)
    direct = {**ONE, "source": "/shop-cn/reviews", "external_id": "R-1", "occurred_at": said["time"]}
    answer = await http.post("/v1/feedback", json={**direct, "customer": {"id": "C-9"}})
    assert answer.status_code == 202
    assert prints == {event_in(shelf.latest[0]).fingerprint}


async def test_an_activity_goes_to_its_topic(http: httpx.AsyncClient, shelf: Shelf) -> None:
    await send(http, "binary", {"type": "cqm.activity.v1"}, ORDER)
    (record,) = shelf.latest
    assert record.topic == ACTIVITY.name
    event = event_in(record)
    assert event.id == ids.signal_id("activity", "/shop-cn/reviews", "R-1")


async def test_the_answer_is_that_of_one_feedback(http: httpx.AsyncClient) -> None:
    answer = (await binary(http, {"id": "R-2"})).json()
    identity = ids.signal_id("feedback", "/shop-cn/reviews", "R-2")
    assert answer == {
        "id": str(identity), "reference": ids.reference(identity), "received_at": "2026-03-02T01:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("attributes", "data", "expected"),
    [
        ({"time": "2026-03-02T08:30:00+08:00"}, {}, "2026-03-02T00:30:00+00:00"),
        (
            {"time": "2026-03-02T00:30:00Z"},
            {"occurred_at": "2026-03-01T00:00:00Z"},
            "2026-03-01T00:00:00+00:00",
        ),
        ({}, {}, "2026-03-02T01:00:00+00:00"),
        (
            {"time": "1970-01-01T00:00:00Z"},
            {"occurred_at": "2026-03-01T00:00:00Z"},
            "2026-03-01T00:00:00+00:00",
        ),
    ],
    ids=["the event's", "the data's before the event's", "the receipt's", "the event's is not asked"],
)
async def test_it_occurred_when_the_data_says_else_when_the_event_does(
    http: httpx.AsyncClient,
    shelf: Shelf,
    way: str,
    attributes: dict[str, str],
    data: dict[str, str],
    expected: str,
) -> None:
    await send(http, way, attributes, {**ONE, **data})
    assert event_in(shelf.latest[0]).occurred_at.isoformat() == expected


@pytest.mark.parametrize(
    "data",
    [
        {"source": "/shop-cn/reviews"},
        {"external_id": "R-1"},
        {"source": "", "external_id": ""},
        {"source": "/shop\u002dcn/reviews", "external_id": "R\u002d1"},
    ],
    ids=["source", "id", "empty", "escaped"],
)
async def test_the_data_may_say_the_identity_of_the_event_again(
    http: httpx.AsyncClient, data: dict[str, str]
) -> None:
    assert await send(http, "structured", {}, {**ONE, **data}) == str(
        ids.signal_id("feedback", "/shop-cn/reviews", "R-1")
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"traceparent": TRACE, "tracestate": "rojo=1"}, TRACE),
        ({"traceparent": "00-nonsense"}, None),
        ({}, None),
    ],
    ids=["its own", "none that can be read", "none"],
)
@pytest.mark.parametrize("way", WAYS)
async def test_the_record_carries_the_trace_of_the_event_else_of_the_request(
    http: httpx.AsyncClient, shelf: Shelf, way: str, attributes: dict[str, str], expected: str | None
) -> None:
    await send(http, way, attributes, ONE)
    carried = dict(shelf.latest[0].headers)["traceparent"].decode()
    assert carried == expected if expected else carried != TRACE and len(carried) == 55


@pytest.mark.parametrize(
    "extra",
    [
        {"subject": "orders/17"},
        {"dataschema": "http://192.0.2.1/never-asked.json"},
        {"partitionkey": "C-9", "sequence": "17", "sampledrate": 3, "comexampleflag": True},
        {"comexample": ""},
        {"comexample": None, "subject": None, "time": None, "data_base64": None},
        {"a" * 64: "x" * MAX_LENGTH},
        {f"x{n}": n for n in range(MAX_ATTRIBUTES - len(REQUIRED))},
        {"datacontenttype": "application/json; charset=UTF-8"},
        {"datacontenttype": "application/vnd.shop.review+json"},
        {"datacontenttype": "text/json"},
        {"id": "顾客-9 \U0001f600", "source": "/店铺"},
    ],
    ids=str,
)
async def test_optional_attributes_and_extensions_are_taken(http: httpx.AsyncClient, extra: Any) -> None:
    assert (await structured(http, {**EVENT, **extra})).status_code == 202
    assert (await structured(http, [{**EVENT, **extra}], BATCHED)).json()["accepted"] == 1


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        'application/json;charset="UTF8"',
        "text/json",
        "application/vnd.shop+json",
    ],
)
async def test_the_data_is_any_json_in_binary_mode(http: httpx.AsyncClient, content_type: str) -> None:
    assert (await binary(http, {}, **{"content-type": content_type})).status_code == 202


@pytest.mark.parametrize("form", [STRUCTURED, BATCHED], ids=["structured", "batched"])
async def test_media_types_are_read_as_http_says(http: httpx.AsyncClient, form: dict[str, str]) -> None:
    said = {"content-type": form["content-type"].upper() + '; charset="UTF-8"'}
    event: Any = [EVENT] if form is BATCHED else EVENT
    assert (await structured(http, event, said)).status_code == 202
    zipped = {**said, "content-encoding": "gzip"}
    assert (await structured(http, gzip.compress(json.dumps(event).encode()), zipped)).status_code == 202


async def test_events_of_64_kib_and_far_more_are_taken(http: httpx.AsyncClient) -> None:
    data = {**ONE, "text": "好" * 20_000, "attributes": {f"a{n}": "x" * 1000 for n in range(50)}}
    assert len(json.dumps(data, ensure_ascii=False).encode()) > 64 * 1024
    for way in WAYS:
        await send(http, way, {}, data)


# --- batches ---------------------------------------------------------------------------------------------


async def test_an_empty_batch_takes_nothing(http: httpx.AsyncClient) -> None:
    answer = await structured(http, [], BATCHED)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "rejected": 0, "items": []})


async def test_only_the_rejected_of_a_batch_are_shown_on_demand(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/events?items=rejected", content=json.dumps([EVENT, 7]), headers=BATCHED)
    assert [item["index"] for item in answer.json()["items"]] == [1]


async def test_an_event_that_stands_twice_in_a_batch_counts_once(
    http: httpx.AsyncClient, shelf: Shelf
) -> None:
    other = {**EVENT, "data": {**ONE, "text": "other"}}
    answer = (await structured(http, [EVENT, EVENT, other], BATCHED)).json()
    assert [item.get("problem", {}).get("status") for item in answer["items"]] == [None, None, 409]
    assert len(shelf.latest) == 1


async def test_a_byte_that_is_not_utf8_harms_no_neighbour(http: httpx.AsyncClient) -> None:
    body = b'[{"id":"\xff"},' + json.dumps(EVENT).encode() + b"]"
    answer = (await structured(http, body, BATCHED)).json()
    assert [item.get("problem", {}).get("status") for item in answer["items"]] == [400, None]


async def test_each_event_of_a_batch_carries_its_own_trace(http: httpx.AsyncClient, shelf: Shelf) -> None:
    batch = [{**EVENT, "id": "1", "traceparent": TRACE}, {**EVENT, "id": "2"}]
    await http.post(
        "/v1/events", content=json.dumps(batch), headers={**BATCHED, "traceparent": TRACE[:-1] + "0"}
    )
    carried = [dict(record.headers)["traceparent"].decode() for record in shelf.latest]
    assert carried == [TRACE, TRACE[:-1] + "0"]


# --- sizes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "limit"), [(JSON, MAX_BODY), (STRUCTURED, MAX_BODY), (BATCHED, MAX_BATCH_BODY)]
)
async def test_a_body_over_the_limit_is_413(
    http: httpx.AsyncClient, headers: dict[str, str], limit: int
) -> None:
    answer = await http.post("/v1/events", content=b" " * (limit + 1), headers=headers)
    assert (answer.status_code, answer.json()["limit"]) == (413, limit)


async def test_an_event_of_a_batch_is_no_larger_than_one_alone(http: httpx.AsyncClient) -> None:
    large = {**EVENT, "comexample": "x" * MAX_BODY}
    answer = (await structured(http, [large, EVENT], BATCHED)).json()
    assert [item.get("problem", {}).get("status") for item in answer["items"]] == [413, None]
    assert answer["items"][0]["problem"]["limit"] == MAX_BODY


async def test_ten_thousand_events_are_a_batch_and_one_more_is_none(http: httpx.AsyncClient) -> None:
    answer = await structured(http, b"[" + b",".join([b"7"] * 10_001) + b"]", BATCHED)
    assert (answer.status_code, answer.json()["errors"][0]["limit"]) == (413, 10_000)


# --- who may send ----------------------------------------------------------------------------------------


def allowed(folder: Path, source: str | None, *scopes: Scope) -> tuple[Settings, dict[str, str]]:
    """Settings with one key that has these scopes, and the header of who holds it."""
    key = new_parts()
    entry = KeyEntry(
        name="shop",
        sha256=digest_of(key),
        scopes=frozenset(scopes),
        source=source,
        created=NOW,
        rate="1/h",
        burst=9,
    )
    write_keys(folder / "keys.yaml", {key.id: entry})
    settings = Settings(log="text", auth="keys", keys=folder / "keys.yaml")
    return settings, {"authorization": f"Bearer {key}"}


async def statuses(
    http: httpx.AsyncClient,
    who: dict[str, str],
    types: Sequence[str] = ("cqm.feedback.v1", "cqm.activity.v1"),
) -> list[int]:
    """What a feedback, an activity, and both in a batch are answered."""
    events = [{**EVENT, "type": kind, "data": ORDER if "activity" in kind else ONE} for kind in types]
    alone = [(await structured(http, event, STRUCTURED | who)).status_code for event in events]
    report = (await structured(http, events, BATCHED | who)).json()
    return [*alone, *(item.get("problem", {}).get("status", 202) for item in report.get("items", ()))]


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (("feedback:write", "activity:write"), [202, 202, 202, 202]),
        (("feedback:write",), [202, 403, 202, 403]),
        (("activity:write",), [403, 202, 403, 202]),
        (("imports",), [403, 403]),
    ],
    ids=str,
)
async def test_the_type_of_an_event_says_which_scope_it_takes(
    tmp_path: Path, scopes: tuple[Scope, ...], expected: list[int]
) -> None:
    settings, who = allowed(tmp_path, None, *scopes)
    async with client(Shelf(), settings=settings) as http:
        assert await statuses(http, who) == expected


async def test_who_may_send_nothing_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    settings, _ = allowed(tmp_path, None, "feedback:write")

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with client(Shelf(), settings=settings) as http:
        answer = await http.post("/v1/events", content=never(), headers=STRUCTURED)
    assert answer.status_code == 401


async def test_a_source_fixed_by_the_key_is_that_of_the_event(tmp_path: Path) -> None:
    settings, who = allowed(tmp_path, "/shop-cn/reviews", "feedback:write")
    async with client(Shelf(), settings=settings) as http:
        taken = await structured(http, EVENT, STRUCTURED | who)
        refused = await structured(http, {**EVENT, "source": "/shop-de"}, STRUCTURED | who)
        in_header = await binary(http, {"source": "/shop-de"}, **who)
    assert taken.status_code == 202
    assert (refusal(refused), refusal(in_header)) == ((422, ["/source"]), (422, ["ce-source"]))


async def test_each_event_costs_one_token_however_it_comes(tmp_path: Path) -> None:
    settings, who = allowed(tmp_path, None, "feedback:write", "activity:write")
    async with client(Shelf(), settings=settings) as http:
        left = []
        for events, form in ((EVENT, STRUCTURED), ([EVENT, EVENT], BATCHED), ([], BATCHED)):
            answer = await structured(http, events, form | who)
            left.append(answer.headers["ratelimit-remaining"])
    assert left == ["8", "6", "5"]
