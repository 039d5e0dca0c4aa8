"""Bodies of POST: read within limits first, and checked by pydantic then."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from shared.http_body import BodyLimits, media_type, read_body
from shared.problem import Problem


def limited(guard: type[APIRoute], limits: BodyLimits) -> type[APIRoute]:
    """A class of routes guarded by `guard`, whose bodies are read by shared/http_body within `limits`.

    FastAPI validates and documents them as ever; by itself it reads whatever is sent into memory first.
    """

    class Limited(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def read_first(request: Request) -> Response:
                media_type(request, limits.types)
                body = await read_body(request, limits)
                try:
                    return await handle(_Read(request, body))
                except RequestValidationError as error:
                    _refuse_what_is_no_json(error)
                    raise

            return read_first

    class Guarded(guard, Limited):  # type: ignore[valid-type,misc]  # known when it runs
        """In this order: of those who may not enter, nothing is read."""

    return Guarded


class _Read(Request):
    """A request whose body has been read, and inflated where it was gzip."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body


def _refuse_what_is_no_json(error: RequestValidationError) -> None:
    for fault in error.errors():
        if fault["type"] == "json_invalid":
            raise Problem(400, f"The body is not JSON at character {fault['loc'][-1]}.") from None
