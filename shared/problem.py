"""HTTP errors as RFC 9457 problem+json: which field and limit, never the value (promise P13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from shared.errors import CQMError, PermanentError, TransientError

log = structlog.get_logger("cqm.http")

MAX_ERRORS = 20
MEDIA_TYPE = "application/problem+json"


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong: RFC 6901 pointer into the body (or `?name` of a query), message, limit."""

    pointer: str
    message: str
    limit: int | float | str | None = None


class Problem(CQMError):
    """Raise it anywhere below an endpoint; `extra` members stand beside the standard ones."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Fault] = (),
        *,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The body of the answer, at most MAX_ERRORS errors."""
        title = HTTPStatus(self.status).phrase
        body: dict[str, Any] = {
            "type": f"urn:cqm:problem:{title.lower().replace(' ', '-')}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors[:MAX_ERRORS]
        return body | self.extra

    def response(self) -> Response:
        return Response(
            msgspec.json.encode(self.document()), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def pointer(*path: str | int) -> str:
    """RFC 6901 pointer of a path, `/customer/id`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def answer_to(error: Exception, path: str) -> Response:
    """An error as a problem document; an unforeseen one says nothing about its inside."""
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, PermanentError):
        status = 413 if error.reason == "too_large" else 422
        return Problem(status, error.detail, reason=error.reason).response()
    if isinstance(error, TransientError):
        log.warning("unavailable", why=str(error), path=path)
        detail = "The outcome is unknown: send it again with the same identity after Retry-After seconds."
        return Problem(503, detail, headers={"Retry-After": "2"}).response()
    log.critical("bug", path=path, exc_info=error)
    return Problem(500, "An error of CQM's own; it is in the log.").response()


def install(app: FastAPI) -> None:
    """Every error of `app` becomes a problem document."""

    @app.exception_handler(CQMError)
    @app.exception_handler(Exception)
    async def _own(request: Request, error: Exception) -> Response:
        return answer_to(error, request.url.path)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return Problem(error.status_code, str(error.detail), headers=dict(error.headers or {})).response()

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        faults = [
            Fault(_location(fault["loc"]), _message(fault), _limit(fault.get("ctx")))
            for fault in error.errors()[:MAX_ERRORS]
        ]
        return Problem(422, "The request does not fit; see errors.", faults).response()


def _location(where: Sequence[str | int]) -> str:
    if where and where[0] == "body":
        return pointer(*where[1:])
    return "?" + ".".join(str(part) for part in where[1:])


def _message(fault: Mapping[str, Any]) -> str:
    """Pydantic's; but where an id is none, what it says behind the comma is a character of the value."""
    said = str(fault["msg"])[:200]
    return said.partition(",")[0] if fault["type"] == "uuid_parsing" else said


def _limit(context: dict[str, Any] | None) -> int | float | str | None:
    for name in ("le", "ge", "lt", "gt", "max_length", "min_length", "expected"):
        value = (context or {}).get(name)
        if isinstance(value, int | float | str):
            return value
    return None
