"""A customer is erased: nothing they said can be read anywhere, and everything is counted as before (P14)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import bson
import pytest
from pymongo import MongoClient

from deploy.local.ports import HOST, PortBook
from services.analytics.app import build as build_analytics
from services.analytics.domain.catalogue import KPIS
from services.intake.app import build as build_intake
from services.intake.settings import IntakeSettings
from services.routing.app import build as build_routing
from services.routing.settings import RoutingSettings
from services.sla.app import build as build_sla
from services.sla.settings import SlaSettings
from shared.key_store import KeyStore
from shared.mongo import Mongo
from shared.sealing import Seals
from shared.topics import TOPICS
from tests.support.apps import Running, all_read, running_app
from tests.support.figures import settings_for
from tests.support.imports import imported
from tests.support.proxy import MongoWire, proxied
from tests.support.reading import read_topic
from tests.support.servers import GIVEN, Servers
from tests.support.spine import eventually

NAMES = {"name": "欧阳震华", "phone": "+86-139-1234-5678", "email": "zhenhua@example.org"}
WORDS = [
    *NAMES.values(),
    "斑马线旁的快递柜",
    "marmalade everywhere",
    "Dr. Quackenbush",
    "rang the doorbell twice",
]
MAPPING = """\
source: {source}
set: {{kind: complaint}}
fields: {{external_id: id, text: words, customer.id: who, customer.name: name, occurred_at: at}}
"""
ROWS = """\
id,words,who,name,at
I-1,marmalade everywhere,{person},欧阳震华,
I-2,marmalade everywhere,{person},欧阳震华,never
"""
MOVING = {"backlog_age", "escalation_rate", "sla_attainment", "first_response_time", "resolution_time"}
"""KPIs that time moves, or clocks that are still to be judged."""


class Office:
    """The four services, and what is stored by them."""

    def __init__(
        self, servers: Servers, prefix: str, services: dict[str, Running], log: pytest.LogCaptureFixture
    ) -> None:
        self.servers, self.prefix, self.services, self._log = servers, prefix, services, log
        # what other tests have said is on the topics too, sealed with keys that are not there any more
        self.person, self.other, self.source = f"P-{prefix}", f"O-{prefix}", f"shop-{prefix}"

    async def post(self, service: str, path: str, body: Any, status: int = 202) -> Any:
        answer = await self.services[service].http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, service: str, path: str, **parameters: Any) -> Any:
        answer = await self.services[service].http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def case_of(self, feedback: str) -> Any:
        async def there() -> Any:
            found = await self.get("routing", "/v1/cases", feedback_id=feedback)
            return found["items"]

        found = await eventually(there, what="a case")
        return found[0]

    async def settled(self) -> None:
        """Everything that was said is done."""
        await all_read(*(running.service for running in self.services.values()))
        segments = self.services["analytics"].service.database.segments

        async def all_compacted() -> bool:
            return await segments.find_one({}) is None

        await eventually(all_compacted, what="no segment left")  # texts stand in them term by term until then

    async def figures(self) -> dict[str, Any]:
        found = {}
        for name in KPIS.keys() - MOVING:
            answer = await self.services["analytics"].http.get(f"/v1/kpis/{name}", params={"by": "source"})
            found[name] = answer.json().get("series")
        return found

    async def cqm(self, *arguments: str) -> tuple[int, str]:
        return await cqm(self.servers.mongo, self.prefix, *arguments)

    async def readable(self, words: list[str]) -> list[str]:
        """Where any of the words stands: in MongoDB, on Kafka, in the log of the services."""
        found = []
        for topic in TOPICS:
            for record in await read_topic(self.servers.kafka, topic.name):
                parts = [record.key, record.value, *(value for _, value in record.headers)]
                found += [f"{topic.name}: {word}" for word in said_in(b"\n".join(filter(None, parts)), words)]
        client: MongoClient[Any] = MongoClient(self.servers.mongo)
        for database in client.list_database_names():
            if database.startswith(self.prefix):
                for name in client[database].list_collection_names():
                    for document in client[database][name].find({}):
                        raw = bson.encode(document)
                        found += [f"{database}.{name}: {word}" for word in said_in(raw, words)]
        client.close()
        return found + [f"log: {word}" for word in words if word in self._log.text]


async def cqm(mongo: str, prefix: str, *arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CQM_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", *arguments,
        env=environment | {"CQM_MONGO": mongo, "CQM_DATABASE_PREFIX": prefix},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


async def planted(mongo: str, prefix: str) -> None:
    """The keys of services that have been there."""
    client = Mongo(mongo)
    await KeyStore(client, prefix, Seals()).refresh()
    client.close()


def said_in(raw: bytes, words: list[str]) -> list[str]:
    """The words that stand in these bytes, as UTF-8 or as JSON writes them without it."""
    forms = {word: (word.encode(), json.dumps(word)[1:-1].encode()) for word in words}
    return [word for word, ways in forms.items() if any(way in raw for way in ways)]


@pytest.fixture
async def office(servers: Servers, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Office]:
    prefix = f"t{uuid4().hex[:10]}"
    given: dict[str, Any] = {
        "kafka": servers.kafka, "mongo": servers.mongo, "database_prefix": prefix, "log": "text"
    }  # fmt: skip
    apps = {
        "intake": build_intake(IntakeSettings(**given)),
        "routing": build_routing(RoutingSettings(**given)),
        "sla": build_sla(SlaSettings(**given)),
        "analytics": build_analytics(settings_for(servers, prefix)),
    }
    async with AsyncExitStack() as stack:
        services = {name: await stack.enter_async_context(running_app(app)) for name, app in apps.items()}
        yield Office(servers, prefix, services, caplog)


async def said_and_written(office: Office) -> dict[str, str]:
    """What the person and others said, in every way in, and what was written on a case; ids by name."""
    person = {"id": office.person, **NAMES, "region": "north"}
    complaint = {"kind": "complaint", "source": office.source, "category": "delivery", "severity": "high"}
    mine = complaint | {"external_id": "R-1", "subject": "斑马线旁的快递柜", "text": "marmalade everywhere"}
    others = {"subject": "the lid", "text": "my lid is bent"}
    first = await office.post("intake", "/v1/feedback", mine | {"customer": person})
    other = await office.post(
        "intake",
        "/v1/feedback",
        complaint | others | {"external_id": "R-2", "customer": {"id": office.other}},
    )
    nobody = await office.post(
        "intake", "/v1/feedback",
        complaint | {"external_id": "R-3", "text": "marmalade everywhere", "customer": NAMES},
    )  # fmt: skip
    await office.post("intake", "/v1/feedback", mine | {"text": "Dr. Quackenbush", "customer": person})
    await office.post(
        "intake", "/v1/activity",
        {"kind": "order", "source": office.source, "external_id": "A-1", "customer": person},
    )  # fmt: skip
    rows = ROWS.format(person=office.person)
    job = await imported(office.services["intake"].http, rows.encode(), MAPPING.format(source=office.source))
    assert (job["accepted"], job["rejected"]) == (1, 1)
    case = await office.case_of(first["id"])
    for action in (
        {"action": "note", "text": "欧阳震华 rang the doorbell twice"},
        {"action": "customer_message", "text": "Dr. Quackenbush"},
        {"action": "transfer", "department": "quality", "reason": "Dr. Quackenbush asked for it"},
        {"action": "cancel", "reason": "rang the doorbell twice"},
    ):
        await office.post("routing", f"/v1/cases/{case['id']}/actions", action, status=200)
    await office.settled()
    return {"first": first["id"], "other": other["id"], "nobody": nobody["id"], "case": case["id"]}


async def test_who_is_erased_can_be_read_nowhere_and_is_counted_as_before(office: Office) -> None:
    ids = await said_and_written(office)
    case = await office.get("routing", f"/v1/cases/{ids['case']}")
    assert (case["subject"], case["erased"]) == ("斑马线旁的快递柜", False)
    assert case["customer"].items() >= NAMES.items()
    lines = (await office.get("routing", f"/v1/cases/{ids['case']}/timeline"))["items"]
    assert "欧阳震华 rang the doorbell twice" in [line["data"].get("text") for line in lines]
    figures, audit = await office.figures(), await office.get("routing", "/v1/audit")
    # only the row that was refused is kept as it came, for who mends it
    assert {place.partition(":")[0] for place in await office.readable(WORDS)} == {
        f"{office.prefix}_intake.import_rejects"
    }

    code, told = await office.cqm("erase", office.person, "--yes", "--json")
    assert code == 0, told
    counted = json.loads(told[told.index("{") :])
    nothing_left = {"files": 0, "unread": {"rows": 0, "ended": None}, "merged": []}
    assert counted == {
        "feedback": 2,
        "activities": 1,
        "cases": 2,
        "rejects": 1,
        "certain": True,
        **nothing_left,
    }
    assert await office.readable(WORDS) == []

    case = await office.get("routing", f"/v1/cases/{ids['case']}")
    assert (case["subject"], case["erased"], case["version"]) == ("", True, lines[-1]["version"])
    assert case["customer"] == {"id": office.person, "tier": "", "region": "north"}
    after = (await office.get("routing", f"/v1/cases/{ids['case']}/timeline"))["items"]
    for line in after:
        assert "text" not in line["data"] and not said_in(json.dumps(line).encode(), WORDS)
    assert [line["hash"] for line in after] == [line["hash"] for line in lines]
    assert sum(line["erased"] for line in after) == 4
    assert await office.figures() == figures and await office.get("routing", "/v1/audit") == audit
    checked = await office.post("analytics", "/v1/recompute-check/all", {}, status=200)
    assert [one for one in checked["items"] if not one["equal"]] == []


async def test_everybody_else_can_be_read_as_before(office: Office) -> None:
    ids = await said_and_written(office)
    assert (await office.cqm("erase", office.person, "--yes"))[0] == 0
    assert (await office.case_of(ids["other"]))["subject"] == "the lid"
    assert (await office.case_of(ids["nobody"]))["subject"] == "marmalade everywhere"
    assert (await office.cqm("erase", ids["nobody"], "--feedback", "--yes"))[0] == 0
    nobody = await office.case_of(ids["nobody"])
    assert (nobody["subject"], nobody["erased"]) == ("", True)


async def test_no_case_is_searched_for_without_an_index(office: Office) -> None:
    ids = await said_and_written(office)
    with MongoClient[Any](office.servers.mongo, uuidRepresentation="standard") as client:
        routing = client[f"{office.prefix}_routing"]
        routing.command("profile", 2)
        for whose in ((ids["nobody"], "--feedback"), (office.person,)):
            code, told = await office.cqm("erase", *whose, "--yes", "--json")
            assert code == 0 and json.loads(told[told.index("{") :])["cases"], told
        routing.command("profile", 0)
        counted = {"command.aggregate": {"$in": ["cases", "feedback"]}}
        asked = list(
            routing["system.profile"].find({"$or": [counted, {"command.filter.reference": {"$gt": ""}}]})
        )
    assert {one["ns"].partition(".")[2] for one in asked} == {"cases", "feedback"}
    assert any(one["command"].get("find") for one in asked)
    assert [one["planSummary"] for one in asked if "COLLSCAN" in one["planSummary"]] == []


async def test_the_sender_of_a_feedback_is_erased_however_its_id_is_written(office: Office) -> None:
    complaint = {"kind": "complaint", "source": office.source, "category": "delivery", "severity": "high"}
    said = await office.post(
        "intake", "/v1/feedback",
        complaint | {"external_id": "R-1", "subject": "the lid", "customer": {"name": "欧阳震华"}},
    )  # fmt: skip
    assert (await office.case_of(said["id"]))["subject"] == "the lid"
    await office.settled()
    spelt = "{" + said["id"].replace("-", "").upper() + "}"
    code, told = await office.cqm("erase", spelt, "--feedback", "--yes")
    assert code == 0 and "1 feedback, 0 activities, 1 cases" in told, told
    case = await office.case_of(said["id"])
    assert (case["subject"], case["erased"]) == ("", True)


async def test_a_feedback_whose_words_have_another_key_or_none_is_not_said_to_be_erased(
    office: Office,
) -> None:
    complaint = {"kind": "complaint", "source": office.source, "category": "delivery", "severity": "high"}
    praise = {"kind": "praise", "source": office.source, "text": "well done"}
    asked = {
        "mine": complaint | {"external_id": "R-1", "text": "the lid", "customer": {"id": office.person}},
        "calm": praise | {"external_id": "R-2", "customer": {"id": office.person}},
        "nobody": complaint | {"external_id": "R-3", "text": "the lid"},
        "unclear": praise | {"external_id": "R-4"},
    }
    ids = {name: (await office.post("intake", "/v1/feedback", body))["id"] for name, body in asked.items()}
    for name in ("mine", "nobody"):
        await office.case_of(ids[name])
    await office.settled()
    for name in ("mine", "calm"):
        code, told = await office.cqm("erase", ids[name], "--feedback", "--yes")
        assert code == 1 and f"is of customer {office.person}" in told, told
        assert f"`cqm erase {office.person}`" in told, told
    code, told = await office.cqm("erase", ids["nobody"], "--feedback", "--yes", "--unknown")
    assert code == 1 and "names nobody" in told and "still counted" not in told, told
    with MongoClient[Any](office.servers.mongo) as client:
        assert client[f"{office.prefix}_keys"].cuts.count_documents({}) == 1, "a key was destroyed"
    code, told = await office.cqm("erase", ids["unclear"], "--feedback", "--yes")
    assert code == 0 and "it may have given no name, phone or email" in told, told


async def test_who_speaks_again_is_heard(office: Office) -> None:
    await said_and_written(office)
    assert (await office.cqm("erase", office.person, "--yes"))[0] == 0
    again = await office.post(
        "intake", "/v1/feedback",
        {"kind": "complaint", "source": office.source, "external_id": "R-9", "category": "quality",
         "text": "here I am again", "customer": {"id": office.person, "name": "欧阳震华"}},
    )  # fmt: skip
    case = await office.case_of(again["id"])
    assert (case["subject"], case["customer"]["name"]) == ("here I am again", "欧阳震华")
    assert (await office.cqm("erase", office.person, "--yes"))[0] == 0
    assert (await office.case_of(again["id"]))["subject"] == ""


async def test_an_unknown_customer_is_told_and_nothing_is_destroyed(office: Office) -> None:
    code, told = await office.cqm("erase", "nobody", "--yes")
    assert code == 1 and "nothing of this customer is stored" in told
    code, told = await office.cqm("erase", "nobody")
    assert code != 0 and "erased:" not in told


async def test_refused_rows_that_name_somebody_else_are_left(servers: Servers) -> None:
    prefix = f"t{uuid4().hex[:10]}"
    await planted(servers.mongo, prefix)
    with MongoClient[Any](servers.mongo) as client:
        rejects = client[f"{prefix}_intake"].import_rejects
        cells = ["P-1", "x;P-1;y", "客户P-1的", "P-10", "XP-1", "P-1-2", "P.1"]
        rejects.insert_many([{"_id": number, "cells": ["a", cell]} for number, cell in enumerate(cells)])
        code, told = await cqm(servers.mongo, prefix, "erase", "P-1", "--yes")
        left = [row["cells"][1] for row in rejects.find({}, sort=[("_id", 1)])]
        client.drop_database(f"{prefix}_intake")
        client.drop_database(f"{prefix}_keys")
    assert code == 0 and "3 refused rows" in told, told
    assert left == ["P-10", "XP-1", "P-1-2", "P.1"]


async def test_what_may_still_hold_words_is_told(servers: Servers) -> None:
    prefix, ended = f"t{uuid4().hex[:10]}", datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    await planted(servers.mongo, prefix)
    jobs, cases = [uuid4() for _ in range(2)], {name: uuid4() for name in "ABCDE"}
    with MongoClient[Any](servers.mongo, uuidRepresentation="standard") as client:
        intake, routing = client[f"{prefix}_intake"], client[f"{prefix}_routing"]
        intake.imports.insert_many([{"_id": job, "finished_at": ended} for job in jobs])
        cut, column = {"column": "", "cells": ["P-1 and no end"]}, {"column": "at", "cells": ["never"]}
        cells = [cut, {"column": "", "cells": ["no end"]}, {"column": "", "cells": ["P-10, no end"]}, column]
        intake.import_rejects.insert_many(
            [{"_id": {"job": jobs[0], "row": row}, **cell} for row, cell in enumerate(cells)]
        )
        intake["imports.chunks"].insert_many(
            [{"files_id": jobs[1], "n": n, "data": b"P-1"} for n in range(2)]
        )
        of = {"A": ("P-1", "B"), "B": ("P-1", "C"), "C": ("P-2", "D"), "D": ("", ""), "E": ("P-1", "")}
        routing.cases.insert_many(
            {"_id": cases[name], "reference": f"REF{name}", "customer": {"id": whose} if whose else {}}
            | ({"status": "merged", "merged_into": cases[into]} if into else {"status": "assigned"})
            for name, (whose, into) in of.items()
        )
        code, told = await cqm(servers.mongo, prefix, "erase", "P-1", "--yes")
        again, json_told = await cqm(servers.mongo, prefix, "erase", "P-1", "--yes", "--json")
        for name in ("intake", "routing", "keys"):
            client.drop_database(f"{prefix}_{name}")
    assert (code, again) == (1, 1), told
    assert "refused rows that could not be read: 2" in told and "after 2026-03-02 09:30 UTC" in told, told
    assert "stored files of imports: 1" in told, told
    assert "merged into those of somebody else: REFC, REFD" in told, told
    counted = json.loads(json_told[json_told.index("{") :])
    assert (counted["files"], counted["merged"], counted["cases"]) == (1, ["REFC", "REFD"], 3)
    assert counted["unread"] == {"rows": 2, "ended": "2026-03-02T09:30:00Z"}


async def test_a_mongodb_that_goes_away_while_refused_rows_are_deleted_is_one_sentence(
    servers: Servers, tmp_path: Path
) -> None:
    if servers.kind == GIVEN:
        pytest.skip("the proxy leads to this machine")
    prefix, port = f"t{uuid4().hex[:10]}", PortBook(tmp_path / "ports.json").claim("mongo-proxy")
    await planted(servers.mongo, prefix)
    with MongoClient[Any](servers.mongo) as client:
        rejects = client[f"{prefix}_intake"].import_rejects
        rejects.insert_one({"_id": 1, "cells": ["P-1"]})
        assert client.address is not None
        async with proxied(MongoWire(), client.address[1], port) as proxy:
            proxy.lose("delete")
            mongo = f"mongodb://{HOST}:{port}/?directConnection=true"
            code, told = await cqm(mongo, prefix, "erase", "P-1", "--yes")
        destroyed = list(client[f"{prefix}_keys"].cuts.find({"_id": {"$ne": ""}}))
        client.drop_database(f"{prefix}_intake")
        client.drop_database(f"{prefix}_keys")
    assert proxy.lost and code == 1
    assert "error: MongoDB did not answer" in told and "Traceback" not in told, told
    assert not destroyed, "the key is the last to go"
