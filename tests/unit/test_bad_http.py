"""Every bad input of HTTP's JSON, through each door that takes it: what is answered, where it points, and
that the neighbours in a batch are taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.support.intake import Shelf, client

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
LEAST = {"feedback": '"kind":"complaint","text":"broken"', "activity": '"kind":"order"'}
SECRET = "s3cret"

Row = tuple[str | bytes, int, str]
"""A member beside what a signal needs, or a whole body; the status; the pointer."""

MEMBERS: dict[str, Row] = {
    "NaN": ('"attributes":{"a":NaN}', 422, "/attributes/a"),
    "Infinity": ('"attributes":{"a":Infinity}', 422, "/attributes/a"),
    "-Infinity": ('"attributes":{"a":-Infinity}', 422, "/attributes/a"),
    "an integer of 2^63": ('"attributes":{"a":9223372036854775808}', 422, "/attributes/a"),
    "an integer of 2^64": ('"attributes":{"a":18446744073709551616}', 422, "/attributes/a"),
    "5,000 digits": ('"attributes":{"a":' + "9" * 5000 + "}", 422, "/attributes/a"),
    "1e999": ('"attributes":{"a":1e999}', 422, "/attributes/a"),
    "-1e999": ('"attributes":{"a":-1e999}', 422, "/attributes/a"),
    "half of a surrogate pair": ('"external_id":"\\ud800"', 422, "/external_id"),
    "the other half": ('"attributes":{"a":"\\udc00"}', 422, "/attributes/a"),
    "a surrogate pair the wrong way round": ('"external_id":"\\udc00\\ud800"', 422, "/external_id"),
    "NUL": ('"external_id":"a\\u0000b"', 422, "/external_id"),
    "NUL in an attribute": ('"attributes":{"a":"\\u0000"}', 422, "/attributes/a"),
    "a line break in an id": ('"external_id":"a\\nb"', 422, "/external_id"),
    "a raw DEL in an id": ('"external_id":"a\x7fb"', 422, "/external_id"),
    "a name twice": ('"source":"a","source":"b"', 422, "/source"),
    "a name twice, one escaped": ('"source":"a","\\u0073ource":"b"', 422, "/source"),
    "a name twice in a part": ('"customer":{"id":"a","id":"b"}', 422, "/customer/id"),
    "depth 33": ('"attributes":{"a":' + "[" * 31 + "]" * 31 + "}", 422, "/attributes/a"),
    "depth 900": ('"attributes":' + '{"a":' * 900 + "1" + "}" * 900, 422, "/attributes/a"),
    "a number as text": ('"external_id":7', 422, "/external_id"),
    "null": ('"external_id":null', 422, "/external_id"),
    "a list as a part": ('"customer":[]', 422, "/customer"),
    "true as a number": ('"customer":{"id":true}', 422, "/customer/id"),
    "an unknown field": (f'"colour":"{SECRET}"', 422, "/colour"),
    "owner": (f'"owner":"{SECRET}"', 422, "/owner"),
    "status": ('"status":"closed"', 422, "/status"),
    "version": ('"version":3', 422, "/version"),
    "received_at": ('"received_at":"2026-03-02T01:00:00Z"', 422, "/received_at"),
    "id": ('"id":"0192f0e4-7c2a-7d31-9b3e-abcdefabcdef"', 422, "/id"),
    "a query as a value": ('"external_id":{"$ne":null}', 422, "/external_id"),
    "a query as a part": ('"customer":{"$ne":null}', 422, "/customer/$ne"),
    "$where": ('"$where":"1"', 422, "/$where"),
    "a dotted name": ('"a.b":1', 422, "/a.b"),
    "an empty name": ('"":1', 422, "/"),
    "__proto__": ('"__proto__":{}', 422, "/__proto__"),
    "attributes: $where": ('"attributes":{"$where":"1"}', 422, "/attributes/$where"),
    "attributes: a dotted name": ('"attributes":{"a.b":1}', 422, "/attributes/a.b"),
    "attributes: an empty name": ('"attributes":{"":1}', 422, "/attributes/"),
    "attributes: __proto__": ('"attributes":{"__proto__":1}', 422, "/attributes/__proto__"),
    "attributes: a query": ('"attributes":{"a":{"$ne":null}}', 422, "/attributes/a"),
    "a time without a zone": ('"occurred_at":"2026-03-02T09:00:00"', 422, "/occurred_at"),
    "year 0": ('"occurred_at":"0000-01-01T00:00:00Z"', 422, "/occurred_at"),
    "year 1, before it in UTC": ('"occurred_at":"0001-01-01T00:00:00+14:00"', 422, "/occurred_at"),
    "year 9999": ('"occurred_at":"9999-12-31T23:59:59Z"', 422, "/occurred_at"),
    "far in the future": ('"occurred_at":"2027-01-01T00:00:00Z"', 422, "/occurred_at"),
    "a number as a time": ('"occurred_at":1772413200', 422, "/occurred_at"),
    "a name of a thousand letters": (f'"{"x" * 1000}":1', 422, ""),
    "a script as a name": (f'"<script>{SECRET}</script>":1', 422, ""),
}
ONLY_FEEDBACK: dict[str, Row] = {
    "a score off its scale": (
        '"rating":{"metric":"csat","score":6,"scale_min":1,"scale_max":5}', 422, "/rating/score",
    ),
    "a scale of NPS that is none": (
        '"rating":{"metric":"nps","score":3,"scale_min":1,"scale_max":10}', 422, "/rating/scale_min",
    ),
    "a score that is NaN": (
        '"rating":{"metric":"ces","score":1e999,"scale_min":1,"scale_max":7}', 422, "/rating/score",
    ),
    "a text of a megabyte": (f'"subject":"{"x" * 1_000_000}"', 422, "/subject"),
    "an unknown channel": (f'"channel":"{SECRET}"', 422, "/channel"),
}  # fmt: skip
ONLY_ACTIVITY: dict[str, Row] = {
    "no quantity": ('"quantity":0', 422, "/quantity"),
    "half a quantity": ('"quantity":1.5', 422, "/quantity"),
    "a quantity of 2^63": ('"quantity":9223372036854775808', 422, "/quantity"),
    "a text": ('"text":"broken"', 422, "/text"),
}

WHOLE: dict[str, Row] = {
    "bad UTF-8": (b'{"kind":"call","text":"\xff"}', 400, ""),
    "a surrogate in UTF-8": (b'{"kind":"call","text":"\xed\xa0\x80"}', 400, ""),
    "GBK": ('{"kind":"call","text":"坏了"}'.encode("gbk"), 400, ""),
    "UTF-16": ('{"kind":"call","text":"x"}'.encode("utf-16-le"), 400, ""),
    "a byte order mark": (b'\xef\xbb\xbf{"kind":"call","text":"x"}', 400, ""),
    "a raw NUL": (b'{"kind":"call","text":"\x00"}', 400, ""),
    "trailing bytes": (b'{"kind":"call","text":"x"}x', 400, ""),
    "two documents": (b'{"kind":"call","text":"x"} {"kind":"call","text":"x"}', 400, ""),
    "a trailing comma": (b'{"kind":"call","text":"x",}', 400, ""),
    "cut off": (b'{"kind":"call","tex', 400, ""),
    "a hundred thousand brackets": (b"[" * 100_000, 400, ""),
    "a string": (b'"kind"', 422, ""),
    "a number": (b"7", 422, ""),
    "null": (b"null", 422, ""),
    "an array": (b"[]", 422, ""),
    "an empty object": (b"{}", 422, "/kind"),
}


def single(signal: str, body: bytes) -> tuple[str, bytes, dict[str, str]]:
    return f"/v1/{signal}", body, JSON


def line(signal: str, body: bytes) -> tuple[str, bytes, dict[str, str]]:
    """Between two good lines."""
    good = b"{%s}" % LEAST[signal].encode()
    return f"/v1/{signal}/batch", b"\n".join([good, body, good]), NDJSON


def element(signal: str, body: bytes) -> tuple[str, bytes, dict[str, str]]:
    """Between two good elements."""
    good = b"{%s}" % LEAST[signal].encode()
    return f"/v1/{signal}/batch", b"[" + b",".join([good, body, good]) + b"]", JSON


Way = Callable[[str, bytes], tuple[str, bytes, dict[str, str]]]
WAYS: tuple[Way, ...] = (single, line, element)


def cases() -> list[Any]:
    """Signal, way, body, status, pointer; and whether all of an array is refused."""
    found = []
    for signal, own in (("feedback", ONLY_FEEDBACK), ("activity", ONLY_ACTIVITY)):
        rows: dict[str, Row] = {**MEMBERS, **own, **WHOLE}
        for name, (bad, status, pointer) in rows.items():
            body = bad if isinstance(bad, bytes) else f"{{{LEAST[signal]},{bad}}}".encode()
            for way in WAYS:
                falls_apart = status == 400 and name not in READ_BY_THEMSELVES
                found.append(
                    pytest.param(
                        signal, way, body, status, pointer, way is element and falls_apart,
                        id=f"{signal} {way.__name__}: {name}",
                    )
                )  # fmt: skip
    return found


READ_BY_THEMSELVES = {"bad UTF-8", "a surrogate in UTF-8", "GBK"}
"""Of what is no JSON: an array is split before its strings are read."""


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with client(Shelf()) as http:
        yield http


@pytest.mark.parametrize(("signal", "way", "body", "status", "pointer", "whole"), cases())
async def test_a_bad_signal_is_refused_with_its_place(
    http: httpx.AsyncClient, signal: str, way: Way, body: bytes, status: int, pointer: str, whole: bool
) -> None:
    path, content, headers = way(signal, body)
    answer = await http.post(path, content=content, headers=headers)
    assert SECRET not in answer.text
    if whole:
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "")
        return
    problem = answer.json()
    if way is not single:
        assert (answer.status_code, problem["accepted"], problem["rejected"]) == (207, 2, 1)
        assert [item["index"] for item in problem["items"] if "id" in item] == [0, 2]
        problem = problem["items"][1]["problem"]
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code == problem["status"]
    assert problem["status"] == status
    assert pointer in [error["pointer"] for error in problem["errors"]], problem
    assert len(problem["errors"]) <= 20
