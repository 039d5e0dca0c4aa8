"""Every route of every service asks who calls, but for the few that are named here, and asks for the scope
that docs/security.md tells."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from shared.api_keys import KeyEntry, Parts, digest_of, new_parts, write_keys
from shared.principal import SCOPES
from tests.contract.wired import apps, built

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
FOR_EVERYBODY = {
    "/livez", "/readyz", "/metrics", "/openapi.json",
    "/docs", "/docs/oauth2-redirect", "/static-offline-docs",
}  # fmt: skip
WITH_GUARDS_OF_THEIR_OWN = ("/forms/", "/v1/hooks/")
LETS_IN_NOWHERE = {"personal:read"}
"""It is about what is shown."""
SERVICES = ("intake", "routing", "sla", "analytics")


def calls(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of all routes that need somebody."""
    return [
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in sorted(context.methods or {"GET"})
        if context.path not in FOR_EVERYBODY and not context.path.startswith(WITH_GUARDS_OF_THEIR_OWN)
    ]


def scopes_told() -> dict[str, str]:
    """Call to scope, by the table of docs/security.md; of two scopes that let in, the last."""
    rows = re.findall(r"^\| `([a-z]+:?[a-z]*)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    return {nameless(call): scope for scope, told in rows for call in re.findall(r"`([A-Z]+ /[^`]+)`", told)}


def nameless(call: str) -> str:
    return re.sub(r"\{.*?\}", "{}", call)


@pytest.fixture(scope="module")
def key() -> Parts:
    return new_parts()


@pytest.fixture(scope="module")
def guarded(key: Parts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FastAPI]:
    """All services, and one key that has no scope that they ask for."""
    file = tmp_path_factory.mktemp("keys") / "keys.yaml"
    entry = KeyEntry(
        name="nobody", sha256=digest_of(key), scopes=frozenset(SCOPES), created=datetime.now(UTC)
    )
    write_keys(file, {key.id: entry})
    return built(auth="keys", keys=file)


def _without_scopes(app: FastAPI) -> None:
    """No key can be without a scope, so one is made that has those of a service to come."""
    known = app.state.service.access._keys._known
    for id, one in known.items():
        known[id] = one._replace(principal=replace(one.principal, scopes=frozenset({"another:scope"})))


async def answers(app: FastAPI, headers: dict[str, str]) -> dict[tuple[str, str], httpx.Response]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cqm", headers=headers) as http:
        return {
            (method, path): await http.request(method, re.sub(r"\{.*?\}", "x", path))
            for method, path in calls(app)
        }


@pytest.mark.parametrize("service", SERVICES)
async def test_no_route_answers_whom_it_does_not_know(guarded: dict[str, FastAPI], service: str) -> None:
    found = await answers(guarded[service], {})
    assert found and {call: answer.status_code for call, answer in found.items()} == dict.fromkeys(found, 401)
    for answer in found.values():
        assert answer.headers["www-authenticate"] == 'Bearer realm="cqm"'
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_names_the_scope_that_the_caller_lacks(
    guarded: dict[str, FastAPI], key: Parts, service: str
) -> None:
    _without_scopes(guarded[service])
    found = await answers(guarded[service], {"Authorization": f"Bearer {key}"})
    assert {call: answer.status_code for call, answer in found.items()} == dict.fromkeys(found, 403)
    told = scopes_told()
    asked = {nameless(f"{method} {path}"): answer.json()["scope"] for (method, path), answer in found.items()}
    assert asked == {call: told.get(call) for call in asked}


@pytest.mark.parametrize("service", SERVICES)
async def test_probes_and_documents_are_for_everybody(guarded: dict[str, FastAPI], service: str) -> None:
    transport = httpx.ASGITransport(app=guarded[service])
    async with httpx.AsyncClient(transport=transport, base_url="http://cqm") as http:
        for path in ("/livez", "/metrics", "/openapi.json", "/docs"):
            assert (await http.get(path)).status_code == 200
        assert (await http.get("/readyz")).status_code == 503, "not started"


def test_the_table_of_scopes_names_every_scope_and_no_call_that_is_not_there() -> None:
    served = {nameless(f"{method} {path}") for app in apps().values() for method, path in calls(app)}
    told = scopes_told()
    assert set(told) <= served and set(told.values()) == SCOPES - LETS_IN_NOWHERE
