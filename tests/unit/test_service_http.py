"""What every service does around its own routes: ids, traces, problems, probes, limits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from faststream.kafka.security import parse_security
from pydantic import BaseModel, Field, ValidationError

from shared.clock import SystemClock
from shared.direct import Direct
from shared.errors import PermanentError, Unavailable
from shared.problem import MAX_ERRORS, Fault, Problem, pointer
from shared.service import Service, create_app
from shared.settings import KafkaSecurity, Settings

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Body(BaseModel):
    text: str = Field(max_length=3)


FAILURES = {
    "problem": Problem(409, "no", [Fault("/a", "b")] * 30, allowed=["x"]),
    "permanent": PermanentError("too_large", "over 5 bytes"),
    "away": Unavailable("secret host name"),
    "bug": KeyError("secret"),
}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter()

    async def directly(request: Request) -> Response:
        if how := request.query_params.get("fails"):
            raise FAILURES[how]
        return Response(request.state.traceparent)

    router.add_api_route("/direct", directly, methods=["POST"], route_class_override=Direct)

    @router.get("/trace")
    async def trace(request: Request) -> str:
        return str(request.state.traceparent.decode())

    @router.get("/fails/{how}")
    async def fails(how: str) -> None:
        raise FAILURES[how]

    @router.post("/body")
    async def body(body: Body) -> None: ...

    service = Service.build("intake", Settings(port=8001, log="text"), SystemClock(), consumes=False)
    transport = httpx.ASGITransport(app=create_app(service, [router]), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://cqm") as client:
        yield client


async def test_a_trace_and_a_request_id_go_in_and_out(http: httpx.AsyncClient) -> None:
    answer = await http.get("/trace", headers={"traceparent": TRACE, "X-Request-Id": "abc"})
    assert answer.json() == TRACE == answer.headers["traceparent"]
    assert answer.headers["x-request-id"] == "abc"


@pytest.mark.parametrize("given", ["", "00-0-0-01", "x" * 300, "00-" + "g" * 32 + "-" + "0" * 16 + "-01"])
async def test_a_trace_that_is_none_is_replaced(http: httpx.AsyncClient, given: str) -> None:
    answer = await http.get("/trace", headers={"traceparent": given, "X-Request-Id": "a b"})
    assert answer.headers["traceparent"] != given and len(answer.headers["traceparent"]) == 55
    assert answer.headers["x-request-id"] != "a b"


@pytest.mark.parametrize(
    ("how", "status"), [("problem", 409), ("permanent", 413), ("away", 503), ("bug", 500)]
)
@pytest.mark.parametrize("direct", [False, True])
async def test_every_error_is_a_problem_document_that_tells_no_secret(
    http: httpx.AsyncClient, how: str, status: int, direct: bool
) -> None:
    answer = await (http.post(f"/direct?fails={how}") if direct else http.get(f"/fails/{how}"))
    assert answer.status_code == status == answer.json()["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert len(answer.json().get("errors", [])) <= MAX_ERRORS


async def test_a_direct_route_is_one_as_any_other_but_for_the_way_to_it(http: httpx.AsyncClient) -> None:
    answer = await http.post("/direct", headers={"traceparent": TRACE, "X-Request-Id": "abc"})
    assert (answer.text, answer.headers["traceparent"], answer.headers["x-request-id"]) == (
        TRACE,
        TRACE,
        "abc",
    )
    wrong = await http.get("/direct")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert "post" in (await http.get("/openapi.json")).json()["paths"]["/direct"]
    seen = (await http.get("/metrics")).text
    assert 'cqm_http_request_seconds_count{method="POST",route="/direct",status="200"}' in seen


async def test_head_is_answered_as_get_without_the_body(http: httpx.AsyncClient) -> None:
    head, got = await http.head("/livez"), await http.get("/livez")
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in ("content-length", "content-type")} == {
        name: got.headers[name] for name in ("content-length", "content-type")
    }
    assert (await http.head("/nowhere")).status_code == 404
    assert (await http.head("/direct")).status_code == 405


async def test_what_is_away_says_when_to_come_back(http: httpx.AsyncClient) -> None:
    assert int((await http.get("/fails/away")).headers["retry-after"]) > 0


async def test_a_wrong_body_names_the_field_and_the_limit_and_not_the_value(http: httpx.AsyncClient) -> None:
    answer = await http.post("/body", json={"text": "far too long"})
    assert answer.status_code == 422 and "far too long" not in answer.text
    assert answer.json()["errors"][0] == {
        "pointer": "/text",
        "message": "String should have at most 3 characters",
        "limit": 3,
    }


async def test_an_unknown_path_is_a_problem_too(http: httpx.AsyncClient) -> None:
    answer = await http.get("/nowhere")
    assert (answer.status_code, answer.json()["title"]) == (404, "Not Found")


async def test_a_service_that_has_not_connected_is_alive_and_not_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/livez")).status_code == 200
    answer = await http.get("/readyz")
    assert answer.status_code == 503 and "waiting" in answer.json()["missing"][0]


async def test_the_docs_load_nothing_from_outside(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs")).text
    assert "/openapi.json" in page and "http://" not in page and "https://" not in page


def test_without_authentication_only_loopback_is_served() -> None:
    with pytest.raises(ValidationError, match="CQM_AUTH=off binds to loopback only"):
        Settings(port=1, host="0.0.0.0")
    assert Settings(port=1, host="::1").host == "::1"
    assert Settings(port=1, host="0.0.0.0", auth_off_behind_proxy=True).auth == "off"


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [("PLAINTEXT", "PLAIN"), ("SSL", "PLAIN"), ("SASL_SSL", "SCRAM-SHA-256"), ("SASL_PLAINTEXT", "PLAIN")],
)
def test_consumers_and_producers_speak_to_a_guarded_kafka_alike(protocol: str, mechanism: str) -> None:
    given = {"security_protocol": protocol, "sasl_mechanism": mechanism, "username": "u", "password": "p"}
    security = KafkaSecurity.model_validate(given)
    ours, theirs = security.options(), parse_security(security.for_faststream())
    assert {name: theirs[name] for name in ours if name != "ssl_context"} == {
        name: value for name, value in ours.items() if name != "ssl_context"
    }
    assert bool(theirs.get("ssl_context")) == ("SSL" in protocol.removeprefix("SASL"))


def test_a_pointer_escapes_as_rfc_6901_says() -> None:
    assert pointer("a/b", "c~d", 0) == "/a~1b/c~0d/0" and pointer() == ""
