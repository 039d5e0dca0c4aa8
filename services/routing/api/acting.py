"""POST /cases/{id}/actions: what people do with cases, and why something is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Request, Response
from fastapi.routing import APIRoute

from services.routing.actions import Actions, Asked, NoSuchCase, Reused, Stale
from services.routing.api.views import case_answer, decoded, forbidden, found, unknown
from services.routing.domain.action_types import AnyAction
from services.routing.domain.lifecycle import Evidence, Illegal
from services.routing.domain.permission import Forbidden, may_act
from services.routing.store import CaseStore
from shared.auth import X_ACTOR
from shared.http_body import BodyLimits, media_type, read_body
from shared.principal import Principal
from shared.problem import Fault, Problem
from shared.sealing import Seals

BODY = BodyLimits(("application/json",), bytes=200_000, seconds=10.0)
_TAG = re.compile(r'(W/)?"([^"]*)"')
_BARE = re.compile("[0-9]+")
"""A version without its quotation marks, as many clients write it."""
_action: msgspec.json.Decoder[AnyAction] = msgspec.json.Decoder(AnyAction)


def acting_routes(store: CaseStore, actions: Actions, seals: Seals, guard: type[APIRoute]) -> APIRouter:
    """The one call that changes a case."""
    router = APIRouter(route_class=guard)

    @router.post("/cases/{identity}/actions", tags=["cases"], openapi_extra={"parameters": [X_ACTOR]})
    async def post_action(
        identity: str,
        request: Request,
        if_match: Annotated[str | None, Header()] = None,
        idempotency_key: Annotated[str, Header(pattern=r'^"?[\x21-\x7e]{0,255}$')] = "",
    ) -> Response:
        """Do something with a case; `allowed_actions` says what is legal now.

        The same Idempotency-Key of the same caller again does nothing more and answers the case as it is.
        """
        who: Principal = request.state.principal
        file = await found(store, identity, who)
        media_type(request, BODY.types)
        action = decoded(_action, await read_body(request, BODY), "The action does not fit.")
        key, trace = idempotency_key.strip('"'), request.state.traceparent
        versions = None if if_match is None else versions_of(request.headers.getlist("if-match"))
        with _refusals(who):
            asked = Asked(action, who, versions, key, trace)
            return case_answer(await actions.carry_out(file.case.id, asked), who, seals)

    return router


@contextmanager
def _refusals(who: Principal) -> Iterator[None]:
    try:
        yield
    except NoSuchCase:
        raise unknown() from None
    except Forbidden as error:
        raise forbidden(error) from None
    except Stale:
        raise Problem(412, "The case has changed since the version in If-Match; read it again.") from None
    except Reused:
        fault = Fault(
            "Idempotency-Key", "was used for another action on this case, or before its customer was erased"
        )
        raise Problem(422, "A header does not fit; see errors.", [fault]) from None
    except Illegal as error:
        allowed = [name for name in error.allowed if may_act(who, name, error.case)]
        raise Problem(409, str(error), allowed_actions=allowed) from None
    except Evidence as error:
        fault = Fault(error.pointer, str(error))
        raise Problem(422, "The action lacks what it has to say.", [fault]) from None


def versions_of(lines: Sequence[str]) -> tuple[str, ...] | None:
    """The versions that the lines of If-Match name, None for `*`: a list, of which one has to be the case's.

    A weak tag is none of them (RFC 9110, 13.1.1). Raises Problem 412 where nothing is named.
    """
    said = ", ".join(lines).strip()
    if said == "*":
        return None
    if _BARE.fullmatch(said):
        return (said,)
    tags = _TAG.findall(said)
    if not tags:
        raise Problem(412, "If-Match holds no version of this case.")
    return tuple(version for weak, version in tags if not weak)
