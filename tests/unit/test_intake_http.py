"""The HTTP rules of intake that need no Kafka: bodies, limits, statuses, and posts that go out together."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from services.intake.api import Outlet, splitting
from services.intake.api.batch import MAX_BODY
from services.intake.api.routes import MAX_BATCH_BODY
from services.intake.api.splitting import MAX_ITEMS
from services.intake.domain import inputs
from services.intake.domain.idempotency import key_of
from shared.codec import Outgoing
from shared.errors import Unavailable
from shared.sealing import Seals
from shared.topics import MAX_RECORD_BYTES
from tests.support.intake import Shelf, client

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
ONE = {"kind": "complaint", "text": "broken"}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def post(
    shelf: Shelf, path: str, content: Any, headers: dict[str, str], **options: Any
) -> httpx.Response:
    async with client(shelf, **options) as http:
        return await http.post(path, content=content, headers=headers)


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


async def test_a_problem_names_the_field_and_the_limit_and_not_the_value(shelf: Shelf) -> None:
    answer = await post(shelf, "/v1/feedback", json.dumps(ONE | {"text": "y" * 30_000}), JSON)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [
        {"pointer": "/text", "message": "has more than 20000 characters", "limit": 20000}
    ]
    assert "yyyy" not in answer.text


@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "application/json; charset=gbk"])
async def test_another_media_type_is_refused(shelf: Shelf, kind: str) -> None:
    answer = await post(shelf, "/v1/feedback", json.dumps(ONE), {"content-type": kind} if kind else {})
    assert answer.status_code == 415


async def test_one_feedback_is_no_ndjson(shelf: Shelf) -> None:
    assert (await post(shelf, "/v1/feedback", json.dumps(ONE), NDJSON)).status_code == 415


async def test_utf8_may_be_said(shelf: Shelf) -> None:
    said = {"content-type": 'Application/JSON; charset="UTF-8"'}
    assert (await post(shelf, "/v1/feedback", json.dumps(ONE), said)).status_code == 202


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/feedback", MAX_BODY), ("/v1/activity/batch", MAX_BATCH_BODY)]
)
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_413_declared_or_not(
    shelf: Shelf, path: str, limit: int, declared: bool
) -> None:
    body = b'"' + b"x" * limit
    answer = await post(shelf, path, body if declared else in_pieces(body), JSON)
    assert answer.status_code == 413
    assert answer.json()["limit"] == limit


async def test_gzip_is_inflated(shelf: Shelf) -> None:
    body = gzip.compress(json.dumps(ONE).encode())
    assert (await post(shelf, "/v1/feedback", body, JSON | {"content-encoding": "gzip"})).status_code == 202


async def test_gzip_may_come_in_members_and_in_pieces_of_a_byte(shelf: Shelf) -> None:
    lines = [json.dumps(ONE | {"external_id": str(n), "text": "x" * 90}) + "\n" for n in range(40)]
    body = b"".join(gzip.compress(line.encode()) for line in lines)

    async def bytes_of(body: bytes) -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])

    answer = await post(shelf, "/v1/feedback/batch", bytes_of(body), NDJSON | {"content-encoding": "gzip"})
    assert answer.json()["accepted"] == 40


async def test_a_gzip_bomb_is_413_before_it_is_held(shelf: Shelf) -> None:
    bomb = gzip.compress(bytes(1 << 25), 1)
    answer = await post(shelf, "/v1/feedback", bomb, JSON | {"content-encoding": "gzip"}, budget=4 * MAX_BODY)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip",
        gzip.compress(b"{}")[:-3],
        gzip.compress(b"{}") + b"more",
        gzip.compress(b"{}")[:-8] + bytes(8),
        b"",
        gzip.compress(b"") * 1001,
    ],
    ids=["plain", "cut off", "something after it", "a wrong sum", "nothing", "a thousand and one members"],
)
async def test_broken_gzip_is_400(shelf: Shelf, body: bytes) -> None:
    answer = await post(shelf, "/v1/feedback", body, JSON | {"content-encoding": "gzip"})
    assert answer.status_code == 400


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip"])
async def test_other_encodings_are_415(shelf: Shelf, encoding: str) -> None:
    answer = await post(shelf, "/v1/feedback", b"{}", JSON | {"content-encoding": encoding})
    assert answer.status_code == 415


async def test_a_body_that_does_not_come_is_408(shelf: Shelf) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    assert (await post(shelf, "/v1/feedback", stalled(), JSON, seconds=0.01)).status_code == 408


async def test_what_is_over_the_budget_is_told_to_come_again_and_gives_its_bytes_back(shelf: Shelf) -> None:
    async with client(shelf, budget=1000) as http:
        full = await http.post("/v1/feedback", content=json.dumps(ONE | {"text": "x" * 2000}), headers=JSON)
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert (await http.post("/v1/feedback", content=json.dumps(ONE), headers=JSON)).status_code == 202


@pytest.mark.parametrize(
    "key", ["", "a b", "schlüssel", "x" * 256, '""', '"a', '"a"b"', '"a";p=1', '"\\a"', f'"{"x" * 256}"']
)
async def test_an_idempotency_key_is_visible_ascii(shelf: Shelf, key: str) -> None:
    headers = {**JSON, "idempotency-key": key}
    async with client(shelf) as http:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        answer = await http.post("/v1/feedback", content=json.dumps(ONE), headers=raw)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Idempotency-Key"


async def test_a_key_in_quotation_marks_is_the_same_key(shelf: Shelf) -> None:
    """As draft-ietf-httpapi-idempotency-key-header writes it, and as many clients do."""
    keys = ("8e03978e-40d5", '"8e03978e-40d5"', ' "8e03978e-40d5" ')
    answers = [
        await post(shelf, "/v1/feedback", json.dumps(ONE), JSON | {"idempotency-key": key}) for key in keys
    ]
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize(("quoted", "bare"), [('"a b"', "a b"), ('"a\\"b"', 'a"b'), ('"a\\\\b"', "a\\b")])
def test_a_quoted_key_may_hold_what_a_bare_one_may_not(quoted: str, bare: str) -> None:
    assert key_of([quoted]) == bare


async def test_two_keys_are_none(shelf: Shelf) -> None:
    headers = [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")]
    async with client(shelf) as http:
        answer = await http.post("/v1/feedback", content=json.dumps(ONE), headers=headers)
    assert answer.status_code == 422


async def test_kafka_away_is_503_with_retry_after(shelf: Shelf) -> None:
    shelf.failing = Unavailable("no leader")
    answer = await post(shelf, "/v1/feedback", json.dumps(ONE), JSON)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


async def test_nobody_waits_longer_than_the_deadline(shelf: Shelf) -> None:
    shelf.open.clear()
    assert (await post(shelf, "/v1/feedback", json.dumps(ONE), JSON, deadline=0.02)).status_code == 503


def record(number: int) -> Outgoing:
    return Outgoing("cqm.feedback.v1", b"k", b"%d" % number, [])


async def test_posts_that_arrive_during_a_publication_share_the_next(shelf: Shelf) -> None:
    outlet = Outlet(shelf, 1.5)  # type: ignore[arg-type]
    shelf.open.clear()
    first = asyncio.create_task(outlet.publish(record(0)))
    await shelf.asked.wait()
    others = [asyncio.create_task(outlet.publish(record(number))) for number in range(1, 20)]
    await asyncio.sleep(0)  # each runs until it waits
    shelf.open.set()
    await asyncio.gather(first, *others)
    assert shelf.groups == [[record(0)], [record(number) for number in range(1, 20)]]


async def test_a_failed_publication_fails_its_own_posts_only(shelf: Shelf) -> None:
    outlet = Outlet(shelf, 1.5)  # type: ignore[arg-type]
    shelf.failing = Unavailable("no leader")
    with pytest.raises(Unavailable):
        await outlet.publish(record(0))
    shelf.failing = None
    await outlet.publish(record(1))


async def test_each_publication_tells_how_long_its_oldest_waited_also_one_that_failed(shelf: Shelf) -> None:
    waited: list[float] = []
    outlet = Outlet(shelf, 0.05, waited.append)  # type: ignore[arg-type]
    await outlet.publish(record(0))
    shelf.open.clear()
    with pytest.raises(Unavailable):
        await outlet.publish(record(1))
    shelf.open.set()
    await outlet.publish(record(2))
    assert len(waited) == 3
    assert waited[1] >= 0.04 and min(waited) >= 0  # the loop's clock counts whole milliseconds


async def test_who_has_given_up_is_not_published(shelf: Shelf) -> None:
    outlet = Outlet(shelf, 1.5)  # type: ignore[arg-type]
    shelf.open.clear()
    first = asyncio.create_task(outlet.publish(record(0)))
    await shelf.asked.wait()
    second, third = (asyncio.create_task(outlet.publish(record(number))) for number in (1, 2))
    await asyncio.sleep(0)  # each runs until it waits
    second.cancel()
    shelf.open.set()
    await asyncio.gather(first, third)
    assert second.cancelled() and shelf.groups == [[record(0)], [record(2)]]


async def test_each_is_told_at_its_own_deadline_by_the_one_timer(shelf: Shelf) -> None:
    outlet, loop = Outlet(shelf, 0.05), asyncio.get_running_loop()  # type: ignore[arg-type]
    shelf.open.clear()

    async def late(number: int) -> float:
        began = loop.time()
        with pytest.raises(Unavailable, match="too late"):
            await outlet.publish(record(number))
        return loop.time() - began

    first = asyncio.create_task(late(0))
    await shelf.asked.wait()
    await asyncio.sleep(0.02)  # the second begins later, and while the first is under way
    assert min(await asyncio.gather(first, asyncio.create_task(late(1)))) >= 0.05
    shelf.open.set()
    await outlet.publish(record(2))
    assert shelf.groups[-1] == [record(2)]


async def test_a_batch_answers_item_by_item_in_order(shelf: Shelf) -> None:
    items = [ONE | {"external_id": "1"}, {"kind": "x"}, ONE | {"external_id": "2"}, 7]
    answer = await post(shelf, "/v1/feedback/batch", json.dumps(items), JSON)
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["rejected"]) == (207, 2, 2)
    assert [(item["index"], "id" in item) for item in body["items"]] == [
        (0, True), (1, False), (2, True), (3, False),
    ]  # fmt: skip
    assert body["items"][1]["problem"]["status"] == 422
    assert body["items"][1]["problem"]["errors"][0]["pointer"] == "/kind"


async def test_only_the_rejected_are_shown_on_demand(shelf: Shelf) -> None:
    answer = await post(shelf, "/v1/feedback/batch?items=rejected", json.dumps([ONE, 7]), JSON)
    assert [item["index"] for item in answer.json()["items"]] == [1]
    assert (await post(shelf, "/v1/feedback/batch?items=some", "[]", JSON)).status_code == 422


async def test_a_broken_line_harms_no_neighbour(shelf: Shelf) -> None:
    line = json.dumps(ONE).encode()
    body = b"\n".join([line, b'{"kind":', b"", b'{"kind":"complaint","text":"\xff"}', line + b"\r", line])
    answer = (await post(shelf, "/v1/feedback/batch", body, NDJSON)).json()
    assert (answer["accepted"], answer["rejected"]) == (3, 2)
    assert [item["problem"]["status"] for item in answer["items"] if "problem" in item] == [400, 400]


@pytest.mark.parametrize(
    ("body", "verdicts"),
    [
        (b"%s\r\n%s\r\n", [202, 202]),
        (b"%s\n%s", [202, 202]),
        (b"\n\r\n \t\n%s\n\n%s\n\n", [202, 202]),
        (b"\xef\xbb\xbf%s\n%s\n", [400, 202]),
        (b"%s" + b" " * (1 << 20) + b"\n%s\n", [202, 202]),
        (b"%s\n\x00\n%s\n", [202, 400, 202]),
        (b"%s,\n%s\n", [400, 202]),
        (b"%s\r%s\n", [400]),
        (b"[%s]\n%s\n", [422, 202]),
    ],
    ids=[
        "CRLF", "no line break at the end", "blank lines", "a byte order mark", "blanks of 1 MiB", "a NUL",
        "a comma at the end", "CR alone", "an array as a line",
    ],
)  # fmt: skip
async def test_lines_are_lines(shelf: Shelf, body: bytes, verdicts: list[int]) -> None:
    line = json.dumps(ONE).encode()
    answer = await post(shelf, "/v1/feedback/batch", body % (line, line), NDJSON)
    items = answer.json()["items"]
    assert [202 if "id" in item else item["problem"]["status"] for item in items] == verdicts


@pytest.mark.parametrize(
    "body", ["[%s,]", "[%s]x", "[%s][%s]", "[%s %s]", "[,%s]", "[%s,,%s]", "{%s}", "[NaN,%s,]"]
)
async def test_an_array_that_is_no_json_is_refused_as_a_whole(shelf: Shelf, body: str) -> None:
    answer = await post(shelf, "/v1/feedback/batch", body.replace("%s", json.dumps(ONE)), JSON)
    assert (answer.status_code, shelf.groups) == (400, [])


async def test_an_item_that_only_other_readers_would_take_harms_no_neighbour_in_an_array(
    shelf: Shelf,
) -> None:
    one = json.dumps(ONE)
    body = f'[ {one} , NaN,-Infinity , {{"kind":"call","text":"\\ud800"}},1e999, {one}]'
    items = (await post(shelf, "/v1/feedback/batch", body, JSON)).json()["items"]
    assert ["id" in item for item in items] == [True, False, False, False, False, True]


async def test_too_many_items_are_413_even_where_one_is_no_json(shelf: Shelf) -> None:
    body = "[NaN" + ",1" * MAX_ITEMS + "]"
    assert (await post(shelf, "/v1/feedback/batch", body, JSON)).status_code == 413


@pytest.mark.parametrize("nothing", [b"[],", b"{},", b"1,"])
async def test_a_nearly_json_array_of_more_than_a_batch_can_hold_is_refused_unread(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, nothing: bytes
) -> None:
    """Sixteen megabytes of empty lists became half a gigabyte of them, in six seconds of everybody's."""
    read: list[int] = []

    class Reader(json.JSONDecoder):
        def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
            read.append(idx)
            return super().raw_decode(s, idx)

    monkeypatch.setattr(splitting, "_lenient", Reader(parse_constant=str))
    monkeypatch.setattr(splitting, "MAX_COMMAS", 1000, raising=False)
    monkeypatch.setattr(splitting, "MAX_BRACKETS", 1000, raising=False)
    one = json.dumps(ONE).encode()
    few = await post(shelf, "/v1/feedback/batch", b"[NaN,[" + nothing * 900 + b"1]," + one + b"]", JSON)
    assert (few.status_code, few.json()["accepted"], len(read)) == (207, 1, 3)
    many = await post(shelf, "/v1/feedback/batch", b"[NaN,[" + nothing * 1000 + b"1]," + one + b"]", JSON)
    assert (many.status_code, many.json()["errors"][0]["message"], len(read)) == (400, "is not JSON", 3)


def test_the_largest_batch_of_the_largest_signals_stays_below_what_a_nearly_json_array_may_have() -> None:
    parts = [struct for struct in vars(inputs).values() if isinstance(struct, type(msgspec.Struct))]
    members = sum(len(msgspec.structs.fields(part)) for part in parts if part is not inputs.ActivityInput)
    assert MAX_ITEMS * (members + 50) < splitting.MAX_COMMAS  # 50 attributes
    assert MAX_ITEMS * (len(parts) + 1) < splitting.MAX_BRACKETS


async def test_the_largest_feedback_fits_into_a_record(shelf: Shelf) -> None:
    """Control characters take six bytes each: nothing that passes the checks is too large for Kafka."""
    wide = {
        "text": "\x01" * 20_000, "subject": "\x01" * 500,
        "attributes": {f"{n:064}": "\x01" * 1000 for n in range(50)},
    }  # fmt: skip
    answer = await post(shelf, "/v1/feedback", json.dumps(ONE | wide), JSON)
    assert answer.status_code == 202 and len(shelf.latest[0].value) < MAX_RECORD_BYTES


async def test_a_byte_that_is_not_utf8_harms_no_neighbour_in_an_array(shelf: Shelf) -> None:
    body = b'[{"kind":"complaint","text":"\xff"},' + json.dumps(ONE).encode() + b"]"
    answer = (await post(shelf, "/v1/feedback/batch", body, JSON)).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)


async def test_an_item_of_a_batch_is_no_larger_than_one_alone(shelf: Shelf) -> None:
    """What is wrong with a line of 16 MiB took half a minute to say, and all others waited."""
    body = b"\n".join([b" " * (MAX_BODY + 1) + b"{}", json.dumps(ONE).encode()])
    answer = (await post(shelf, "/v1/feedback/batch", body, NDJSON)).json()
    assert [item.get("problem", {}).get("status") for item in answer["items"]] == [413, None]
    assert answer["items"][0]["problem"]["limit"] == MAX_BODY


async def test_a_slice_of_bad_items_gives_way_to_other_requests(shelf: Shelf) -> None:
    others = 0

    async def another() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(another())
    await post(shelf, "/v1/feedback/batch", b"7\n" * 400, NDJSON)
    waiting.cancel()
    assert others > 20, "each twenty refused items end a turn"


async def test_one_identity_with_two_contents_in_a_batch_is_a_conflict(shelf: Shelf) -> None:
    one, other = ONE | {"external_id": "1"}, ONE | {"external_id": "1", "text": "other"}
    answer = (await post(shelf, "/v1/feedback/batch", json.dumps([one, other, one]), JSON)).json()
    assert [item.get("problem", {}).get("status") for item in answer["items"]] == [None, 409, None]
    assert answer["items"][0]["id"] == answer["items"][2]["id"]
    assert [len(group) for group in shelf.groups] == [1]


async def test_a_key_gives_each_item_of_a_batch_an_identity(shelf: Shelf) -> None:
    body = json.dumps([ONE, ONE])
    answers = [await post(shelf, "/v1/feedback/batch", body, JSON | {"idempotency-key": "k"}) for _ in "ab"]
    first, second = ([item["id"] for item in answer.json()["items"]] for answer in answers)
    assert first == second and first[0] != first[1]


@pytest.mark.parametrize("body", ["{}", "7", "[1,", "", "[" * 100_000, '\ufeff[{"kind":"call"}]'])
async def test_a_batch_that_is_no_array_is_400(shelf: Shelf, body: str) -> None:
    assert (await post(shelf, "/v1/feedback/batch", body.encode(), JSON)).status_code == 400


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[" + b",".join([b"1"] * (MAX_ITEMS + 1)) + b"]", JSON),
        (b"[" + b",".join([b"1"] * 4_000_000) + b"]", JSON),
        (b"1\n" * (MAX_ITEMS + 1), NDJSON),
        (b"\n" * 8_000_000, NDJSON),
    ],
    ids=["one too many", "millions", "a line too many", "millions of lines"],
)
async def test_too_many_items_are_413(shelf: Shelf, body: bytes, headers: dict[str, str]) -> None:
    answer = await post(shelf, "/v1/activity/batch", body, headers)
    assert (answer.status_code, answer.json()["errors"][0]["limit"]) == (413, MAX_ITEMS)


async def test_an_empty_batch_takes_nothing(shelf: Shelf) -> None:
    for body, headers in (("[]", JSON), ("\n", NDJSON)):
        answer = await post(shelf, "/v1/feedback/batch", body, headers)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "rejected": 0, "items": []})


@pytest.mark.parametrize(("path", "kind"), [("/v1/feedback", JSON), ("/v1/feedback/batch", NDJSON)])
async def test_without_keys_to_seal_with_nobody_is_taken_by_name(
    shelf: Shelf, path: str, kind: dict[str, str]
) -> None:
    """A replica that has started while MongoDB is away."""
    person = json.dumps(ONE | {"customer": {"id": "C-1"}})
    answer = await post(shelf, path, person, kind, seals=Seals())
    assert answer.status_code == 503 and answer.headers["retry-after"] and not shelf.groups
    assert (await post(shelf, path, json.dumps(ONE), kind, seals=Seals())).status_code == 202
