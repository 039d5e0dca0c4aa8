"""Requests to the services, with their errors as sentences for a person."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from deploy.commands.addresses import Addresses
from deploy.commands.terminal import USAGE, Failure, plain

SECONDS, CONNECT_SECONDS = 30.0, 5.0
TIMEOUT = httpx.Timeout(SECONDS, connect=CONNECT_SECONDS)
Parameters = dict[str, str | int | list[str]]


def http_client(url: str) -> httpx.AsyncClient:
    """It says who calls by CQM_TOKEN, an API key or a token. Raises Failure for a token that no header can
    hold, and for a proxy that cannot be spoken to.

    Proxies of the environment are for the world outside, not for the loopback interface.
    """
    token = os.environ.get("CQM_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable()):
        raise Failure("CQM_TOKEN is no API key and no token: those are one line of ASCII", "", USAGE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return httpx.AsyncClient(timeout=TIMEOUT, trust_env=not _is_loopback(url), headers=headers)
    except (ValueError, ImportError) as error:  # no address, or SOCKS, which wants another package
        remedy = "set HTTP_PROXY, HTTPS_PROXY or ALL_PROXY to an http:// address, or NO_PROXY to the host"
        raise Failure("the proxy of the environment cannot be used", remedy, USAGE) from error


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Api:
    """The services of one system. Answers are decoded JSON."""

    def __init__(self, addresses: Addresses, client: httpx.AsyncClient) -> None:
        self.addresses = addresses
        self._client = client

    async def get(self, service: str, path: str, parameters: Parameters | None = None) -> Any:
        """Raises Failure with the service's own words when it refuses, and when it does not answer."""
        return await self._call(service, "GET", path, params=parameters or {})

    async def post(self, service: str, path: str, body: Any, seconds: float = SECONDS) -> Any:
        """As `get`; `seconds` is how long the answer may take."""
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        return await self._call(service, "POST", path, json=body, timeout=timeout)

    async def pages(self, service: str, path: str, parameters: Parameters, most: int) -> list[Any]:
        """The items of a list, page by page, until `most` are there."""
        items: list[Any] = []
        cursor: Parameters = {}
        while True:
            page = await self.get(service, path, {**parameters, "limit": 200, **cursor})
            items += page["items"]
            if page["next"] is None or len(items) >= most:
                return items[:most]
            cursor = {"cursor": page["next"]}

    async def download(self, service: str, path: str, parameters: Parameters, to: Path) -> None:
        """The answer as a file, written as it comes, and left only whole. Raises as `get`, and OSError."""
        url, part = self.addresses.url(service), to.with_name(f".{to.name}.part")
        try:
            async with self._client.stream("GET", url + path, params=parameters) as response:
                if response.is_error:
                    await response.aread()
                    raise refused(service, response)
                if not response.is_success or _is_page(response):
                    raise _no_service(service, url, response)
                with part.open("wb") as file:
                    async for piece in response.aiter_bytes():
                        file.write(piece)
            part.replace(to)
        except httpx.HTTPError as error:
            raise no_answer(service, url, error) from error
        finally:
            part.unlink(missing_ok=True)

    async def _call(self, service: str, method: str, path: str, **content: Any) -> Any:
        url = self.addresses.url(service)
        try:
            response = await self._client.request(method, url + path, **content)
        except httpx.HTTPError as error:
            raise no_answer(service, url, error) from error
        if response.is_error:
            raise refused(service, response)
        return answered(service, url, response)


@asynccontextmanager
async def opened(addresses: Addresses) -> AsyncIterator[Api]:
    """An Api for the length of a block."""
    first = next(iter(addresses.urls.values()))[0]
    async with http_client(first) as client:
        yield Api(addresses, client)


def no_answer(service: str, url: str, error: Exception) -> Failure:
    return Failure(
        f"{service} at {url} does not answer ({type(error).__name__})",
        "`cqm status` shows what is ready, `cqm logs` why it is not",
    )


def answered(service: str, url: str, response: httpx.Response) -> Any:
    """The JSON of an answer that is no error. Raises Failure where a proxy or another program answers."""
    if not response.is_success:  # it leads elsewhere
        raise _no_service(service, url, response)
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError as error:
        raise _no_service(service, url, response) from error


def _is_page(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith("text/html")


def _no_service(service: str, url: str, response: httpx.Response) -> Failure:
    what = plain(response.headers.get("content-type", "nothing"))
    return Failure(
        f"{service} at {url} answered {response.status_code} with {what}, which no service of CQM says",
        "is the address right, and does no proxy or login page answer in its place?",
    )


def refused(service: str, response: httpx.Response) -> Failure:
    """4xx is the caller's to mend, everything else is the service's."""
    detail, reasons = problem(response)
    unknown = response.status_code in (401, 403)
    usage = unknown or response.status_code in (400, 404, 422)
    remedy = "" if usage else "`cqm status` shows what is ready, `cqm logs` why it is not"
    if unknown:
        remedy = "set CQM_TOKEN to an API key (`cqm token new`) or a token"
    return Failure(
        f"{service} answered {response.status_code}: {' '.join([detail, *reasons])}",
        remedy,
        USAGE if usage else 1,
    )


def problem(response: httpx.Response) -> tuple[str, list[str]]:
    """Detail and reasons of an RFC 9457 document, whatever else the answer is."""
    try:
        document = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return response.reason_phrase, []
    return plain(document.get("detail", response.reason_phrase)), reasons_of(document)


def reasons_of(document: dict[str, Any]) -> list[str]:
    """Each entry of `errors` as `pointer message`, with its limit."""
    reasons = []
    for fault in document.get("errors") or ():
        limit = f" (limit {fault['limit']})" if fault.get("limit") is not None else ""
        reasons.append(plain(f"{fault.get('pointer', '')} {fault.get('message', '')}{limit}".strip()))
    return reasons
