"""Who calls: `Access.admit` answers the principal of a request, or refuses it.

CQM_AUTH=off, on loopback only: everybody is let in, and the header X-Actor says who it is. `keys`: API keys.
`jwt`: tokens of an issuer, and API keys where CQM_KEYS is set. docs/security.md tells it to operators.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from shared.clock import Clock, SystemClock
from shared.permission import UNDIVIDED, may_use, roles_for
from shared.principal import PREFIX, Principal
from shared.problem import Fault, Problem
from shared.rate_limit import Bucket, Rate, Take, rate_per_second
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.issuer import Issuer
    from shared.key_ring import KeyRing

ANYBODY = Principal("anonymous")
LOOK_SECONDS = 0.5
"""Between two looks at the files."""
_ACTOR = re.compile(r"[\w.@-]{1,128}")
_NO_LIMIT = "off"


X_ACTOR: dict[str, Any] = {
    "name": "X-Actor",
    "in": "header",
    "description": "Who acts, where authentication is off; else that is the principal.",
    "schema": {"type": "string", "pattern": f"^{_ACTOR.pattern}$", "default": ANYBODY.name},
}
"""In OpenAPI, of the calls that keep who acted."""


class Access:
    """One per service, built from its settings."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises SetupError when a file of keys cannot be read."""
        clock = clock or SystemClock()
        self._monotonic = monotonic
        self._open = settings.auth == "off"
        rate = None if settings.rate == _NO_LIMIT else Rate.of(rate_per_second(settings.rate))
        self._keys = _keys(settings, rate, clock)
        self._issuer = _issuer(settings, rate, clock, monotonic)

    def admit(self, request: Request, scope: str) -> Principal:
        """The caller, when it may do what `scope` names (`feedback:write`, ...).

        A request costs one token of the caller's rate, however often it is asked about. The caller is
        `request.state.principal`, too. Raises Problem: 401 unknown, 403 without the scope or a role for it,
        429 too often, 422 an X-Actor that does not fit.
        """
        state = request.scope["state"]
        principal: Principal | None = state.get("principal")
        if principal is None:
            principal = state["principal"] = _by_header(request) if self._open else self._identified(request)
        if principal.scopes is not None and scope not in principal.scopes:
            raise _lacks(scope)
        if not may_use(principal, scope):
            raise _lacks_role(scope)
        if principal.bucket is not None and "rate" not in state:
            self._take(state, principal.bucket, 1.0, 1.0)
        return principal

    def charge(self, request: Request, cost: int) -> None:
        """What an admitted request costs beyond one token. Raises Problem 429 when the caller is in debt."""
        state = request.scope["state"]
        bucket = state["principal"].bucket
        if bucket is not None and cost > 0:
            self._take(state, bucket, cost, 0.0)

    def problems(self) -> list[str]:
        """What keeps callers out, or newer keys from being in force."""
        sources = (self._keys, self._issuer)
        return [source.wrong for source in sources if source is not None and source.wrong]

    @property
    def ready(self) -> bool:
        """Whether anybody could be let in."""
        return self._issuer is None or self._issuer.ready

    async def keep_fresh(self) -> None:
        """In the background: changed files take effect, and an issuer's keys are fetched."""
        async with asyncio.TaskGroup() as tasks:
            if self._issuer is not None:
                tasks.create_task(self._issuer.keep_fetching())
            while self._keys or self._issuer:
                await asyncio.sleep(LOOK_SECONDS)
                for source in (self._keys, self._issuer):
                    if source is not None:
                        await source.look()

    def _identified(self, request: Request) -> Principal:
        token = _credentials(request)
        if not token:
            raise _unknown("Say who calls: Authorization: Bearer with an API key or a token.")
        trusted = self._keys if token.startswith(PREFIX) else self._issuer
        principal = trusted.find(token) if trusted is not None else None
        if principal is None:
            raise _unknown("The API key or token is not valid.", ', error="invalid_token"')
        return principal

    def _take(self, state: dict[str, Any], bucket: Bucket, cost: float, least: float) -> None:
        take = bucket.take(cost, self._monotonic(), least)
        state["rate"] = bucket, take
        if not take.granted:
            raise _too_often(take)


def guarded(access: Access, scope: str) -> type[APIRoute]:
    """A class of routes (`APIRouter(route_class=...)`) that let in only who may do what `scope` names.

    It asks before anything of the request is read, and without FastAPI's dependencies.
    """

    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def admitted(request: Request) -> Response:
                access.admit(request, scope)
                return await handle(request)

            return admitted

    return Guarded


def _keys(settings: Settings, rate: Rate | None, clock: Clock) -> KeyRing | None:
    if settings.auth == "off" or settings.keys is None:
        return None
    from shared.key_ring import KeyRing  # with what reads YAML: nobody else has to wait for that at start

    return KeyRing(settings.keys, rate, clock)


def _issuer(
    settings: Settings, rate: Rate | None, clock: Clock, monotonic: Callable[[], float]
) -> Issuer | None:
    if settings.auth != "jwt":
        return None
    from shared.issuer import Issuer  # with the libraries for tokens, a fifth of a second
    from shared.tokens import Verifier

    verifier = Verifier(settings.jwt_issuer, settings.jwt_audience)
    return Issuer(settings.jwks, verifier, rate, clock, monotonic)


def _by_header(request: Request) -> Principal:
    actor = request.headers.get("x-actor")
    if actor is None:
        return ANYBODY
    if not _ACTOR.fullmatch(actor):
        fault = Fault("X-Actor", "must be 1 to 128 letters, digits, . _ @ or -", 128)
        raise Problem(422, "A header does not fit; see errors.", [fault])
    return replace(ANYBODY, name=actor)


def _credentials(request: Request) -> str:
    """What stands behind `Bearer`, else in X-API-Key."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-api-key", "")


def _unknown(detail: str, error: str = "") -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": f'Bearer realm="cqm"{error}'})


def _lacks(scope: str) -> Problem:
    challenge = f'Bearer realm="cqm", error="insufficient_scope", scope="{scope}"'
    detail = f"The caller lacks the scope {scope}."
    return Problem(403, detail, headers={"WWW-Authenticate": challenge}, scope=scope)


def _lacks_role(scope: str) -> Problem:
    roles = roles_for(scope)
    everywhere = " for all departments" if scope in UNDIVIDED else ""
    detail = f"With the scope {scope} this needs one of the roles {', '.join(roles)}{everywhere}."
    return Problem(403, detail, roles=roles)


def _too_often(take: Take) -> Problem:
    seconds = max(1, ceil(take.wait))
    detail = f"Too many requests of this caller; come again in {seconds} s. Nothing of this one was taken."
    return Problem(429, detail, headers={"Retry-After": str(seconds)})
