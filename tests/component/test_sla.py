"""The sla service on a real Kafka and a real MongoDB: from case events to clocks and escalations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from services.sla.app import build
from services.sla.settings import SlaSettings
from shared.codec import decode, encode
from shared.errors import SetupError
from shared.events import Case, CaseChanged, Change, EscalationRaised, Event, TargetBreached, TargetFinished
from shared.ids import event_id
from shared.topics import CASES
from tests.support.apps import Running, running_app
from tests.support.reading import begin_at_the_end
from tests.support.servers import Servers
from tests.support.sla import ORGANISATION, ROUTING, case
from tests.support.spine import eventually

QUICK = """
sla:
  - name: seconds
    when: "true"
    calendar: always
    targets:
      first_response: {P1: 2s, P2: 1h, P3: 8h, P4: 24h}
      resolution: {P1: 3s, P2: 8h, P3: 24h, P4: 7d}
    escalate:
      first_response: [{at: 50%, do: remind_owner}, {at: 100%, do: notify_supervisor}]
      resolution: [{at: 100%, do: [notify_head, raise_priority]}]
"""


async def settings_in(folder: Path, servers: Servers, **changes: Any) -> SlaSettings:
    """Settings with the quick policy and a database of their own, in which all earlier cases are done."""
    (folder / "policy.yaml").write_text(ORGANISATION.replace("OLA", "") + ROUTING + QUICK)
    settings = SlaSettings(
        kafka=servers.kafka, mongo=servers.mongo, database_prefix=f"t{uuid4().hex[:10]}", policy=folder,
        log="text", session_timeout=6.0, batch_window=0.0, sweep_every=0.1, **changes,
    )  # fmt: skip
    await begin_at_the_end(servers, settings.database_prefix, "sla", CASES)
    return settings


@pytest.fixture(scope="class")
async def sla(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One service for all tests of a class: each of them has cases of its own."""
    async with running_app(build(await settings_in(tmp_path_factory.mktemp("policy"), servers))) as running:
        yield running


class Listener:
    """What was said on cqm.sla.v1 since it was opened, by case."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._heard: list[Event] = []

    async def about(self, case_id: UUID) -> list[Any]:
        for records in (await self._consumer.getmany(timeout_ms=100)).values():
            self._heard += [decode(record.value, record.headers)[0] for record in records]
        return [event for event in self._heard if event.case_id == case_id]  # type: ignore[attr-defined]


@pytest.fixture
async def listener(servers: Servers) -> AsyncIterator[Listener]:
    consumer = AIOKafkaConsumer("cqm.sla.v1", bootstrap_servers=servers.kafka, auto_offset_reset="latest")
    await consumer.start()
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)
    yield Listener(consumer)
    await consumer.stop()


def new_case(**given: Any) -> Case:
    now = datetime.now(UTC)
    return case(**{"id": uuid4(), "priority": "P3", "opened_at": now, "updated_at": now} | given)


async def tell(sla: Running, *snapshots: Case) -> None:
    records = []
    for snapshot in snapshots:
        change = Change(type="noted", actor="test", at=snapshot.updated_at)
        identity = event_id(snapshot.id, CaseChanged.type, snapshot.version)
        changed = CaseChanged(id=identity, case=snapshot, change=change)
        records.append(encode(changed, key=snapshot.id.bytes, source="routing", at=snapshot.updated_at))
    await sla.service.publisher.publish(records)


async def clock_of(sla: Running, case_id: UUID, version: int = 1) -> Any:
    async def found() -> Any:
        answer = await sla.http.get(f"/v1/clocks/{case_id}")
        return (
            answer.json() if answer.status_code == 200 and answer.json()["case_version"] >= version else None
        )

    return await eventually(found, what=f"clock at version {version}")


async def _said(listener: Listener, case_id: UUID, count: int) -> bool:
    return len(await listener.about(case_id)) >= count


class TestARunningService:
    async def test_a_case_event_becomes_a_clock_that_can_be_read(self, sla: Running) -> None:
        opened = new_case()
        await tell(sla, opened)
        clock = await clock_of(sla, opened.id)
        first = clock["targets"]["first_response"]
        assert (first["state"], first["target_seconds"]) == ("running", 8 * 3600)
        assert datetime.fromisoformat(first["due_at"]) - opened.opened_at < timedelta(hours=8, milliseconds=1)
        assert first["due_at"].endswith("Z")
        assert first["elapsed_seconds"] + first["remaining_seconds"] == 8 * 3600
        assert first["next_step"]["action"] == "remind_owner"
        assert clock["department"] == "service" and clock["sla"] == "seconds" and clock["policy_version"]

    async def test_an_escalation_of_seconds_fires_exactly_once_and_never_early(
        self, sla: Running, listener: Listener
    ) -> None:
        urgent = new_case(priority="P1")
        await tell(sla, urgent)

        async def all_said() -> Any:
            events = await listener.about(urgent.id)
            return events if len(events) >= 6 else None

        await eventually(all_said, what="two breaches and four steps")
        later = new_case(priority="P1", opened_at=urgent.opened_at)
        await tell(sla, later)  # another round of the sweep, in which nothing of the first may come again
        await eventually(lambda: _said(listener, later.id, 6), what="the other case")
        events = await listener.about(urgent.id)
        assert len(events) == 6 and len({event.id for event in events}) == 6
        steps = [(e.target, e.action, e.recipient) for e in events if isinstance(e, EscalationRaised)]
        assert steps == [
            ("first_response", "remind_owner", "chen"),
            ("first_response", "notify_supervisor", "wu"),
            ("resolution", "notify_head", "zhou"),
            ("resolution", "raise_priority", ""),
        ]
        assert [e.target for e in events if isinstance(e, TargetBreached)] == ["first_response", "resolution"]
        for event in events:
            assert event.at >= (event.step_at if isinstance(event, EscalationRaised) else event.due_at)
        listed = (await sla.http.get("/v1/escalations", params={"case_id": str(urgent.id)})).json()["items"]
        assert sorted(item["action"] for item in listed) == sorted(action for _, action, _ in steps)

    async def test_replies_and_resolutions_are_judged_once_however_often_and_in_what_order_they_come(
        self, sla: Running, listener: Listener
    ) -> None:
        one = new_case()
        at = one.opened_at + timedelta(minutes=10)
        two = new_case(id=one.id, version=2, opened_at=one.opened_at, first_reply_at=at, status="in_progress")
        three = new_case(
            id=one.id,
            version=3,
            opened_at=one.opened_at,
            first_reply_at=at,
            status="resolved",
            resolved_at=at,
        )
        await tell(sla, two, one, two)
        await clock_of(sla, one.id, 2)
        await tell(sla, three, one, two, three)
        clock = await clock_of(sla, one.id, 3)
        await eventually(lambda: _said(listener, one.id, 2), what="both verdicts")
        events = [e for e in await listener.about(one.id) if isinstance(e, TargetFinished)]
        assert [(e.target, e.verdict, e.wall_seconds) for e in events] == [
            ("first_response", "met", 600), ("resolution", "met", 600),
        ]  # fmt: skip
        assert {target["state"] for target in clock["targets"].values()} == {"met"}
        assert clock["next_at"] is None

    async def test_what_is_late_is_listed_by_pages_the_most_overdue_first(self, sla: Running) -> None:
        now = datetime.now(UTC)
        owner = uuid4().hex
        cases = [new_case(owner=owner, opened_at=now - timedelta(days=30 + n)) for n in range(3)]
        soon = new_case(owner=owner, opened_at=now - timedelta(hours=7))
        await tell(sla, soon, *cases)
        for one in (soon, *cases):
            await clock_of(sla, one.id)
        page = (await sla.http.get("/v1/overdue", params={"owner": owner, "limit": 2})).json()
        rest = (await sla.http.get("/v1/overdue", params={"owner": owner, "cursor": page["next"]})).json()
        listed = [item["case_id"] for item in page["items"] + rest["items"]]
        assert listed == [str(one.id) for one in reversed(cases)] and rest["next"] is None
        assert page["items"][0]["overdue_seconds"] > page["items"][1]["overdue_seconds"] > 0
        within = (await sla.http.get("/v1/overdue", params={"owner": owner, "within": "2h"})).json()["items"]
        assert [item["case_id"] for item in within][-1] == str(soon.id)
        assert within[-1]["overdue_seconds"] < 0 and within[-1]["target"] == "first_response"
        other = {
            "owner": owner,
            "target": "resolution",
            "department": "service",
            "priority": "P3",
            "within": "1d",
        }
        assert len((await sla.http.get("/v1/overdue", params=other)).json()["items"]) == 4

    async def test_escalations_are_listed_by_pages_the_latest_first(
        self, sla: Running, listener: Listener
    ) -> None:
        urgent = new_case(priority="P1", opened_at=datetime.now(UTC) - timedelta(days=1))
        await tell(sla, urgent)
        await eventually(lambda: _said(listener, urgent.id, 6), what="all steps")
        query: dict[str, Any] = {"case_id": str(urgent.id), "limit": 3}
        page = (await sla.http.get("/v1/escalations", params=query)).json()
        rest = (await sla.http.get("/v1/escalations", params=query | {"cursor": page["next"]})).json()
        ids = [item["id"] for item in page["items"] + rest["items"]]
        assert len(ids) == len(set(ids)) == 4 and rest["next"] is None
        chosen = {
            "case_id": str(urgent.id),
            "step": "notify_head",
            "recipient": "zhou",
            "from": "2026-01-01T00:00:00Z",
        }
        assert len((await sla.http.get("/v1/escalations", params=chosen)).json()["items"]) == 1
        past = {"case_id": str(urgent.id), "to": "2026-01-01T00:00:00Z"}
        assert (await sla.http.get("/v1/escalations", params=past)).json() == {"items": [], "next": None}

    @pytest.mark.parametrize(
        ("path", "pointer"),
        [
            ("/v1/overdue?within=soon", "?within"),
            ("/v1/overdue?within=9999d", "?within"),
            ("/v1/overdue?limit=1000000000", "?limit"),
            ("/v1/overdue?cursor=x", "?cursor"),
            ("/v1/overdue?priority=P9", "?priority"),
            ("/v1/overdue?status[$ne]=", "?status[$ne]"),
            ("/v1/escalations?from=2026-01-01T00:00:00", "?from"),
            ("/v1/escalations?to=0001-01-01T00:00:00Z", "?to"),
            ("/v1/escalations?case_id=1", "?case_id"),
            ("/v1/escalations?step=dance", "?step"),
            ("/v1/overdue?target=handling", "?target"),
            ("/v1/overdue?past=perhaps", "?past"),
            ("/v1/notices?cursor=x", "?cursor"),
            ("/v1/notices?to=chen", "?to"),
            ("/v1/sla/dry-run/nothing", "?case_id"),
            ("/v1/clocks/nothing", "?case_id"),
        ],
    )
    async def test_a_bad_parameter_is_named_and_its_value_not_repeated(
        self, sla: Running, path: str, pointer: str
    ) -> None:
        answer = await sla.http.get(path)
        assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        assert "soon" not in answer.text and "dance" not in answer.text

    async def test_an_unknown_case_has_no_clock(self, sla: Running) -> None:
        answer = await sla.http.get(f"/v1/clocks/{uuid4()}")
        assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"

    async def test_a_case_whose_due_cannot_be_computed_is_a_dead_letter_and_its_neighbours_go_on(
        self,
        sla: Running,
    ) -> None:
        impossible, fine = new_case(opened_at=datetime(1800, 1, 1, tzinfo=UTC)), new_case()
        await tell(sla, impossible, fine)
        await clock_of(sla, fine.id)
        assert (await sla.http.get(f"/v1/clocks/{impossible.id}")).status_code == 404
        assert (await sla.http.get("/readyz")).status_code == 200

    async def test_a_dry_run_shows_every_due_and_step_and_keeps_nothing(self, sla: Running) -> None:
        body = {"priority": "P2", "department": "service", "opened_at": "2026-03-02T09:00:00+08:00"}
        answer = (await sla.http.post("/v1/sla/dry-run", json=body)).json()
        first = answer["targets"]["first_response"]
        assert first["due_at"] == "2026-03-02T02:00:00Z"
        assert [(step["action"], step["at"]) for step in first["steps"]] == [
            ("remind_owner", "2026-03-02T01:30:00Z"), ("notify_supervisor", "2026-03-02T02:00:00Z"),
        ]  # fmt: skip
        assert await sla.service.database.clocks.find_one({"_id": UUID(int=0)}) is None
        wrong = await sla.http.post(
            "/v1/sla/dry-run", json=body | {"opened_at": "2026-03-02T09:00:00", "status": "new"}
        )
        assert [error["pointer"] for error in wrong.json()["errors"]] == ["/opened_at", "/status"]

    async def test_a_dry_run_of_a_live_case_tells_local_time_and_utc(self, sla: Running) -> None:
        opened = new_case(department="service", priority="P4", opened_at=datetime(2099, 3, 2, 1, tzinfo=UTC))
        await tell(sla, opened)
        await clock_of(sla, opened.id)
        answer = (await sla.http.get(f"/v1/sla/dry-run/{opened.id}")).json()
        first = answer["targets"]["first_response"]
        assert (first["due_at"], first["local_due_at"]) == (
            "2099-03-03T01:00:00Z",
            "2099-03-03T01:00:00+00:00",
        )
        assert first["time_zone"] == "UTC" and first["steps"][0]["local_at"] == "2099-03-02T13:00:00+00:00"
        assert (await sla.http.get(f"/v1/sla/dry-run/{uuid4()}")).status_code == 404

    async def test_what_is_still_to_come_is_listed_without_what_is_late(self, sla: Running) -> None:
        now, owner = datetime.now(UTC), uuid4().hex
        late = new_case(owner=owner, opened_at=now - timedelta(days=3))
        soon = new_case(owner=owner, opened_at=now - timedelta(hours=7))
        await tell(sla, late, soon)
        for one in (late, soon):
            await clock_of(sla, one.id)
        wanted = {"owner": owner, "within": "2h", "past": "false"}
        items = (await sla.http.get("/v1/overdue", params=wanted)).json()["items"]
        assert [item["case_id"] for item in items] == [str(soon.id)] and items[0]["overdue_seconds"] < 0

    async def test_people_are_told_one_by_one_and_a_flood_of_theirs_waits_to_be_one_digest(
        self, sla: Running, listener: Listener
    ) -> None:
        urgent = new_case(priority="P1", owner="chen", opened_at=datetime.now(UTC) - timedelta(days=1))
        await tell(sla, urgent)
        await eventually(lambda: _said(listener, urgent.id, 6), what="all steps")
        raised = [e for e in await listener.about(urgent.id) if isinstance(e, EscalationRaised)]
        wanted = {str(event.id) for event in raised if event.recipient}

        async def told() -> Any:
            page = (await sla.http.get("/v1/notices", params={"limit": 200})).json()["items"]
            return wanted <= {step for notice in page for step in notice["escalations"]}

        await eventually(told, what="a notice for each step that somebody is told of")
        mine = (await sla.http.get("/v1/notices", params={"recipient": "chen"})).json()["items"]
        assert mine and {notice["recipient"] for notice in mine} == {"chen"}

    async def test_a_calendar_answers_before_it_is_used(self, sla: Running) -> None:
        calendar = {"time_zone": "Asia/Shanghai", "weekly": {"mon-fri": ["09:00-18:00"]}}
        questions = [
            {"due": {"start": "2026-03-06T17:50:00+08:00", "minutes": 60}},
            {"elapsed": {"start": "2026-03-06T17:50:00+08:00", "end": "2026-03-09T09:50:00+08:00"}},
        ]
        answer = await sla.http.post(
            "/v1/calendars/preview", json={"calendar": calendar, "questions": questions}
        )
        assert answer.json() == {"answers": [{"due": "2026-03-09T01:50:00Z"}, {"minutes": 60}]}
        closed = await sla.http.post(
            "/v1/calendars/preview", json={"calendar": calendar | {"weekly": {}}, "questions": questions}
        )
        assert closed.status_code == 422 and closed.json()["errors"][0]["pointer"] == "/questions/0"
        reversed_hours = calendar | {"weekly": {"mon": ["18:00-09:00"]}}
        refused = await sla.http.post(
            "/v1/calendars/preview", json={"calendar": reversed_hours, "questions": []}
        )
        assert refused.json()["errors"][0]["pointer"] == "/calendar/weekly/mon/0"

    async def test_the_figures_of_the_sweep_are_on_the_metrics_page(
        self, sla: Running, listener: Listener
    ) -> None:
        urgent = new_case(priority="P1")
        await tell(sla, urgent)
        await eventually(lambda: _said(listener, urgent.id, 6), what="all steps")
        page = (await sla.http.get("/metrics")).text
        assert 'cqm_sla_escalations_total{action="notify_head",step="0",target="resolution"}' in page
        assert "cqm_sla_late_seconds_bucket" in page and "cqm_sla_oldest_due_lag_seconds" in page
        assert "cqm_sla_open_clocks" in page and "cqm_sla_overdue" in page


async def test_a_restarted_service_goes_on_and_decides_nothing_again(
    servers: Servers, tmp_path: Path, listener: Listener
) -> None:
    settings = await settings_in(tmp_path, servers)
    urgent = new_case(priority="P1", opened_at=datetime.now(UTC) - timedelta(days=1))
    async with running_app(build(settings)) as sla:
        await tell(sla, urgent)
        await eventually(lambda: _said(listener, urgent.id, 6), what="all steps")
    async with running_app(build(settings)) as sla:
        await tell(sla, urgent)
        other = new_case()
        await tell(sla, other)
        await clock_of(sla, other.id)
        assert (await clock_of(sla, urgent.id))["version"] == 2
    assert len({event.id for event in await listener.about(urgent.id)}) == 6


async def test_steps_of_many_cases_are_said_in_batches(
    servers: Servers, tmp_path: Path, listener: Listener
) -> None:
    old = datetime.now(UTC) - timedelta(days=1)
    cases = [new_case(priority="P1", opened_at=old) for _ in range(30)]
    async with running_app(build(await settings_in(tmp_path, servers, sweep_clocks=7))) as sla:
        await tell(sla, *cases)
        for one in cases:
            await eventually(lambda one=one: _said(listener, one.id, 6), what="all steps")
    assert all([len(await listener.about(one.id)) == 6 for one in cases])


def test_a_bad_policy_stops_the_start_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        ORGANISATION + ROUTING + QUICK.replace("calendar: always", "calendar: moon")
    )
    with pytest.raises(SetupError, match=r"policy\.yaml:\d+.*calendar"):
        build(SlaSettings(policy=tmp_path))
