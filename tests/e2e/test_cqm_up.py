"""The whole system by its command line: `cqm up` as a process, a real file in, every row accounted for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pymongo import MongoClient

from deploy.local.instance import running_instance
from deploy.local.ports import is_free
from shared import ids
from tests.support.recompute import NYC311, feedback_volume, mapped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CQM = Path(sys.executable).with_name("cqm")
START_SECONDS = 200.0  # a first run downloads Kafka
SETTLE_SECONDS = 60.0
OWNER_SECONDS = 2.0


def environment() -> dict[str, str]:
    """Without what would send the commands to other servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CQM_")}


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Running:
    """One instance, by its folder; `screen` is what `cqm up` had said when it was ready."""

    folder: Path
    screen: str
    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    urls: dict[str, list[str]] = field(default_factory=dict)

    async def cqm(self, *arguments: str) -> Done:
        process = await started(*arguments, "--data-dir", str(self.folder))
        async with asyncio.timeout(100):
            out, err = await process.communicate()
        return Done(process.returncode or 0, out.decode(), err.decode())

    def url(self, service: str) -> str:
        return self.urls[service][0]

    async def get(self, service: str, path: str, **parameters: Any) -> Any:
        answer = await self.client.get(self.url(service) + path, params=parameters)
        assert answer.is_success, answer.text
        return answer.json()


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        CQM, *arguments, env=environment(),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def free_row() -> int:
    """The first of four free ports in a row, away from those of other instances."""
    return next(base for base in range(24_001, 31_000, 10) if all(is_free(base + n) for n in range(4)))


async def screen_until(process: asyncio.subprocess.Process, words: str) -> str:
    """What a process has said up to the line with `words`."""
    assert process.stdout is not None
    screen = ""
    async with asyncio.timeout(START_SECONDS):
        while words not in screen:
            line = await process.stdout.readline()
            assert line, screen + await told_at_the_end(process)
            screen += line.decode()
    return screen


async def told_at_the_end(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.read()).decode()


@pytest.fixture(scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("cqm") / "data"
    process = await started("up", "--data-dir", str(folder), "--port-base", str(free_row()))
    try:
        screen = await screen_until(process, "drains and stops it")
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            running = Running(folder, screen, process, client)
            running.urls = (await running.cqm("ps", "--json")).json["urls"]
            yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.communicate()


async def eventually(seconds: float, ask: Callable[[], Awaitable[Any]], good: Callable[[Any], bool]) -> Any:
    """The first good answer. Fails with the last one when the time is up."""
    answer = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = await ask()
                if good(answer):
                    return answer
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s; the last answer: {str(answer)[:500]}") from None


async def volume(up: Running, *by: str) -> Any:
    return await up.get("analytics", "/v1/kpis/feedback_volume", filter="source:nyc311", by=list(by))


async def all_cases(up: Running) -> list[Any]:
    items: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await up.get("routing", "/v1/cases", limit=200, **cursor)
        items += page["items"]
        if page["next"] is None:
            return [case for case in items if case["source"] == "nyc311"]
        cursor = {"cursor": page["next"]}


async def test_the_screen_says_where_it_listens_and_what_to_try(up: Running) -> None:
    assert "listens on 127.0.0.1 only, and authentication is off" in up.screen
    for service, path in (("routing", "/v1/cases"), ("sla", "/v1/escalations"), ("analytics", "/v1/kpis")):
        address = up.url(service) + path
        assert address in up.screen
        assert (await up.client.get(address)).is_success
    assert f"cqm demo --data-dir {up.folder}" in up.screen
    assert re.search(r"Ctrl-C, or `\S*cqm down .*` elsewhere, drains and stops it", up.screen)


async def test_a_file_imported_twice_is_there_once_and_its_figures_are_those_of_pandas(up: Running) -> None:
    for _ in range(2):
        done = await up.cqm("import", str(NYC311), "--mapping", "nyc311", "--json")
        assert done.code == 0, done.err
        assert (done.json["rows"], done.json["accepted"], done.json["rejected"]) == (1000, 1000, 0)
        await eventually(SETTLE_SECONDS, lambda: volume(up), lambda figure: figure["total"]["n"] >= 1000)
    idle = await eventually(
        SETTLE_SECONDS, lambda: up.cqm("status", "--json"),
        lambda done: all(not service["lag"] for service in done.json["services"].values()),
    )  # fmt: skip
    assert idle.json["well"]
    frame = mapped()
    assert (await volume(up))["total"]["value"] == len(frame) == 1000
    for dimension in ("channel", "category"):
        series = (await volume(up, dimension))["series"]
        served = {entry["key"][dimension]: entry["points"][0]["value"] for entry in series}
        assert served == feedback_volume(frame, dimension)


async def test_every_row_of_the_file_has_one_case_with_somebody_who_holds_it(up: Running) -> None:
    wanted = {str(ids.signal_id("feedback", "nyc311", key)) for key in mapped()["external_id"]}
    cases = await eventually(
        SETTLE_SECONDS, lambda: all_cases(up),
        lambda found: len(found) >= 1000 and all(case["holder"] for case in found),
    )  # fmt: skip
    assert sorted(one for case in cases for one in case["feedback_ids"]) == sorted(wanted)
    departments = (await up.get("routing", "/v1/departments"))["items"]
    owned = sum(case["owner"] is not None for case in cases)
    assert owned + sum(department["queue"] for department in departments) == 1000
    assert {case["holder"] for case in cases if case["owner"] is None} <= {
        department["supervisor"] for department in departments
    }


async def test_the_complaint_of_the_screen_finds_an_owner_of_logistics_and_its_first_escalation(
    up: Running,
) -> None:
    words = shlex.split(next(line for line in up.screen.splitlines() if "curl" in line and "zh" in line))
    answer = await up.client.post(words[1], content=words[-1], headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text

    async def cases() -> Any:
        return await up.get("routing", "/v1/cases", feedback_id=answer.json()["id"])

    found = await eventually(OWNER_SECONDS, cases, lambda page: page["items"] and page["items"][0]["owner"])
    case = found["items"][0]
    assert (case["department"], case["category"]) == ("logistics", "logistics.damage")
    people = {person["id"]: person for person in (await up.get("routing", "/v1/people"))["items"]}
    assert people[case["owner"]]["department"] == "logistics"
    assert case["decision"]["rule"] == "damage"
    assert "货物破损" in case["decision"]["reason"]
    assert "压坏" in case["decision"]["reason"]

    async def escalations() -> Any:
        return (await up.get("sla", "/v1/escalations", case_id=case["id"]))["items"]

    steps = await eventually(SETTLE_SECONDS, escalations, bool)
    assert (steps[-1]["action"], steps[-1]["recipient"]) == ("remind_owner", case["owner"])


async def test_the_demo_tells_what_happened_and_adds_nothing_the_second_time(
    up: Running,
) -> None:
    done = await up.cqm("demo")
    assert done.code == 0, done.err
    assert "1,000 taken, 0 rejected; 0 of them are new" in done.out
    assert "The same requests again add nothing" in done.out
    assert re.search(r"1,000 cases: \d+ have an owner, \d+ wait in a queue", done.out)
    assert "1,000 cases are late and escalated" in done.out
    assert "警务部 Police" in done.out
    for figure in ("feedback_volume: ", "case_volume: ", "sla_attainment: "):
        assert figure in done.out
    assert re.search(r"a P\d case of logistics, .* is its owner", done.out)
    assert "Nobody answers it, though the policy promises an answer within 4 s" in done.out
    told = [done.out.index(words) for words in ("reminded", "breached", "notified", "raised", "reassigned")]
    assert told == sorted(told), "each at its second"
    assert done.out.index("the head") > told[-1]
    seconds = re.findall(r"^ *(\d+\.\d) s +(\d+\.\d) s ", done.out, re.MULTILINE)
    assert len(seconds) >= 6 and all(float(at) >= float(due) for at, due in seconds), "none is early"
    assert re.search(r"升级 +raised, its priority +P2 -> P1", done.out)
    assert (await volume(up))["total"]["n"] == 1000


async def test_rejected_rows_are_named_and_end_the_import_with_1(up: Running, tmp_path: Path) -> None:
    rows = NYC311.read_text(encoding="utf-8").splitlines()
    broken = rows[2].replace("2024-04-16T02:05:59.000", "yesterday")
    file = tmp_path / "some.csv"
    file.write_text("\n".join([rows[0], rows[1], broken]), encoding="utf-8")
    done = await up.cqm("import", str(file), "--mapping", "nyc311", "--json")
    assert done.code == 1
    assert [(why["row"], why["column"]) for why in done.json["rejects"]] == [(3, "created_date")]
    assert "created_date" in (tmp_path / "some.csv.rejects.csv").read_text(encoding="utf-8")


async def test_what_runs_is_told_by_ps_status_logs_topics_and_doctor(up: Running) -> None:
    ps = (await up.cqm("ps", "--json")).json
    assert ps["state"] == "ready"
    names = [process["name"] for process in ps["processes"]]
    assert names == ["kafka", "mongo", "preloader", "intake", "routing", "sla", "analytics"]
    assert all(process["resident_bytes"] > 2**20 for process in ps["processes"])
    for command in (("ps",), ("status",), ("topics",), ("logs", "routing"), ("kpi",), ("doctor",)):
        done = await up.cqm(*command)
        assert done.code == 0, done.out + done.err
        assert "\x1b" not in done.out
    findings = {one["check"]: one for one in (await up.cqm("doctor", "--json")).json["findings"]}
    assert len(findings) >= 10
    assert {one["state"] for one in findings.values()} <= {"ok", "note"}


async def test_verify_reads_every_history_again_and_names_what_was_altered_or_removed(up: Running) -> None:
    whole = await up.cqm("verify", "--json")
    assert whole.code == 0, whole.out
    assert whole.json["cases"] >= 1000 and whole.json["flaws"] == []
    case = (await all_cases(up))[0]["id"]
    with MongoClient[dict[str, Any]](
        running_instance(up.folder).mongo, uuidRepresentation="standard"
    ) as client:
        history = client.get_database("cqm_routing").case_history
        span = {"$gt": UUID(case).bytes + bytes(4), "$lt": UUID(case).bytes + b"\xff" * 4}
        first, second = history.find({"_id": span}).sort("_id", 1).limit(2)
        forged = first["said"].replace('"actor":"routing"', '"actor":"somebody else"')
        history.update_one({"_id": first["_id"]}, {"$set": {"said": forged}})
        history.delete_one({"_id": second["_id"]})
        try:
            found = await up.cqm("verify", "--audit", "--json")
            said = await up.cqm("verify", "--audit")
        finally:
            history.insert_one(second)
            history.replace_one({"_id": first["_id"]}, first)
    flaws = {(flaw["case_id"], flaw["version"], flaw["fault"]) for flaw in found.json["flaws"]}
    assert found.code == said.code == 1
    assert {(case, 1, "altered"), (case, 2, "removed")} <= flaws and {flaw[0] for flaw in flaws} == {case}
    assert case in said.out and "altered" in said.out
    assert (await up.cqm("verify")).code == 0


async def test_an_import_goes_on_by_itself_when_kafka_is_killed(up: Running, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    file.write_text(many_rows(20_000), encoding="utf-8")
    importing = await started(
        "import", str(file), "--mapping", "nyc311", "--json", "--data-dir", str(up.folder)
    )
    await eventually(SETTLE_SECONDS, lambda: volume(up), lambda figure: figure["total"]["n"] > 1000)
    processes = {one["name"]: one for one in (await up.cqm("ps", "--json")).json["processes"]}
    os.kill(processes["kafka"]["pid"], signal.SIGKILL)
    async with asyncio.timeout(150):
        out, err = await importing.communicate()
    assert importing.returncode == 0, err.decode()
    assert json.loads(out)["accepted"] == 20_000
    await eventually(150, lambda: volume(up), lambda figure: figure["total"]["n"] >= 21_000)
    assert (await volume(up))["total"]["n"] == 21_000


def many_rows(count: int) -> str:
    """Rows of the shipped file under keys of their own."""
    header, *rows = NYC311.read_text(encoding="utf-8").splitlines()
    plain = [row.partition(",")[2] for row in rows if '"' not in row]
    return "\n".join([header, *(f"m{n},{plain[n % len(plain)]}" for n in range(count))])


async def test_down_drains_and_ends_everything(up: Running) -> None:
    done = await up.cqm("down")
    assert done.code == 0, done.err
    async with asyncio.timeout(30):
        _, err = await up.process.communicate()
    assert up.process.returncode == 0
    assert "everything has stopped; the data stay" in err.decode()
    again = await up.cqm("status")
    assert (again.code, "nothing runs in" in again.err) == (1, True)
