"""CloudEvents that are refused: every rule of 1.0.2 that a sender can break, with status and place."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain import cloudevents
from services.intake.domain.cloudevents import KINDS, MAX_ATTRIBUTES, MAX_LENGTH
from services.intake.domain.inputs import Refused
from shared.topics import ACTIVITY, FEEDBACK
from tests.support.cloudevents import (
    BATCHED,
    EVENT,
    ONE,
    ORDER,
    REQUIRED,
    STRUCTURED,
    binary,
    headers_of,
    refusal,
    structured,
)
from tests.support.intake import Shelf, client


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="module")
async def http(shelf: Shelf) -> AsyncIterator[httpx.AsyncClient]:
    async with client(shelf) as opened:
        yield opened


# --- what is refused, in binary mode ---------------------------------------------------------------------

BAD_HEADERS: list[tuple[str, dict[str, str | bytes | None], int, list[str]]] = [
    ("no id", {"id": None}, 422, ["ce-id"]),
    ("no source", {"source": None}, 422, ["ce-source"]),
    ("no type", {"type": None}, 422, ["ce-type"]),
    ("no specversion", {"specversion": None}, 422, ["ce-specversion"]),
    ("an empty id", {"id": ""}, 422, ["ce-id"]),
    ("an id of a quoted nothing", {"id": '""'}, 422, ["ce-id"]),
    ("an empty source", {"source": ""}, 422, ["ce-source"]),
    ("an empty type", {"type": ""}, 422, ["ce-type"]),
    ("an empty subject", {"subject": ""}, 422, ["ce-subject"]),
    ("an empty time", {"time": ""}, 422, ["ce-time"]),
    ("specversion 0.3", {"specversion": "0.3"}, 422, ["ce-specversion"]),
    ("specversion 1.1", {"specversion": "1.1"}, 422, ["ce-specversion"]),
    ("another type", {"type": "com.example.order"}, 422, ["ce-type"]),
    ("a line break in the id", {"id": "R%0d%0a1"}, 422, ["ce-id"]),
    ("NUL in the id", {"id": "R%001"}, 422, ["ce-id"]),
    ("a C1 control in the id", {"id": "R%C2%85"}, 422, ["ce-id"]),
    ("a noncharacter in the id", {"id": "R%EF%BF%BF"}, 422, ["ce-id"]),
    ("a line break in an extension", {"comexample": "%0a"}, 422, ["ce-comexample"]),
    ("a byte that is not UTF-8", {"id": "%ff"}, 400, ["ce-id"]),
    ("an overlong space", {"id": "%C0%A0"}, 400, ["ce-id"]),
    ("half a surrogate pair", {"id": "%ED%A0%80"}, 400, ["ce-id"]),
    ("a cut character", {"id": "%E2%82"}, 400, ["ce-id"]),
    ("a lone percent sign", {"id": "100%"}, 400, ["ce-id"]),
    ("no hexadecimal", {"id": "%zz"}, 400, ["ce-id"]),
    ("UTF-8 as it is", {"id": "顾客"}, 400, ["ce-id"]),
    ("Latin-1 as it is", {"id": b"caf\xe9"}, 400, ["ce-id"]),
    ("a quote that does not end", {"id": '"R-1'}, 400, ["ce-id"]),
    ("something behind a quote", {"id": '"R"-1'}, 400, ["ce-id"]),
    ("an id of 201 characters", {"id": "x" * 201}, 422, ["ce-id"]),
    ("a source of 201 characters", {"source": "/" * 201}, 422, ["ce-source"]),
    ("a long extension", {"comexample": "x" * (MAX_LENGTH + 1)}, 422, ["ce-comexample"]),
    ("a name with a hyphen", {"trace-id": "x"}, 422, ["ce-trace-id"]),
    ("a long name", {"x" * 65: "x"}, 422, [""]),
    ("no time", {"time": "yesterday"}, 422, ["ce-time"]),
    ("a time without an offset", {"time": "2026-03-02T00:00:00"}, 422, ["ce-time"]),
    ("a second too many", {"time": "2026-03-02T00:00:61Z"}, 422, ["ce-time"]),
    ("a time of the year 0", {"time": "0000-01-01T00:00:00Z"}, 422, ["ce-time"]),
    ("a time of the year 1970", {"time": "1970-01-01T00:00:00Z"}, 422, ["ce-time"]),
    ("a time ahead", {"time": "2026-03-02T01:05:01Z"}, 422, ["ce-time"]),
    ("a datacontenttype as a header", {"datacontenttype": "application/json"}, 400, ["ce-datacontenttype"]),
    ("data as a header", {"data": "{}"}, 400, ["ce-data"]),
    ("many at once", {"id": None, "time": "x", "type": "x"}, 422, ["ce-id", "ce-type", "ce-time"]),
]


@pytest.mark.parametrize(
    ("attributes", "status", "pointers"),
    [pytest.param(*row[1:], id=row[0]) for row in BAD_HEADERS],
)
async def test_a_bad_attribute_of_binary_mode_is_refused_at_its_header(
    http: httpx.AsyncClient,
    shelf: Shelf,
    attributes: dict[str, str | bytes | None],
    status: int,
    pointers: list[str],
) -> None:
    before = len(shelf.groups)
    answer = await binary(http, attributes)
    assert refusal(answer) == (status, pointers)
    assert len(shelf.groups) == before
    for value in attributes.values():
        assert not (isinstance(value, str) and len(value) > 3) or value not in answer.text


@pytest.mark.parametrize("header", ["ce-id", "CE-ID", "ce-source", "ce-comexample"])
async def test_an_attribute_stands_in_one_header(http: httpx.AsyncClient, header: str) -> None:
    twice = [*headers_of({"comexample": "x"}), (header.encode(), b"R-1")]
    answer = await http.post("/v1/events", content=json.dumps(ONE), headers=twice)
    assert refusal(answer) == (400, [header.lower()])


async def test_too_many_attributes_are_refused(http: httpx.AsyncClient) -> None:
    answer = await binary(http, {f"x{n}": "1" for n in range(MAX_ATTRIBUTES)})
    assert refusal(answer) == (422, [""])
    assert answer.json()["errors"][0]["limit"] == MAX_ATTRIBUTES


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "json",
        "application/octet-stream",
        "application/json; charset=gbk",
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents-batch+avro",
        "multipart/form-data; boundary=x",
    ],
)
async def test_other_media_types_are_415(http: httpx.AsyncClient, content_type: str | None) -> None:
    headers = [one for one in headers_of({}) if one[0] != b"content-type"]
    if content_type is not None:
        headers.append((b"content-type", content_type.encode()))
    answer = await http.post("/v1/events", content=json.dumps(ONE), headers=headers)
    assert answer.status_code == 415


BAD_DATA: list[tuple[str, bytes, int, list[str]]] = [
    ("nothing", b"", 400, [""]),
    ("no JSON", b"broken", 400, [""]),
    ("cut off", b'{"kind":', 400, [""]),
    ("GBK", '{"kind":"call","text":"坏"}'.encode("gbk"), 400, [""]),
    ("a byte order mark", b'\xef\xbb\xbf{"kind":"call","text":"x"}', 400, [""]),
    ("deep", b"[" * 100_000, 400, [""]),
    ("a list", b"[]", 422, [""]),
    ("null", b"null", 422, [""]),
    ("text", b'"broken"', 422, [""]),
    ("a name twice", b'{"kind":"call","text":"a","text":"b"}', 422, ["/text"]),
    ("the source twice", b'{"kind":"call","text":"a","source":"a","source":"b"}', 422, ["/source"]),
    ("a wrong kind", b'{"kind":"rumour","text":"x"}', 422, ["/kind"]),
    ("half a surrogate pair", b'{"kind":"call","text":"\\ud800"}', 422, ["/text"]),
    ("NaN", b'{"kind":"call","text":"x","attributes":{"a":NaN}}', 422, ["/attributes/a"]),
    ("another source", b'{"kind":"call","text":"x","source":"shop-de"}', 422, ["/source"]),
    ("another id", b'{"kind":"call","text":"x","external_id":"R-9"}', 422, ["/external_id"]),
    ("a source that is no text", b'{"kind":"call","text":"x","source":7}', 422, ["/source"]),
    ("what no sender sets", b'{"kind":"call","text":"x","owner":"li"}', 422, ["/owner"]),
    ("an occurred_at that is none", b'{"kind":"call","text":"x","occurred_at":"x"}', 422, ["/occurred_at"]),
]


@pytest.mark.parametrize(
    ("body", "status", "pointers"), [pytest.param(*row[1:], id=row[0]) for row in BAD_DATA]
)
@pytest.mark.parametrize("way", ["binary", "base64"])
async def test_bad_data_is_refused_at_its_place(
    http: httpx.AsyncClient, way: str, body: bytes, status: int, pointers: list[str]
) -> None:
    if way == "binary":
        answer = await http.post("/v1/events", content=body, headers=headers_of({}))
        assert refusal(answer) == (status, pointers)
        return
    answer = await structured(http, {**REQUIRED, "data_base64": base64.b64encode(body).decode()})
    status = 422 if not body else status  # data that is not there is an attribute that is missing
    assert refusal(answer) == (status, [f"/data_base64{pointer}" for pointer in pointers])


# --- what is refused, in structured mode and in a batch --------------------------------------------------

Event = dict[str, Any]
BAD_EVENTS: list[tuple[str, Event, int, list[str]]] = [
    ("no id", {"id": None}, 422, ["/id"]),
    ("no source", {"source": None}, 422, ["/source"]),
    ("no type", {"type": None}, 422, ["/type"]),
    ("no specversion", {"specversion": None}, 422, ["/specversion"]),
    ("an empty id", {"id": ""}, 422, ["/id"]),
    ("an empty source", {"source": ""}, 422, ["/source"]),
    ("an empty type", {"type": ""}, 422, ["/type"]),
    ("an empty subject", {"subject": ""}, 422, ["/subject"]),
    ("an empty dataschema", {"dataschema": ""}, 422, ["/dataschema"]),
    ("specversion 0.3", {"specversion": "0.3"}, 422, ["/specversion"]),
    ("a specversion that is a number", {"specversion": 1.0}, 422, ["/specversion"]),
    ("another type", {"type": "com.example.order"}, 422, ["/type"]),
    ("an id that is a number", {"id": 17}, 422, ["/id"]),
    ("a line break in the id", {"id": "R\r\n1"}, 422, ["/id"]),
    ("NUL in the id", {"id": "R\0"}, 422, ["/id"]),
    ("an id of 201 characters", {"id": "好" * 201}, 422, ["/id"]),
    ("a bad time", {"time": "yesterday"}, 422, ["/time"]),
    ("a time that is a number", {"time": 1772413200}, 422, ["/time"]),
    ("a time ahead", {"time": "2026-03-02T01:05:01Z"}, 422, ["/time"]),
    ("data of another type", {"datacontenttype": "text/plain"}, 422, ["/datacontenttype"]),
    ("data in another charset", {"datacontenttype": "text/json;charset=gbk"}, 422, ["/datacontenttype"]),
    ("a name in capitals", {"dataContentType": "application/json"}, 422, ["/dataContentType"]),
    ("a name that is none", {"x y": 1}, 422, [""]),
    ("an object as an extension", {"comexample": {"$ne": None}}, 422, ["/comexample"]),
    ("a list as an extension", {"comexample": [1]}, 422, ["/comexample"]),
    ("a fraction as an extension", {"comexample": 0.5}, 422, ["/comexample"]),
    ("an integer of 33 bits", {"comexample": 2**31}, 422, ["/comexample"]),
    ("no data", {"data": None}, 422, ["/data"]),
    ("data twice", {"data_base64": "e30="}, 422, ["/data_base64"]),
    ("data that is no base64", {"data": None, "data_base64": "{}"}, 422, ["/data_base64"]),
    ("base64 that is no text", {"data": None, "data_base64": 7}, 422, ["/data_base64"]),
    ("data that is text", {"data": json.dumps(ONE)}, 422, ["/data"]),
    ("a wrong kind", {"data": {**ONE, "kind": "rumour"}}, 422, ["/data/kind"]),
    ("a feedback as an activity", {"type": "cqm.activity.v1"}, 422, ["/data/kind", "/data/text"]),
    ("another source", {"data": {**ONE, "source": "shop-de"}}, 422, ["/data/source"]),
    ("another id", {"data": {**ONE, "external_id": "R-9"}}, 422, ["/data/external_id"]),
    ("specversion 0.3's encoding", {"datacontentencoding": {"a": 1}}, 422, ["/datacontentencoding"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "status", "pointers"), [pytest.param(*row[1:], id=row[0]) for row in BAD_EVENTS]
)
async def test_a_bad_event_is_refused_at_its_place_and_spoils_no_batch(
    http: httpx.AsyncClient, shelf: Shelf, change: Event, status: int, pointers: list[str]
) -> None:
    bad = {**EVENT, **change}
    answer = await structured(http, bad)
    assert refusal(answer) == (status, pointers)
    batch = [{**EVENT, "id": "first"}, bad, {**REQUIRED, "type": "cqm.activity.v1", "data": ORDER}]
    answer = await structured(http, batch, BATCHED)
    report = answer.json()
    assert (answer.status_code, report["accepted"], report["rejected"]) == (207, 2, 1)
    problem = report["items"][1]["problem"]
    assert problem["status"] == status
    assert [fault["pointer"] for fault in problem["errors"]] == pointers
    assert [record.topic for record in shelf.latest] == [FEEDBACK.name, ACTIVITY.name]


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        (b"", 400, [""]),
        (b"{", 400, [""]),
        (b"\xff", 400, [""]),
        (b'{"id":"\xff"}', 400, [""]),
        (b"\xef\xbb\xbf{}", 400, [""]),
        (b"{}{}", 400, [""]),
        (b"{" + b'"a":[' * 100_000, 400, [""]),
        (b"null", 422, [""]),
        (json.dumps([EVENT]).encode(), 422, [""]),
        (b'{"id":"1","id":"2"}', 422, ["/id"]),
        (b'{"id":"\\ud800"}', 422, [""]),
        (b'{"comexample":NaN}', 422, [""]),
        (json.dumps(EVENT).encode()[:-1] + b',"data":{}}', 422, ["/data"]),
        (json.dumps(EVENT).encode()[:-1] + b',"\\u0069d":"R-2"}', 422, ["/id"]),
        (b"{}", 422, ["/specversion", "/id", "/source", "/type", "/data"]),
    ],
    ids=["nothing", "cut off", "no UTF-8", "no UTF-8 in an id", "a byte order mark", "two", "deep", "null",
         "a batch where none is expected", "two ids", "half a surrogate pair", "NaN", "data twice",
         "an escaped id beside another", "an empty object"],
)  # fmt: skip
async def test_a_body_that_is_no_event_is_refused(
    http: httpx.AsyncClient, body: bytes, status: int, pointers: list[str]
) -> None:
    assert refusal(await structured(http, body)) == (status, pointers)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from([*KINDS, "data", "data_base64", "comexample"]) | st.text(max_size=5)


@given(st.dictionaries(NAMES, JSON_VALUES).map(json.dumps).map(str.encode) | st.binary())
def test_any_body_is_an_event_or_refused(body: bytes) -> None:
    try:
        event = cloudevents.structured(body)
    except Refused as refused:
        assert refused.flaws
    else:
        assert event.id and event.source and event.data


@pytest.mark.parametrize("form", [STRUCTURED, BATCHED], ids=["structured", "batched"])
async def test_attributes_do_not_stand_in_two_places(http: httpx.AsyncClient, form: dict[str, str]) -> None:
    event: Any = [EVENT] if form is BATCHED else EVENT
    answer = await structured(http, event, {**form, "ce-id": "R-1", "ce-type": "cqm.feedback.v1"})
    assert refusal(answer) == (400, ["ce-id", "ce-type"])


@pytest.mark.parametrize("body", [b"{}", json.dumps(EVENT).encode(), b"[1,", b"7", b"", b"[" * 100_000])
async def test_a_batch_is_an_array(http: httpx.AsyncClient, body: bytes) -> None:
    assert refusal(await structured(http, body, BATCHED)) == (400, [""])
