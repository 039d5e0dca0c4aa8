"""The policy in force, those that were, and trials: a policy linted, a feedback decided, nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute

from services.routing.api.views import answer, decoded
from services.routing.store import CaseStore
from shared.clock import Clock
from shared.http_body import BodyLimits, media_type, read_body
from shared.policy import NotFeedback, Policy, check_contents, explain, feedback_as_said, sentences
from shared.policy_in_force import PolicyInForce
from shared.problem import Fault, Problem

YAML, JSON = "application/yaml", "application/json"
FILES = BodyLimits((YAML, JSON), bytes=1_000_000, seconds=10.0)
FEEDBACK = BodyLimits((JSON,), bytes=200_000, seconds=10.0)
MOST_FILES = 100


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy in several files: name to YAML."""

    files: dict[str, str]


_files = msgspec.json.Decoder(Files)


def policy_routes(store: CaseStore, policy: PolicyInForce, clock: Clock, guard: type[APIRoute]) -> APIRouter:
    """GET /policy, /policy/versions, /policy/versions/{version}; POST /policy/check, /policy/dry-run."""
    router = APIRouter(route_class=guard, tags=["policy"])

    @router.get("/policy")
    async def get_policy() -> Response:
        """The policy in force; `refused` says why its files as they stand are not."""
        return answer(_shown(policy(), policy.wrong))

    @router.get("/policy/versions")
    async def get_versions() -> Response:
        """Every version that was ever in force, newest first."""
        return answer({"items": await store.policies(), "next": None})

    @router.get("/policy/versions/{version}")
    async def get_version(version: str) -> Response:
        """A version with its whole content, so that what it decided can be explained years later."""
        found = await store.policy(version)
        if found is None:
            raise Problem(404, "No such version has been in force.")
        return answer(found | {"content": msgspec.Raw(found["content"].encode())})

    _add_trials(router, policy, clock)
    return router


def _add_trials(router: APIRouter, policy: Callable[[], Policy], clock: Clock) -> None:
    checking = asyncio.Lock()

    @router.post("/policy/check")
    async def check_policy(request: Request) -> Response:
        """Lint a policy: YAML as the body, or JSON `{"files": {name: YAML}}`; as `cqm policy check` does."""
        kind = media_type(request, FILES.types)
        body = await read_body(request, FILES)
        contents, today = _contents(kind, body), clock.now().date()
        async with checking:  # seconds of work, in which heartbeats and everybody else's requests go on
            findings = await asyncio.to_thread(check_contents, contents, today)
        errors = sum(finding.severity == "error" for finding in findings)
        return answer({"accepted": not errors, "findings": findings})

    @router.post("/policy/dry-run")
    async def dry_run(request: Request, lang: Literal["en", "zh"] = Query("en")) -> Response:
        """What the policy in force decides about a feedback, and why; as `cqm policy explain` does."""
        media_type(request, FEEDBACK.types)
        body, in_force = await read_body(request, FEEDBACK), policy()
        try:
            said = feedback_as_said(body, clock.now())
        except NotFeedback as error:
            fault = Fault(_pointer(error.field), str(error)[:200], error.limit)
            raise Problem(422, "The feedback does not fit.", [fault]) from None
        explanation = explain(said, in_force, lang)
        told = sentences(explanation, in_force, lang)
        return answer({**msgspec.to_builtins(explanation), "sentences": told})


def _pointer(field: Iterable[str]) -> str:
    """Of RFC 6901; "" is the whole body."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in field)


def _contents(kind: str, body: bytes) -> dict[str, bytes]:
    if kind == YAML:
        return {"policy.yaml": body}
    files = decoded(_files, body, "The policy does not fit.").files
    if not 1 <= len(files) <= MOST_FILES:
        raise Problem(
            422, "The policy does not fit.", [Fault("/files", "must name 1 to 100 files", MOST_FILES)]
        )
    return {name[:200]: content.encode() for name, content in files.items()}


def _shown(now: Policy, refused: str) -> dict[str, object]:
    return {
        "version": now.version,
        "name": now.organisation.name.model_dump(),
        "departments": list(now.departments),
        "people": len(now.people),
        "rules": [rule.name for rule in now.routing],
        "causes": now.causes,
        "warnings": [str(finding) for finding in now.warnings],
        "refused": refused or None,
    }
