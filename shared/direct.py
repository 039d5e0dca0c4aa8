"""Routes that FastAPI documents and that a request reaches without it.

Between the server and an endpoint FastAPI has six layers of middleware, the look through all routes, and
dependencies to solve: a fifth of the time of a short post. A direct route needs none of them: its path is
fixed, its endpoint takes the request, reads the body within its own limits, and answers by itself.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.problem import answer_to
from shared.requests import Requests


class Direct(APIRoute):
    """`add_api_route(..., route_class_override=Direct)`: the endpoint takes the request and nothing else."""

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the endpoint raises is answered as everywhere."""
        scope["route"] = self
        try:
            response: Response = await self.endpoint(Request(scope, receive, send))
        except Exception as error:
            response = answer_to(error, scope["path"])
        await response(scope, receive, send)


def serve_directly(app: FastAPI) -> None:
    """From now on the direct routes of `app` are reached first; it takes no further middleware."""
    routes = [route for route in app.router.routes if isinstance(route, Direct)]
    direct = {
        (method, route.path): Requests(route.serve) for route in routes for method in route.methods or ()
    }
    app.middleware_stack = _Stack(direct, app.build_middleware_stack())


class _Stack:
    """By method and path; any other method of such a path is FastAPI's to refuse."""

    def __init__(self, direct: dict[tuple[str, str], Requests], rest: ASGIApp) -> None:
        self._direct = direct
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (found or self._rest)(scope, receive, send)
