"""What cannot be asked of a case or of a list, over HTTP: each row with its status and the field at fault.

No row may have an effect, repeat the value, or be an error of CQM's own (docs/promises.md P13).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from services.routing.app import build
from services.routing.domain.roster import Absence
from services.routing.settings import RoutingSettings
from services.routing.store import CaseStore
from shared.events import FeedbackReceived
from tests.component.test_routing import case_of, complaint, send
from tests.support.apps import Running, running_app
from tests.support.servers import Servers

SMALL = Path(__file__).parents[1] / "data" / "policy" / "small.yaml"
LIMIT = 200_000
JSON = {"Content-Type": "application/json"}
TELLTALE = "squeamish-ossifrage"
"""Stands in every bad value; no answer may repeat it."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The small policy, opening cases for this module only; and the word by which it knows them."""
    folder, run = tmp_path_factory.mktemp("policy"), uuid4().hex
    text = SMALL.read_text().replace("kind == 'complaint'", f"attributes.run == '{run}'")
    (folder / "policy.yaml").write_text(text.replace("reopen_within: 30d", "reopen_within: 0s"))
    return folder, run


@pytest.fixture(scope="module")
async def routing(servers: Servers, policy: tuple[Path, str]) -> AsyncIterator[Running]:
    settings = RoutingSettings(
        kafka=servers.kafka, mongo=servers.mongo, database_prefix=f"t{uuid4().hex[:10]}", log="text",
        policy=policy[0],
    )  # fmt: skip
    async with running_app(build(settings)) as running:
        yield running


@pytest.fixture(scope="module")
async def case(routing: Running, policy: tuple[Path, str]) -> Any:
    """An assigned case, version 2: no bad request may change it."""
    return await opened(routing, policy[1])


async def opened(routing: Running, run: str) -> Any:
    feedback: FeedbackReceived = complaint(attributes={"run": run})
    await send(routing, feedback)
    return await case_of(routing, feedback)


async def post(routing: Running, case: Any, content: bytes | None, **headers: str) -> httpx.Response:
    path = f"/v1/cases/{case['id']}/actions"
    return await routing.http.post(path, content=content, headers=JSON | _named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def act(routing: Running, case: Any, action: str, /, **said: Any) -> httpx.Response:
    return await post(routing, case, json.dumps({"action": action, **said}).encode())


class Bad(NamedTuple):
    """A body, its headers, and what is answered."""

    name: str
    content: bytes | None
    status: int
    pointer: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


NOTE = body(action="note", text="x")
BODIES = (
    Bad("no body", None, 400),
    Bad("an empty body", b"", 400),
    Bad("not JSON", TELLTALE.encode(), 400),
    Bad("JSON cut off", b'{"action":"note","text":"' + TELLTALE.encode(), 400),
    Bad("something after the JSON", NOTE + b"}", 400),
    Bad("UTF-16", NOTE.decode().encode("utf-16"), 400),
    Bad("bytes that are not UTF-8", b'{"action":"note","text":"\xff\xfe"}', 400),
    Bad("a lone surrogate", b'{"action":"note","text":"\\ud800"}', 400),
    Bad("a naked NUL", b'{"action":"note","text":"\x00"}', 400),
    Bad("an escaped NUL", body(action="note", text=f"{TELLTALE}\0"), 422, "/text"),
    Bad("an escaped NUL in a reason", body(action="cancel", reason="\0"), 422, "/reason"),
    Bad("null", b"null", 422, ""),
    Bad("an array", b"[" + NOTE + b"]", 422, ""),
    Bad("a number", b"7", 422, ""),
    Bad("no action", body(text="x"), 422, ""),
    Bad("an unknown action", body(action=TELLTALE), 422, "/action"),
    Bad("an action of another type", body(action=7), 422, "/action"),
    Bad("a null action", body(action=None), 422, "/action"),
    Bad("a foreign field", body(action="note", text="x", owner="chen"), 422, ""),
    Bad("a field that is not the client's", body(action="note", text="x", version=9), 422, ""),
    Bad("a text that is null", body(action="note", text=None), 422, "/text"),
    Bad("a text that is a number", body(action="note", text=7), 422, "/text"),
    Bad("an operator as a text", body(action="note", text={"$ne": None}), 422, "/text"),
    Bad("no text", body(action="note"), 422, ""),
    Bad("a blank text", body(action="note", text=" \n\t"), 422, "/text"),
    Bad("a text of 20,001", body(action="note", text="x" * 20_001), 422, "/text"),
    Bad("a reason of 20,001", body(action="cancel", reason="x" * 20_001), 422, "/reason"),
    Bad("a text of 1 MB", body(action="note", text="x" * 1_000_000), 413),
    Bad("a text nested too deep", b'{"action":"note","text":' + b"[" * 50_000, 422, "/text"),
    Bad("public as a text", body(action="reply", text="x", public="yes"), 422, "/public"),
    Bad("satisfied as a number", body(action="close", satisfied=1), 422, "/satisfied"),
    Bad("a hold for nobody", body(action="hold", reason="x"), 422, ""),
    Bad("a hold for somebody unknown", body(action="hold", reason="x", **{"for": TELLTALE}), 422, "/for"),
    Bad("an unknown severity", body(action="prioritise", reason="x", severity=TELLTALE), 422, "/severity"),
    Bad("the same judgement again", body(action="prioritise", reason="x"), 422, "/severity"),
    Bad("an unknown cause", body(action="resolve", text="x", cause_code=TELLTALE), 422, "/cause_code"),
    Bad("no such owner", body(action="assign", owner=TELLTALE), 422, "/owner"),
    Bad("an owner of another department", body(action="assign", owner="emma"), 422, "/owner"),
    Bad("an owner who is no agent", body(action="assign", owner="li"), 422, "/owner"),
    Bad("no such department", body(action="transfer", department=TELLTALE, reason="x"), 422, "/department"),
    Bad(
        "the same department", body(action="transfer", department="logistics", reason="x"), 422, "/department"
    ),
    Bad("into an unknown case", body(action="merge", into=str(uuid4())), 422, "/into"),
    Bad("into no case at all", body(action="merge", into=TELLTALE), 422, "/into"),
    Bad("into an operator", body(action="merge", into={"$ne": ""}), 422, "/into"),
    Bad("resume what goes on", body(action="resume"), 409),
    Bad("close what is open", body(action="close"), 409),
    Bad("reopen what is open", body(action="reopen", reason="x"), 409),
    Bad("another media type", NOTE, 415, headers={"Content-Type": "text/plain"}),
    Bad("no media type", NOTE, 415, headers={"Content-Type": ""}),
    Bad("another charset", NOTE, 415, headers={"Content-Type": "application/json; charset=gbk"}),
    Bad("another encoding", NOTE, 415, headers={"Content-Encoding": "br"}),
    Bad("gzip that is none", NOTE, 400, headers={"Content-Encoding": "gzip"}),
    Bad("a version of the past", NOTE, 412, headers={"If-Match": '"1"'}),
    Bad("a version of the future", NOTE, 412, headers={"If-Match": '"99"'}),
    Bad("no version", NOTE, 412, headers={"If-Match": TELLTALE}),
    Bad("an empty version", NOTE, 412, headers={"If-Match": ""}),
    Bad("digits that are not ASCII", NOTE, 412, headers={"If-Match": '"²"'}),
    Bad("a version of very many digits", NOTE, 412, headers={"If-Match": "9" * 5000}),
    Bad("a list without the version", NOTE, 412, headers={"If-Match": '"1", "99"'}),
    Bad("a weak version", NOTE, 412, headers={"If-Match": 'W/"2"'}),
    Bad("a version within another tag", NOTE, 412, headers={"If-Match": '"x2", "02", ""'}),
    Bad("a key that is too long", NOTE, 422, "?idempotency-key", {"Idempotency-Key": "k" * 256}),
    Bad("a key with a space", NOTE, 422, "?idempotency-key", {"Idempotency-Key": "a b"}),
    Bad("an actor with a space", NOTE, 422, "X-Actor", {"X-Actor": "li qiang"}),
    Bad("an empty actor", NOTE, 422, "X-Actor", {"X-Actor": ""}),
    Bad("an actor who is too long", NOTE, 422, "X-Actor", {"X-Actor": "x" * 129}),
)


@pytest.mark.parametrize("bad", BODIES, ids=[bad.name for bad in BODIES])
async def test_a_bad_action_is_refused_with_its_field_and_changes_nothing(
    routing: Running, case: Any, bad: Bad
) -> None:
    path = f"/v1/cases/{case['id']}/actions"
    headers = httpx.Headers(JSON | dict(bad.headers), encoding="latin-1")
    answer = await routing.http.post(path, content=bad.content, headers=headers)
    refuses(answer, bad.status, bad.pointer)
    assert (await routing.http.get(f"/v1/cases/{case['id']}")).json()["version"] == case["version"]


def refuses(answer: httpx.Response, status: int, pointer: str | None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert TELLTALE not in answer.text and len(said.get("errors", ())) <= 20
    if pointer is not None:
        assert said["errors"][0]["pointer"] == pointer
    if status == 409:
        assert said["allowed_actions"]
    if status == 413:
        assert said["limit"] == LIMIT


NOWHERE = (str(uuid4()), "7KQ2-9FMD-4TXA", "x" * 300, "%00", "$where", "..%2f..")


@pytest.mark.parametrize("identity", NOWHERE, ids=range(len(NOWHERE)))
async def test_an_unknown_case_is_404_whatever_its_name(routing: Running, identity: str) -> None:
    refuses(await routing.http.post(f"/v1/cases/{identity}/actions", content=NOTE, headers=JSON), 404, None)
    refuses(await routing.http.get(f"/v1/cases/{identity}"), 404, None)


async def test_what_only_looks_like_the_name_of_a_case_is_none(routing: Running, case: Any) -> None:
    """Python reads numbers of any script, and a long s as an S."""
    name, reference = case["id"], case["reference"]
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    alike = [
        f"urn:uuid:{name}", f"{{{name}}}", name.translate(wide), f"0x{name[2:]}", f"+{name[1:]}",
        f"{name[:20]}_{name[21:]}", f"{name}%0a", f"%20{name}", reference.translate(wide), f"{reference}%0a",
        reference.replace("-", "\u2010"), reference.replace("-", ""),
        reference.replace("S", "\u017f") if "S" in reference else "7KQ2-9FMD-4TX\u017f",
    ]  # fmt: skip
    for one in alike:
        refuses(await routing.http.get(f"/v1/cases/{one}"), 404, None)
        refuses(await act(routing, case, "merge", into=one), 422, "/into")
    for one in (name.upper(), name.replace("-", ""), reference.lower()):
        assert (await routing.http.get(f"/v1/cases/{one}")).json()["id"] == name


FAR = "9999-12-31T23:59:59-23:59"
EARLY = "0001-01-01T00:00:00+23:59"


def cursor(*said: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode()


LISTS = (
    ("status[$ne]=", "?status[$ne]"),
    ("owner[$regex]=.*", "?owner[$regex]"),
    (f"{TELLTALE}=1", f"?{TELLTALE}"),
    (f"status={TELLTALE}", "?status"),
    ("priority=P5", "?priority"),
    ("limit=1e9", "?limit"),
    ("limit=1000000000", "?limit"),
    ("limit=0", "?limit"),
    ("limit=-1", "?limit"),
    ("sort=$where", "?sort"),
    ("sort=", "?sort"),
    ("feedback_id=x", "?feedback_id"),
    ("customer_id=" + "x" * 201, "?customer_id"),
    ("opened_from=2026-01-01T00:00:00", "?opened_from"),
    ("opened_to=2026-01-01", "?opened_to"),
    ("opened_from=yesterday", "?opened_from"),
    (f"opened_from={FAR}", "?opened_from"),
    ("opened_to=0001-01-01T00:00:00%2B23:59", "?opened_to"),
    ("cursor=x", "?cursor"),
    ("cursor=", "?cursor"),
    ("cursor=%F0%9F%98%80", "?cursor"),
    ("cursor=" + "x" * 301, "?cursor"),
    ("cursor=WyJvcGVuZWRfYXQiLCB7IiRuZSI6IG51bGx9LCAxXQ==", "?cursor"),
    (f"cursor={cursor('-opened_at', 'P1', EARLY, str(uuid4()))}", "?cursor"),
    (f"cursor={cursor('-opened_at', 'P1', FAR, str(uuid4()))}", "?cursor"),
    (f"cursor={cursor('-opened_at', 'P1', '2026-01-01T00:00:00', str(uuid4()))}", "?cursor"),
    (f"cursor={cursor('-opened_at', 'P5', '2026-01-01T00:00:00Z', str(uuid4()))}", "?cursor"),
    (f"cursor={cursor('-opened_at', 'P1', '2026-01-01T00:00:00Z', {'$gt': ''})}", "?cursor"),
    (f"cursor=!{cursor('-opened_at', 'P1', '2026-01-01T00:00:00Z', str(uuid4()))}", "?cursor"),
)


@pytest.mark.parametrize(("query", "pointer"), LISTS, ids=[query[:40] for query, _ in LISTS])
async def test_a_list_refuses_what_it_does_not_know(routing: Running, query: str, pointer: str) -> None:
    answer = await routing.http.get(f"/v1/cases?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_cursor_that_was_tampered_with_or_is_of_another_list_is_refused(
    routing: Running, case: Any, policy: tuple[Path, str]
) -> None:
    await opened(routing, policy[1])
    page = await routing.http.get("/v1/cases", params={"limit": 1, "sort": "priority"})
    cursor = page.json()["next"]
    for params in ({"cursor": cursor}, {"cursor": "A" + cursor[1:], "sort": "priority"}):
        refuses(await routing.http.get("/v1/cases", params=params), 422, "?cursor")


ABSENCES = (
    ({"from": EARLY, "until": "0001-01-02T00:00:00Z"}, "/from"),
    ({"from": "9999-06-01T00:00:00Z", "until": FAR}, "/until"),
    ({"from": "9998-06-01T00:00:00Z", "until": "9999-12-31T00:00:00Z"}, "/until"),
    ({"from": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, "/until"),
    ({"from": "2026-01-02T00:00:00", "until": "2026-01-03T00:00:00Z"}, "/from"),
    ({"from": "2026-01-02T00:00:00Z"}, "/until"),
)


@pytest.mark.parametrize(("said", "pointer"), ABSENCES, ids=range(len(ABSENCES)))
async def test_an_absence_that_no_calendar_has_is_refused(
    routing: Running, said: dict[str, str], pointer: str
) -> None:
    refuses(await routing.http.put("/v1/people/chen/availability", json=said), 422, pointer)


async def test_what_has_ended_takes_nothing_in_and_is_not_ended_twice(
    routing: Running, case: Any, policy: tuple[Path, str]
) -> None:
    other = await opened(routing, policy[1])
    refuses(await act(routing, other, "merge", into=other["reference"]), 422, "/into")
    assert (await act(routing, other, "resolve", text="x", cause_code="carrier")).status_code == 200
    refuses(await act(routing, case, "merge", into=other["id"]), 422, "/into")
    assert (await act(routing, other, "close", satisfied=None)).status_code == 200
    refuses(await act(routing, other, "close"), 409, None)
    refuses(await act(routing, case, "merge", into=other["id"]), 422, "/into")
    refuses(await act(routing, other, "reopen", reason="too late"), 409, None)


async def test_who_is_full_or_away_or_has_it_already_is_given_nothing_by_hand(
    routing: Running, policy: tuple[Path, str]
) -> None:
    mine = await opened(routing, policy[1])
    other = "zhao" if mine["owner"] == "chen" else "chen"
    more = []
    while (await load_of(routing, other)) < 2:
        more.append(await opened(routing, policy[1]))
    refuses(await act(routing, mine, "assign", owner=other), 422, "/owner")
    refuses(await act(routing, mine, "assign", owner=mine["owner"]), 422, "/owner")
    for one in more:
        assert (await act(routing, one, "cancel", reason="x")).status_code == 200
    store, now = CaseStore(routing.service.database), datetime.now(UTC)
    await store.set_absence(other, Absence(now - timedelta(hours=1), now + timedelta(hours=1)))
    refuses(await act(routing, mine, "assign", owner=other), 422, "/owner")
    await store.set_absence(other, None)
    assert (await act(routing, mine, "cancel", reason="x")).status_code == 200


async def load_of(routing: Running, person: str) -> int:
    people = (await routing.http.get("/v1/people")).json()["items"]
    return int(next(one["load"] for one in people if one["id"] == person))


async def test_a_double_click_is_two_notes_without_a_key_and_one_with_it(routing: Running, case: Any) -> None:
    before = (await routing.http.get(f"/v1/cases/{case['id']}")).json()["version"]
    twice = [post(routing, case, NOTE) for _ in range(2)]
    assert sorted([one.json()["version"] for one in await asyncio.gather(*twice)]) == [before + 1, before + 2]
    once = [post(routing, case, NOTE, Idempotency_Key="click") for _ in range(2)]
    assert [one.json()["version"] for one in await asyncio.gather(*once)] == [before + 3, before + 3]


async def test_of_two_actors_at_once_one_wins_and_the_other_is_told(
    routing: Running, policy: tuple[Path, str]
) -> None:
    mine = await opened(routing, policy[1])
    match = {"If_Match": f'"{mine["version"]}"'}
    notes = (post(routing, mine, NOTE, X_Actor=actor, **match) for actor in ("chen", "li"))
    assert sorted(one.status_code for one in await asyncio.gather(*notes)) == [200, 412]
    resolve, cancel = (
        body(action="resolve", text="x", cause_code="carrier"),
        body(action="cancel", reason="x"),
    )
    ends = (post(routing, mine, resolve, X_Actor="chen"), post(routing, mine, cancel, X_Actor="li"))
    assert sorted(one.status_code for one in await asyncio.gather(*ends)) == [200, 409]
