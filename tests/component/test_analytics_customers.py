"""Customer 360 on a real Kafka and a real MongoDB: everything of one customer, as far as one may see it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from zlib import crc32

import pytest

from services.analytics.app import build
from services.analytics.domain.customers import Place
from services.analytics.store.customers import SOURCES, _after
from shared.events import ActivityRecorded, Customer, Event
from tests.support.analytics import NOON, an_id, case_changed, rating
from tests.support.analytics import feedback as said
from tests.support.apps import Running, running_app
from tests.support.callers import Callers
from tests.support.figures import dropping, send, settings_for
from tests.support.servers import Servers
from tests.support.spine import eventually

TAG = f"t.{uuid4().hex[:8]}"
HOUR = timedelta(hours=1)
ODD = ["a/b", "..", "%2F", "C 9+?#&=", "客户-9", '"$ne"', "{}", "\x00nul", "é́"]


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Callers:
    return Callers(tmp_path_factory.mktemp("callers"), [TAG])


@pytest.fixture(scope="module")
async def analytics(servers: Servers, callers: Callers) -> AsyncIterator[Running]:
    async with dropping(servers) as prefix:
        settings = settings_for(servers, prefix).model_copy(update=callers.settings)
        async with running_app(build(settings)) as running:
            running.http.headers.update(callers.unbound)
            yield running


def done(name: object, who: Customer, kind: Any, at: datetime) -> ActivityRecorded:
    return ActivityRecorded(
        id=an_id((TAG, name)), source="shop", kind=kind, occurred_at=at, received_at=at, customer=who,
        fingerprint="same",
    )  # fmt: skip


def history(customer: str, department: str = TAG) -> list[Event]:
    """An order, a contact, three ratings and a complaint with its case, of one customer; and an open case."""
    who, name = Customer(id=customer), (TAG, customer)
    about: dict[str, Any] = {"customer": who, "department": department, "opened_at": NOON}
    spoke = [
        said((name, n), at=NOON + n * HOUR, kind="survey", rating=one)
        for n, one in enumerate([rating("nps", 9, 0, 10), rating("csat", 4, 1, 5), rating("nps", 3, 0, 10)])
    ]
    spoke.append(said((name, "complaint"), at=NOON))
    events: list[Event] = [
        done((name, "order"), who, "order", NOON - HOUR),
        done((name, "same moment"), who, "shipment", NOON),
        done((name, "contact"), who, "contact", NOON + 9 * HOUR),
        case_changed((name, "case"), about=((name, "complaint"),), **about),
        case_changed((name, "done"), status="resolved", resolved_at=NOON, **about),
    ]
    return [*events, *(_of(one, who) for one in spoke)]


def _of(event: Any, who: Customer) -> Event:
    changed: Event = type(event)(
        **{name: getattr(event, name) for name in event.__struct_fields__} | {"customer": who}
    )
    return changed


async def get(analytics: Running, customer: str, headers: Any = None, **given: Any) -> Any:
    return await analytics.http.get(
        f"/v1/customers/{quote(customer, safe='')}", params=given, headers=headers
    )


async def whole(analytics: Running, customer: str, entries: int, **given: Any) -> Any:
    async def there() -> Any:
        answer = await get(analytics, customer, limit=200, **given)
        found = answer.json() if answer.status_code == 200 else {"items": []}
        return found if len(found["items"]) == entries else None

    return await eventually(there, what=f"{entries} entries of a customer")


async def test_everything_of_a_customer_is_there_in_the_order_of_time_with_figures(
    analytics: Running,
) -> None:
    customer = f"{TAG}-1"
    await send(analytics, *history(customer), *history(f"{TAG}-2"))
    found = await whole(analytics, customer, 9)
    kinds = [(one["type"], one["at"]) for one in found["items"]]
    assert kinds == [
        ("activity", "2019-05-13T11:00:00Z"), ("activity", "2019-05-13T12:00:00Z"),
        ("feedback", "2019-05-13T12:00:00Z"), ("feedback", "2019-05-13T12:00:00Z"),
        ("case", "2019-05-13T12:00:00Z"), ("case", "2019-05-13T12:00:00Z"),
        ("feedback", "2019-05-13T13:00:00Z"), ("feedback", "2019-05-13T14:00:00Z"),
        ("activity", "2019-05-13T21:00:00Z"),
    ]  # fmt: skip
    assert found["id"] == customer and found["next"] is None
    assert found["figures"] == {
        "cases": 2, "open": 1, "feedback": 4, "orders": 1,
        "nps_last": {"score": 3, "at": "2019-05-13T14:00:00Z"},
        "csat": [{"scale": "1-5", "mean": 4.0, "n": 1}],
        "last_contact": "2019-05-13T21:00:00Z",
    }  # fmt: skip
    (complaint,) = [one for one in found["items"] if one.get("cases")]
    assert complaint["cases"] == [str(an_id(((TAG, customer), "case")))]
    assert complaint["labels"]["department"] == TAG


@pytest.mark.parametrize("sort", ["at", "-at"])
@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_pages_have_every_entry_once_also_those_of_one_moment(
    analytics: Running, sort: str, limit: int
) -> None:
    customer = f"{TAG}-pages"
    await send(analytics, *history(customer))
    every = (await whole(analytics, customer, 9, sort=sort))["items"]
    items: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await get(analytics, customer, sort=sort, limit=limit, **cursor)).json()
        items += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert items == every
    if sort == "-at":
        assert every == (await whole(analytics, customer, 9, sort="at"))["items"][::-1]


async def test_a_cursor_that_somebody_has_written_is_refused(analytics: Running) -> None:
    customer = f"{TAG}-forged"
    await send(analytics, *history(customer))
    await whole(analytics, customer, 9)
    mark = crc32(repr((customer, "at")).encode())
    for moment in ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "2026-03-02T00:00:00"):
        said = [mark, [moment, "feedback", str(uuid4())]]
        forged = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
        answer = await get(analytics, customer, sort="at", cursor=forged)
        assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("customer", ODD)
async def test_an_id_may_have_any_characters(analytics: Running, customer: str) -> None:
    customer = f"{TAG}{customer}"
    await send(analytics, done(customer, Customer(id=customer), "signup", NOON))
    assert (await whole(analytics, customer, 1))["id"] == customer


async def test_a_customer_is_seen_by_those_whose_department_had_to_do_with_them(
    analytics: Running, callers: Callers
) -> None:
    mine, theirs, nobodys = f"{TAG}-mine", f"{TAG}-theirs", f"{TAG}-nobodys"
    await send(analytics, *history(mine), *history(theirs, "elsewhere"))
    await send(analytics, done(nobodys, Customer(id=nobodys), "order", NOON))
    about = {"customer": Customer(id=mine), "department": "elsewhere", "opened_at": NOON}
    # of two cases that list a feedback the one with the lower id speaks for it: here not the foreign one
    own = an_id(((TAG, mine), "case"))
    foreign_case = next((TAG, n) for n in count() if an_id((TAG, n)) > own)
    await send(analytics, case_changed(foreign_case, about=(((TAG, mine), "complaint"),), **about))
    assert (await whole(analytics, mine, 10))["figures"]["cases"] == 3
    await whole(analytics, theirs, 9)
    await whole(analytics, nobodys, 1)
    agent = callers["agent"]
    seen = (await get(analytics, mine, agent)).json()
    assert (len(seen["items"]), seen["figures"]["cases"], seen["figures"]["orders"]) == (9, 2, 1)
    assert all(one["labels"]["department"] in (TAG, "") for one in seen["items"])
    assert [len(one["cases"]) for one in seen["items"] if one.get("cases")] == [1]
    unknown = await get(analytics, f"{TAG}-unknown", agent)
    assert unknown.status_code == 404 and TAG not in unknown.text
    for foreign in (theirs, nobodys):
        answer = await get(analytics, foreign, agent)
        assert (answer.status_code, answer.content) == (404, unknown.content)
        assert (await get(analytics, foreign, callers["auditor"])).status_code == 200


async def test_nobody_is_the_customer_without_an_id(analytics: Running) -> None:
    assert (await analytics.http.get("/v1/customers/")).status_code == 404


@pytest.mark.parametrize(
    ("given", "pointer", "said"),
    [
        ({"limit": 201}, "?limit", "200"),
        ({"sort": "$where"}, "?sort", "'at' or '-at'"),
        ({"from": "2019-01-01"}, "?from", "sort, limit, cursor"),
        ({"cursor": "W10="}, "?cursor", "not from this list"),
        ({"cursor": "x" * 2001}, "?cursor", "2000"),
    ],
)
async def test_what_does_not_fit_is_refused(
    analytics: Running, given: dict[str, Any], pointer: str, said: str
) -> None:
    answer = await get(analytics, f"{TAG}-1", **given)
    assert answer.status_code == 422
    fault = answer.json()["errors"][0]
    assert fault["pointer"] == pointer and (said in fault["message"] or said == str(fault.get("limit")))


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.type)
async def test_a_page_is_read_by_the_index_alone_without_sorting(
    analytics: Running, source: Any, newest_first: bool
) -> None:
    way = -1 if newest_first else 1
    database = analytics.service.database
    for place in (None, *(Place(NOON, other.type, uuid4()) for other in SOURCES)):
        for seen in (None, frozenset({TAG})):
            query = source.of("C-9", seen) | _after(source, place, newest_first)
            found = database[source.collection].find(query).sort([(source.at, way), ("_id", way)]).limit(51)
            plan = (await found.explain())["queryPlanner"]["winningPlan"]
            assert "COLLSCAN" not in str(plan) and "'SORT'" not in str(plan), plan
            assert f"{source.customer}_1" in str(plan)
