"""Imports over HTTP: a file to intake, and its job from there on; whatever is away is waited for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import msgspec

from deploy.commands.api import answered, no_answer, refused
from deploy.commands.terminal import Failure

PATIENCE_SECONDS = 600.0
FINISHED = ("done", "cancelled", "failed")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_AGAIN = frozenset({408, 425, 429, 502, 503, 504})
_UPLOAD_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
"""The answer comes when the file has been looked through."""
_DATA = "data: "

Waiting = Callable[[str], None]
"""Told why nothing moves, each time anew, and "" when it goes on."""
Sent = Callable[[int], None]
"""Told how many bytes of the file have been read so far."""


@dataclass(frozen=True)
class Source:
    """A file, and its mapping: a name, or the YAML of one's own. `options`: encoding, delimiter, quote."""

    file: Path
    mapping: str = ""
    own_mapping: bytes | None = None
    options: dict[str, str] | None = None


class ImportClient:
    def __init__(
        self, client: httpx.AsyncClient, intake: str, waiting: Waiting, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._client = client
        self._intake = intake
        self._url = f"{intake}/v1/imports"
        self._waiting = waiting
        self._patience = patience

    def url(self, identity: str) -> str:
        return f"{self._url}/{identity}"

    async def unfinished(self, source: Source, sha256: str) -> dict[str, Any] | None:
        """The job that already imports this file by this named mapping. Raises Failure."""
        if not source.mapping:
            return None  # intake knows one's own mapping again when it has it
        page = await self._json("GET", self._url, params={"sha256": sha256})
        jobs = (job for job in page["items"] if job["mapping"] == source.mapping)
        return next((job for job in jobs if job["state"] not in FINISHED), None)

    async def upload(self, source: Source, sent: Sent) -> dict[str, Any]:
        """The job, new or unfinished. Raises Failure."""
        return await self._post(source, sent, {})

    async def dry_run(self, source: Source, sent: Sent) -> dict[str, Any]:
        """What the file would become. Raises Failure."""
        return await self._post(source, sent, {"dry_run": "true"})

    async def follow(self, identity: str) -> AsyncIterator[dict[str, Any]]:
        """The job each time that it has moved, up to its end. Raises Failure."""
        heard, attempt = time.monotonic(), 0
        while True:
            try:
                async with self._client.stream("GET", f"{self.url(identity)}/events") as response:
                    if response.status_code != httpx.codes.OK:
                        await response.aread()
                        why = self._refusal(response)
                    else:
                        async for job in _jobs(response):
                            if attempt:
                                self._waiting("")
                            heard, attempt = time.monotonic(), 0
                            yield job
                            if job["state"] in FINISHED:
                                return
                        why = "intake has ended the events early"
            except httpx.TransportError as error:
                why = f"intake does not answer ({type(error).__name__})"
            await self._wait(why, heard, attempt)
            attempt += 1

    async def rejects(self, identity: str, to: Path) -> None:
        """The refused rows into a file. Raises Failure."""
        try:
            async with self._client.stream("GET", f"{self.url(identity)}/rejects.csv") as response:
                if response.is_error:
                    await response.aread()
                    raise refused("intake", response)
                with to.open("wb") as file:
                    async for piece in response.aiter_bytes():
                        file.write(piece)
        except httpx.HTTPError as error:
            raise no_answer("intake", self._intake, error) from error
        except OSError as error:
            raise Failure(
                f"{to} cannot be written: {error.strerror}", "name another place with --rejects"
            ) from error

    async def _post(self, source: Source, sent: Sent, parameters: dict[str, str]) -> dict[str, Any]:
        named = {"mapping": source.mapping} if source.mapping else {}
        with source.file.open("rb") as file:
            parts: dict[str, Any] = {} if source.own_mapping is None else {"mapping": source.own_mapping}
            parts["file"] = (source.file.name, _Counted(file, sent))
            return await self._json(
                "POST", self._url, params=named | parameters | (source.options or {}), files=parts,
                timeout=_UPLOAD_TIMEOUT,
            )  # fmt: skip

    async def _json(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        """Asks until it is answered. Raises Failure when it is refused, or patience ends."""
        began, attempt = time.monotonic(), 0
        while True:
            try:
                response = await self._client.request(method, url, **content)
            except httpx.TransportError as error:
                why = f"intake does not answer ({type(error).__name__})"
            else:
                if not response.is_error:
                    if attempt:
                        self._waiting("")
                    found: dict[str, Any] = answered("intake", self._intake, response)
                    return found
                why = self._refusal(response)
            await self._wait(why, began, attempt)
            attempt += 1

    def _refusal(self, response: httpx.Response) -> str:
        """Why it is to be asked again. Raises Failure when it is not."""
        if response.status_code not in _AGAIN:
            raise refused("intake", response)
        return f"intake answers {response.status_code}"

    async def _wait(self, why: str, since: float, attempt: int) -> None:
        if time.monotonic() - since > self._patience:
            raise Failure(
                f"nothing has moved for {self._patience:.0f} s: {why}",
                "`cqm status` shows what is missing; the same command looks for the import again",
            )
        self._waiting(why)
        await asyncio.sleep(pause(attempt))  # backoff


def pause(attempt: int) -> float:
    """Seconds before the next attempt: doubling, at most 5, spread so that clients do not march in step."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 10)) * random.uniform(0.75, 1.25)


async def _jobs(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The data of server-sent events, each in one line."""
    async for line in response.aiter_lines():
        if line.startswith(_DATA):
            yield msgspec.json.decode(line.removeprefix(_DATA))


class _Counted:
    """A file that tells how far it has been read; httpx asks for its size by fileno."""

    def __init__(self, file: BinaryIO, told: Sent) -> None:
        self._file = file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._told(self._file.tell())
        return piece

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
