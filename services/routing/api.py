"""HTTP in: cases, their history, what people do with them, and the policy in force."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response

from services.routing.actions import Actions, NoSuchCase, Stale
from services.routing.domain.assignment import Seat
from services.routing.domain.case_file import CaseFile
from services.routing.domain.lifecycle import AnyAction, Evidence, Illegal
from services.routing.store import CaseStore
from services.routing.views import ORDERS, beyond, cursor_after, json, shown, shown_entry
from shared.events import Priority, Status
from shared.http_body import BodyLimits, media_type, read_body
from shared.policy import Policy
from shared.problem import Fault, Problem, pointer

BODY = BodyLimits(("application/json",), bytes=200_000, seconds=10.0)
_action = msgspec.json.Decoder(AnyAction)
Filter = Annotated[str | None, Query(max_length=200)]


def routes(store: CaseStore, actions: Actions, policy: Callable[[], Policy]) -> APIRouter:
    """All of routing's routes under /v1."""
    router = APIRouter(prefix="/v1")
    _add_lists(router, store)
    _add_cases(router, store, actions)
    _add_organisation(router, store, policy)
    return router


def _add_lists(router: APIRouter, store: CaseStore) -> None:

    @router.get("/cases", tags=["cases"])
    async def list_cases(
        status: Status | None = None,
        priority: Priority | None = None,
        department: Filter = None,
        owner: Filter = None,
        category: Filter = None,
        customer_id: Filter = None,
        feedback_id: UUID | None = None,
        opened_from: datetime | None = None,
        opened_to: datetime | None = None,
        sort: Annotated[str, Query(pattern="^(-opened_at|opened_at|priority|-updated_at)$")] = "-opened_at",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
    ) -> Response:
        """Cases by filters, newest first unless `sort` says otherwise."""
        query: dict[str, Any] = {
            name: value
            for name, value in {
                "status": status, "priority": priority, "department": department, "owner": owner,
                "category": category, "customer.id": customer_id, "feedback_ids": feedback_id,
            }.items()
            if value is not None
        }  # fmt: skip
        spans = {"$gte": _aware("opened_from", opened_from), "$lt": _aware("opened_to", opened_to)}
        if span := {operator: at for operator, at in spans.items() if at is not None}:
            query["opened_at"] = span
        field, direction = ORDERS[sort]
        if cursor is not None:
            query = {"$and": [query, beyond(cursor, field, direction)]}
        found = await store.search(query, [(field, direction), ("_id", direction)], limit + 1)
        following = cursor_after(found[limit - 1].case, field) if len(found) > limit else None
        return _answer({"items": [shown(file) for file in found[:limit]], "next": following})


def _add_cases(router: APIRouter, store: CaseStore, actions: Actions) -> None:
    @router.get("/cases/{identity}", tags=["cases"])
    async def get_case(identity: str) -> Response:
        """A case by id or by reference; ETag is its version."""
        return _case_answer(await _found(store, identity))

    @router.get("/cases/{identity}/timeline", tags=["cases"])
    async def timeline(identity: str) -> Response:
        """The history: every version, who made it, and why."""
        file = await _found(store, identity)
        entries = await store.history(file.case.id)
        return _answer({"items": [shown_entry(n, entry) for n, entry in enumerate(entries, 1)], "next": None})

    @router.post("/cases/{identity}/actions", tags=["cases"])
    async def post_action(
        identity: str,
        request: Request,
        if_match: Annotated[str | None, Header(max_length=40)] = None,
        x_actor: Annotated[str, Header(pattern=r"^[\w.@-]{1,128}$")] = "anonymous",
    ) -> Response:
        """Do something with a case: acknowledge, start, reply, note, hold, resume, resolve."""
        file = await _found(store, identity)
        media_type(request, BODY.types)
        action = _decoded(await read_body(request, BODY))
        try:
            after = await actions.carry_out(
                file.case.id, action, actor=x_actor, version=_version(if_match),
                traceparent=request.state.traceparent,
            )  # fmt: skip
        except NoSuchCase:
            raise _unknown() from None
        except Stale:
            raise Problem(412, "The case has changed since the version in If-Match; read it again.") from None
        except Illegal as error:
            raise Problem(409, str(error), allowed_actions=error.allowed) from None
        except Evidence as error:
            fault = Fault(error.pointer, str(error))
            raise Problem(422, "The action lacks what it has to say.", [fault]) from None
        return _case_answer(after)

    @router.get("/feedback/{feedback_id}", tags=["feedback"])
    async def get_feedback(feedback_id: UUID) -> Response:
        """What became of a feedback; 404 until routing has seen it."""
        outcome = await store.outcome(feedback_id)
        if outcome is None:
            raise Problem(404, "No such feedback has been routed.")
        return _answer({"id": outcome.id, "state": outcome.state, "case_id": outcome.case_id})


def _add_organisation(router: APIRouter, store: CaseStore, policy: Callable[[], Policy]) -> None:
    @router.get("/policy", tags=["policy"])
    async def get_policy() -> Response:
        """The policy in force."""
        now = policy()
        return _answer({
            "version": now.version,
            "name": now.organisation.name.model_dump(),
            "departments": list(now.departments),
            "people": len(now.people),
            "rules": [rule.name for rule in now.routing],
            "causes": now.causes,
            "warnings": [str(finding) for finding in now.warnings],
        })  # fmt: skip

    @router.get("/departments", tags=["people"])
    async def get_departments() -> Response:
        """Load, capacity and queue of each department."""
        loads, queues, now = await store.loads(), await store.queue_lengths(), policy()
        items = []
        for name, department in now.departments.items():
            members = [person for person in now.people.values() if person.department == name]
            items.append({
                "id": name,
                "name": department.name.model_dump(),
                "head": department.head,
                "supervisor": department.supervisor,
                "people": len(members),
                "capacity": sum(person.capacity for person in members),
                "load": sum(seat.load for seat in loads.get(name, {}).values()),
                "queue": queues.get(name, 0),
            })  # fmt: skip
        return _answer({"items": items, "next": None})

    @router.get("/people", tags=["people"])
    async def get_people(department: Filter = None) -> Response:
        """Load and capacity of each person."""
        loads = await store.loads()
        items = [
            {
                "id": name, "name": person.name, "department": person.department,
                "capacity": person.capacity,
                "load": loads.get(person.department, {}).get(name, Seat()).load,
            }
            for name, person in policy().people.items()
            if department in (None, person.department)
        ]  # fmt: skip
        return _answer({"items": items, "next": None})


async def _found(store: CaseStore, identity: str) -> CaseFile:
    try:
        known: UUID | str = UUID(identity)
    except ValueError:
        known = identity.upper()
    file = await store.find(known) if len(identity) <= 40 else None
    if file is None:
        raise _unknown()
    return file


def _unknown() -> Problem:
    return Problem(404, "No such case.")


def _decoded(body: bytes) -> AnyAction:
    try:
        action: AnyAction = _action.decode(body)
        return action
    except msgspec.ValidationError as error:
        # "... - at `$.text`": msgspec's path as RFC 6901
        reason, _, path = str(error).partition(" - at `$")
        where = pointer(*path.strip("`.").split(".")) if path.strip("`.") else ""
        fault = Fault(where, "is not a known action" if "Invalid value" in reason else reason[:200])
        raise Problem(422, "The action does not fit.", [fault]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "The body is not JSON.") from None


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    digits = if_match.removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit():
        raise Problem(412, "If-Match holds no version of this case.")
    return int(digits)


def _aware(name: str, at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise Problem(422, "A time needs an offset.", [Fault(f"?{name}", "must carry an offset or Z")])
    return at.astimezone(UTC) if at else None


def _case_answer(file: CaseFile) -> Response:
    return _answer(shown(file), headers={"ETag": f'"{file.case.version}"'})


def _answer(content: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(json.encode(content), media_type="application/json", headers=headers)
