"""The demo: 1,000 real requests and one complaint, from their arrival to the figures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from deploy.commands import demo_screen as screen
from deploy.commands.addresses import Addresses
from deploy.commands.api import Api, http_client, opened
from deploy.commands.demo_reading import (
    ESCALATED_SECONDS,
    OPENED_SECONDS,
    OWNED_SECONDS,
    Picture,
    demo_cases,
    escalations_of,
    settled,
    until,
    volume,
)
from deploy.commands.demo_story import story
from deploy.commands.import_client import ImportClient, Source
from deploy.commands.terminal import line, note

DATA = Path(__file__).parent.parent / "demo" / "nyc311.csv"
MAPPING = Path(__file__).parent.parent / "mappings" / "nyc311.yaml"
COMPLAINT_SECONDS = 15.0


async def show(addresses: Addresses) -> None:
    """Raises Failure when a service does not answer."""
    began = time.monotonic()
    async with opened(addresses) as api:
        await _requests(api)
        await _complaint(api)
    line()
    line(f"That took {time.monotonic() - began:.0f} s.")
    screen.next_steps(addresses)


async def _requests(api: Api) -> None:
    """1,000 service requests: taken, routed, escalated, counted."""
    line("1,000 service requests of New York's 311 line (nyc311.csv) go to intake ...", "bold")
    before = await volume(api)
    taken = await _feed(api)
    now = await until(OPENED_SECONDS, lambda: volume(api), lambda count: count >= taken["accepted"])
    screen.taken(taken, now - before)
    cases = await until(
        OWNED_SECONDS, lambda: demo_cases(api), lambda found: settled(found, taken["accepted"])
    )
    people = {person["id"]: person["name"] for person in (await api.get("routing", "/v1/people"))["items"]}
    departments = {entry["id"]: entry for entry in (await api.get("routing", "/v1/departments"))["items"]}
    picture = Picture(cases, people, departments)
    screen.owners(picture)
    late = {case["id"] for case in cases}
    escalations = await until(
        ESCALATED_SECONDS,
        lambda: escalations_of(api, late),
        lambda found: len({escalation["case_id"] for escalation in found}) >= len(late),
    )
    screen.escalated(picture, escalations)
    for name, by in (
        ("feedback_volume", "channel"),
        ("case_volume", "department"),
        ("sla_attainment", "target"),
    ):
        screen.figure(await api.get("analytics", f"/v1/kpis/{name}", {"by": by}))


async def _feed(api: Api) -> dict[str, Any]:
    """The import of the shipped file, when all its rows are taken."""
    intake = api.addresses.url("intake")
    async with http_client(intake) as client:
        imports = ImportClient(client, intake, _waits, OPENED_SECONDS)
        job = await imports.upload(Source(DATA, own_mapping=MAPPING.read_bytes()), lambda sent: None)
        return [job async for job in imports.follow(job["id"])][-1]


def _waits(why: str) -> None:
    if why:
        note(why, "yellow")


async def _complaint(api: Api) -> None:
    """One complaint about a broken box, in Chinese: its owner, the rule, and what comes of silence."""
    screen.complaint_begins()
    receipt = await api.post("intake", "/v1/feedback", screen.new_complaint())
    began = time.monotonic()

    async def case() -> Any:
        items = (await api.get("routing", "/v1/cases", {"feedback_id": receipt["id"]}))["items"]
        return items[0] if items else None

    found = await until(
        COMPLAINT_SECONDS, case, lambda seen: bool(seen and (seen["owner"] or seen["holder"]))
    )
    people = {person["id"]: person["name"] for person in (await api.get("routing", "/v1/people"))["items"]}
    screen.complaint(receipt, found, people, time.monotonic() - began)
    if found is None:
        return
    screen.story(await story(api, found["id"]), people)
