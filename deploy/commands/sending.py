"""Batches of feedback to intake, until it has said what became of each: unknown means send again (P2).

Sending again is safe because the ids come from source and external_id.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx
import msgspec

from deploy.commands.api import problem, reasons_of
from deploy.commands.terminal import Failure, plain

PATIENCE_SECONDS = 600.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
_AGAIN = frozenset({408, 425, 429, 502, 503, 504})


class Refused(NamedTuple):
    """One item that intake did not take: its place in the batch, the pointer of its first fault, why."""

    item: int
    pointer: str
    reason: str


class Verdict(msgspec.Struct):
    """The answer of POST /v1/feedback/batch?items=rejected."""

    accepted: int
    rejected: int
    items: list[dict[str, Any]]


Waiting = Callable[[str], None]
"""Told why a batch waits, each time anew, and "" when it went through."""


class Sender:
    def __init__(
        self,
        client: httpx.AsyncClient,
        intake: str,
        waiting: Waiting,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._client = client
        self._url = f"{intake}/v1/feedback/batch"
        self._waiting = waiting
        self._patience = patience_seconds

    async def send(self, bodies: Sequence[bytes]) -> list[Refused]:
        """Returns when intake has answered for all of them: those it refused.

        Raises Failure when it refuses the batch as such, or has not answered for PATIENCE_SECONDS.
        """
        if not bodies:
            return []
        content, began, attempt = b"\n".join(bodies), time.monotonic(), 0
        while True:
            answer = await self._post(content)
            if not isinstance(answer, str):
                if attempt:
                    self._waiting("")
                return refusals(answer)
            if time.monotonic() - began > self._patience:
                raise Failure(
                    f"intake did not take a batch for {self._patience:.0f} s: {answer}",
                    "`cqm status` shows what is missing; the same command goes on where it was",
                )
            self._waiting(answer)
            await asyncio.sleep(pause(attempt))  # backoff
            attempt += 1

    async def _post(self, content: bytes) -> Verdict | str:
        """The answer, or why it has to be sent again."""
        try:
            response = await self._client.post(
                self._url,
                params={"items": "rejected"},
                content=content,
                headers={"Content-Type": "application/x-ndjson"},
            )
        except httpx.TransportError as error:
            return f"intake does not answer ({type(error).__name__})"
        if response.status_code in _AGAIN:
            return f"intake answers {response.status_code}"
        if response.is_error:
            detail, reasons = problem(response)
            raise Failure(f"intake refused a batch ({response.status_code}): {' '.join([detail, *reasons])}")
        return msgspec.json.decode(response.content, type=Verdict)


def pause(attempt: int) -> float:
    """Seconds before the next attempt: doubling, at most 5, spread so that senders do not march in step."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 10)) * random.uniform(0.75, 1.25)


def refusals(verdict: Verdict) -> list[Refused]:
    """Each refused item with the pointer of its first fault, and all its reasons in words."""
    refused = []
    for item in verdict.items:
        document = item.get("problem")
        if document is None:
            continue
        faults = document.get("errors") or [{}]
        reasons = "; ".join(reasons_of(document)) or document.get("detail", "refused")
        refused.append(Refused(item["index"], plain(faults[0].get("pointer", "")), plain(reasons)))
    return refused
