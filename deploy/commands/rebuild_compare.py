"""Whether the figures of two generations are the same."""

from __future__ import annotations

import asyncio

from deploy.commands.addresses import Addresses
from deploy.commands.api import Api, Parameters, http_client

LOOK_SECONDS = 0.5
COMPARE_SECONDS = 20.0
"""While events come in, two generations are seldom equally far: so long for both to be so once."""
READ_AT_THAT_MOMENT = frozenset({"backlog_age"})
"""KPIs that are not counted: they change from one second to the next."""
Differing = list[tuple[str, str, str]]
"""KPIs with their totals, served and rebuilt."""


async def compare(live: Addresses | None, rebuilt: str) -> tuple[str, Differing]:
    """How many KPIs are the same, in words, and those that differ, at a moment when both are equally far."""
    if live is None:
        return "no live service was there to compare it with", []
    mine = Addresses("", {"analytics": (rebuilt,)}, live.folder)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + COMPARE_SECONDS
    async with http_client(live.url("analytics")) as one, http_client(rebuilt) as other:
        while True:
            total, differing = await _differing(Api(live, one), Api(mine, other))
            if not differing or loop.time() > deadline:
                words = f"{total - len(differing)} of {total} KPIs have the figures that were served"
                return words, differing
            await asyncio.sleep(LOOK_SECONDS)  # events may be on their way


async def _differing(live: Api, mine: Api) -> tuple[int, Differing]:
    """Of all KPIs that both know, as a whole and by a dimension."""
    served = {entry["name"] for entry in (await live.get("analytics", "/v1/kpis"))["items"]}
    entries = [
        entry
        for entry in (await mine.get("analytics", "/v1/kpis"))["items"]
        if entry["name"] in served - READ_AT_THAT_MOMENT
    ]
    found: Differing = []
    for entry in entries:
        dimensions = entry["dimensions"]
        asked: Parameters = {"by": "department" if "department" in dimensions else dimensions[-1]}
        path = f"/v1/kpis/{entry['name']}"
        one, other = [await api.get("analytics", path, asked) for api in (live, mine)]
        if (one["total"], one["series"]) != (other["total"], other["series"]):
            words = [f"{figure['total']['value']} (n = {figure['total']['n']:,})" for figure in (one, other)]
            found.append((entry["name"], words[0], words[1]))
    return len(entries), found
