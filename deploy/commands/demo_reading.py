"""What the demo reads from the running system, and how long it waits for it to be there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from deploy.commands.api import Api

OPENED_SECONDS, OWNED_SECONDS, ESCALATED_SECONDS = 20.0, 15.0, 10.0
POLL_SECONDS = 0.25
SOURCE = "nyc311"
SPAN: dict[str, str | int | list[str]] = {
    "opened_from": "2024-04-14T00:00:00Z",
    "opened_to": "2024-04-19T00:00:00Z",
}
"""The shipped requests are of these days; whatever else is in the system is not looked through."""

MOST_CASES, MOST_ESCALATIONS = 2_000, 6_000
T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """The cases of the shipped requests, names of people by id, departments by id."""

    cases: list[Any]
    people: dict[str, str]
    departments: dict[str, Any]


async def until(seconds: float, ask: Callable[[], Awaitable[T]], enough: Callable[[T], bool]) -> T:
    """Asks again and again until it is `enough` or the time is up; the last answer either way."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await ask()
        if enough(answer) or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(POLL_SECONDS)


async def volume(api: Api) -> int:
    """How many of the shipped requests analytics has counted."""
    answer = await api.get("analytics", "/v1/kpis/feedback_volume", {"filter": f"source:{SOURCE}"})
    return int(answer["total"]["n"])


async def demo_cases(api: Api) -> list[Any]:
    found = await api.pages("routing", "/v1/cases", SPAN, MOST_CASES)
    return [case for case in found if case["source"] == SOURCE]


def settled(cases: Collection[Any], wanted: int) -> bool:
    """Whether all are there, each with an owner, or waiting with a supervisor."""
    return len(cases) >= wanted and all(case["owner"] or case["holder"] for case in cases)


async def escalations_of(api: Api, cases: Collection[str]) -> list[Any]:
    """The escalations of these cases, the earliest first."""
    parameters: dict[str, str | int | list[str]] = {"case_id": next(iter(cases))} if len(cases) == 1 else {}
    found = await api.pages("sla", "/v1/escalations", parameters, MOST_ESCALATIONS)
    return [escalation for escalation in reversed(found) if escalation["case_id"] in cases]
