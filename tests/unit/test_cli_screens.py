"""What commands show: figures, logs, topics, metrics pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from deploy.commands import demo_screen, terminal
from deploy.commands.addresses import Addresses
from deploy.commands.api import Api
from deploy.commands.cluster import Cluster, FoundTopic, compare
from deploy.commands.demo_story import Story
from deploy.commands.kpi import bar, show_figure, span_text, value_text
from deploy.commands.logs import Entry, Tail, entries, last_lines, log_files
from deploy.commands.report import show_efficiency, show_pareto
from deploy.commands.status import coming_dues, show_coming, statuses
from deploy.commands.terminal import Failure, program, table
from deploy.local.folder import DataFolder
from shared.topics import FEEDBACK, TOPICS


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, "count", "-"), (1000, "count", "1,000"), (0.825, "ratio", "82.5 %"), (-12.5, "points", "-12.5"),
     (90.0, "seconds", "1.5 min"), (7200, "seconds", "2.0 h"), (0, "ratio", "0.0 %")],
)  # fmt: skip
def test_a_figure_is_written_in_its_unit(value: float | None, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


def test_what_identifies_a_row_and_its_figures_stay_whole_in_a_narrow_terminal() -> None:
    shown = table("id", "name", "scopes", "n", right=("n",))
    shown.add_row("2vkhq6fkn526", "a shop with a long name", "feedback:write activity:write imports", "1,000")
    console = Console(width=40)
    with console.capture() as captured:
        console.print(shown)
    assert "2vkhq6fkn526" in captured.get() and "1,000" in captured.get()


def test_what_a_screen_says_to_type_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, elsewhere = tmp_path / ".venv" / "bin", tmp_path / "else" / "where"
    for folder in (here, elsewhere):
        folder.mkdir(parents=True)
        (folder / "cqm").write_text("#!/bin/sh\n")
        (folder / "cqm").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [".venv/bin/cqm", "up"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == ".venv/bin/cqm"
    monkeypatch.setenv("PATH", str(elsewhere))
    assert program() == ".venv/bin/cqm", "another one is on the path"
    monkeypatch.setenv("PATH", str(here))
    assert program() == "cqm"
    monkeypatch.setattr("sys.argv", ["/usr/bin/pytest"])
    assert program() == "cqm"


def test_spans_take_the_largest_unit_that_fits() -> None:
    assert [span_text(seconds) for seconds in (0.5, 60, 3600, 86_400)] == [
        "0.5 s",
        "1.0 min",
        "1.0 h",
        "1.0 d",
    ]


def test_bars_are_in_proportion_and_never_vanish_for_a_value() -> None:
    assert bar(10, 10) == "█" * 30
    assert bar(5, 10) == "█" * 15
    assert bar(0.001, 10) == "▏"
    assert bar(None, 10) == bar(-3, 10) == bar(0, 0) == ""


def point(value: float | None, start: str = "2026-03-02T00:00:00Z") -> dict[str, Any]:
    return {"start": start, "value": value, "n": 1, "numerator": 1, "denominator": None}


def test_a_figure_by_a_dimension_is_listed_from_the_largest(capsys: pytest.CaptureFixture[str]) -> None:
    series = [
        {"key": {"channel": name}, "points": [point(value)]} for name, value in (("web", 1), ("phone", 9))
    ]
    show_figure({"name": "feedback_volume", "unit": "count", "total": point(10), "series": series})
    shown = capsys.readouterr().out
    assert shown.startswith("feedback_volume: 10 (n = 1)")
    assert shown.index("phone") < shown.index("web")


LINE = {"at": "2026-03-02T01:02:03.456789Z", "level": "warning", "event": "waiting_for", "what": "Kafka",
        "service": "sla", "pid": 7, "logger": "cqm.service"}  # fmt: skip


def test_a_json_line_is_rendered_for_a_person() -> None:
    assert (
        Entry.of("sla", json.dumps(LINE)).render(named=True)
        == "01:02:03.456 sla warning waiting_for what=Kafka"
    )


def test_a_line_of_kafka_is_shown_as_it_is_without_what_steers_the_terminal() -> None:
    assert Entry.of("kafka", "[x] started \x1b[0m").render(named=False) == "[x] started \ufffd[0m"


def test_a_line_without_a_time_stays_behind_the_one_before_it(tmp_path: Path) -> None:
    file = tmp_path / "sla.log"
    file.write_text(json.dumps(LINE) + "\nTraceback\n")
    assert [at for at, _ in entries(file, 10)] == [LINE["at"], LINE["at"]]


def test_the_last_lines_are_read_from_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("".join(f"{n} {'x' * 100}\n" for n in range(5000)))
    assert [line.split()[0] for line in last_lines(file, 3)] == ["4997", "4998", "4999"]
    assert len(last_lines(file, 100_000)) == 5000
    assert last_lines(file, 0) == []


def test_a_log_is_followed_in_whole_lines_and_across_its_replacement(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"old\n")
    tail = Tail(file, 4)
    with file.open("ab") as log:
        log.write("one\n破".encode()[:-1])
    assert list(tail.new_lines()) == ["one"]
    with file.open("ab") as log:
        log.write("破\n".encode()[2:])
    assert list(tail.new_lines()) == ["破"]
    file.write_bytes(b"new\n")
    assert list(tail.new_lines()) == ["new"]


def test_logs_of_a_service_are_those_of_all_its_replicas(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path).create()
    for name in ("intake", "routing", "routing-1", "kafka"):
        folder.log(name).write_text("")
    assert [file.stem for file in log_files(folder, "routing")] == ["routing", "routing-1"]
    assert [file.stem for file in log_files(folder, None)] == ["intake", "routing", "routing-1"]
    assert [file.stem for file in log_files(folder, "kafka")] == ["kafka"]
    with pytest.raises(Failure, match="there are intake, kafka"):
        log_files(folder, "nope")


def found(topic: Any, brokers: int, **changes: Any) -> FoundTopic:
    values = {"partitions": topic.partitions, "replicas": 1, "under_replicated": 0,
              "config": topic.config(2 if brokers >= 3 else 1)}  # fmt: skip
    return FoundTopic(**{**values, **changes})


def test_topics_as_wanted_are_ok() -> None:
    cluster = Cluster(1, 1, {topic.name: found(topic, 1) for topic in TOPICS})
    assert {row.state for row in compare(cluster)} == {"ok"}


def test_what_differs_from_the_table_is_named() -> None:
    config = {**FEEDBACK.config(2), "retention.ms": "1000"}
    cluster = Cluster(3, 1, {FEEDBACK.name: found(FEEDBACK, 3, partitions=3, config=config)})
    rows = {row.name: row for row in compare(cluster)}
    assert rows[FEEDBACK.name].differences == [
        "3 partitions instead of 12", "retention.ms is 1000 instead of -1",
    ]  # fmt: skip
    assert all(row.state == "missing" for name, row in rows.items() if name != FEEDBACK.name)


METRICS = """\
# TYPE cqm_stream_lag_records gauge
cqm_stream_lag_records{group="sla.cases"} 4.0
cqm_stream_lag_records{group="sla.other"} 3.0
# TYPE cqm_stream_oldest_age_seconds gauge
cqm_stream_oldest_age_seconds{group="sla.cases"} 12.5
# TYPE cqm_stream_dead_letters_total counter
cqm_stream_dead_letters_total{group="sla.cases",reason="not_json"} 2.0
# TYPE cqm_stream_stopped_partitions gauge
cqm_stream_stopped_partitions{group="sla.cases"} 1.0
"""


async def test_a_service_is_summed_over_its_replicas() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            return httpx.Response(200, text=METRICS)
        if request.url.port == 2:
            return httpx.Response(503, json={"missing": ["draining"]})
        return httpx.Response(200, json={"status": "ready"})

    addresses = Addresses("x", {"sla": ("http://sla:1", "http://sla:2")}, Path())
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        sla = (await statuses(addresses, client))["sla"]
    assert (sla.ready, sla.lag, sla.oldest_age_seconds, sla.dead_letters, sla.stopped_partitions) == (
        False, 14, 12.5, 4, 2,
    )  # fmt: skip
    assert [replica.missing for replica in sla.replicas] == [[], ["draining"]]


async def test_status_needs_an_address_per_service() -> None:
    addresses = Addresses("x", {"sla": ("http://one",)}, Path(), one_ingress=True)
    async with httpx.AsyncClient() as client:
        with pytest.raises(Failure, match="asks each service about itself"):
            await statuses(addresses, client)


async def test_a_refusal_is_told_in_the_services_own_words() -> None:
    errors = [{"pointer": "?by", "message": "too many dimensions", "limit": 2}]
    answer = httpx.Response(422, json={"detail": "It does not fit.", "errors": errors})
    addresses = Addresses("x", {"analytics": ("http://a",)}, Path())
    words = r"analytics answered 422: It does not fit\. \?by too many dimensions \(limit 2\)"
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        with pytest.raises(Failure, match=words) as failed:
            await Api(addresses, client).get("analytics", "/v1/kpis")
    assert failed.value.code == 2


A_POINT = {
    "start": "2026-03-02T00:00:00Z",
    "n": 4,
    "numerator": None,
    "denominator": None,
    "provisional": False,
}


def test_a_report_has_a_row_for_each_and_one_for_all_in_both_languages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "_width", 120)
    columns = [
        {"name": "opened", "title": {"en": "opened", "zh": "开立"}, "unit": "count"},
        {"name": "reopen_rate", "title": {"en": "reopened", "zh": "重开率"}, "unit": "ratio"},
    ]
    few = {"opened": A_POINT | {"value": 4}, "reopen_rate": A_POINT | {"value": None, "n": 0}}
    many = {"opened": A_POINT | {"value": 9, "n": 9}, "reopen_rate": A_POINT | {"value": 0.25}}
    items = [
        {"key": {"department": "goods"}, "figures": few},
        {"key": {"department": ""}, "figures": many},
    ]
    report = {"by": "department", "columns": columns, "items": items, "total": many}
    show_efficiency(report, "en")
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["department", "opened", "reopened"], ["-", "9", "25.0", "%"], ["goods", "4", "-"],
        ["all", "9", "25.0", "%"],
    ]  # fmt: skip
    show_efficiency(report, "zh")
    assert capsys.readouterr().out.splitlines()[0].split() == ["部门", "开立", "重开率"]


def test_a_pareto_shows_shares_and_what_they_add_up_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "_width", 120)
    items = [
        {"key": {"supplier": "S-1"}, "n": 3, "share": 0.75, "cumulative": 3, "cumulative_share": 0.75},
        {"key": {"supplier": ""}, "n": 1, "share": 0.25, "cumulative": 4, "cumulative_share": 1.0},
    ]
    show_pareto({"kpi": "defects", "by": "supplier", "total": {"n": 4}, "items": items}, "zh")
    assert [row.split()[:6] for row in capsys.readouterr().out.splitlines()] == [
        ["defects:", "4"], ["供应商", "n", "占比", "累计"], ["S-1", "3", "75.0", "%", "75.0", "%"],
        ["-", "1", "25.0", "%", "100.0", "%"],
    ]  # fmt: skip


DUE = {"overdue_seconds": -90, "target": "resolution", "reference": "7KQ2-9FMD-4TXA", "priority": "P1",
       "department": "logistics", "owner": ""}  # fmt: skip


async def test_the_next_ten_dues_are_asked_of_sla_and_shown_the_nearest_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"items": [DUE], "next": None})

    addresses = Addresses("x", {"sla": ("http://sla",)}, Path())
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        coming = await coming_dues(addresses, client)
    assert asked == ["http://sla/v1/overdue?past=false&within=366d&limit=10"]
    show_coming(coming)
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert rows[-1] == "1.5 min resolution 7KQ2-9FMD-4TXA P1 logistics -"


async def test_dues_that_sla_cannot_tell_now_are_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    addresses = Addresses("x", {"sla": ("http://sla",)}, Path())
    away = httpx.MockTransport(lambda _: httpx.Response(503, json={}))
    async with httpx.AsyncClient(transport=away) as client:
        coming = await coming_dues(addresses, client)
    show_coming(coming)
    show_coming([])
    assert capsys.readouterr().out.splitlines() == ["next dues: unknown", "next dues: none"]


def told(seconds: float) -> str:
    return f"2026-03-02T00:00:{seconds:06.3f}Z"


def step(action: str, at: float, recipient: str, fired: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """As a clock plans it, and as it stands among the escalations."""
    planned = {"action": action, "at": told(at), "fired_at": told(at + 0.1) if fired else None}
    kept = {"action": action, "target": "first_response", "recipient": recipient, "at": told(at + 0.1),
            "step_at": told(at)}  # fmt: skip
    return planned, kept


def entry(kind: str, at: float, **data: Any) -> dict[str, Any]:
    return {"type": kind, "at": told(at), "data": data}


def silence(*, is_over: bool) -> Story:
    """A case that nobody answers: promised 4 s."""
    steps = [
        step("remind_owner", 2, "chen"),
        step("notify_supervisor", 4, "li"),
        step("raise_priority", 4, ""),
        step("reassign", 6, "", fired=is_over),
    ]
    target = {"started_at": told(0), "due_at": told(4), "state": "breached", "target_seconds": 4,
              "steps": [planned for planned, _ in steps]}  # fmt: skip
    history = [entry("opened", 0.2), entry("assigned", 0.2, owner="chen"),
               entry("prioritised", 4.3, **{"from": "P2", "to": "P1", "escalation": "a"})]  # fmt: skip
    if is_over:
        history += [
            entry("released", 6.2, owner="chen", escalation="b"),
            entry("assigned", 6.3, owner="zhao"),
        ]
    kept = [kept for (planned, kept) in steps if planned["fired_at"]]
    return Story({"targets": {"first_response": target}}, kept, history)


def test_a_case_that_nobody_answers_is_told_second_by_second(capsys: pytest.CaptureFixture[str]) -> None:
    demo_screen.story(silence(is_over=True), {"chen": "陈晨", "zhao": "赵岩"})
    shown = capsys.readouterr().out
    assert "Nobody answers it, though the policy promises an answer within 4 s:" in shown
    assert [" ".join(row.split()) for row in shown.splitlines() if " s " in row] == [
        "0.2 s 分派 assigned 陈晨 (chen)",
        "2.1 s 2.0 s 提醒负责人 reminded, its owner 陈晨 (chen)",
        "4.0 s 4.0 s 超时 breached, the promise",
        "4.1 s 4.0 s 通知主管 notified, the supervisor li",
        "4.1 s 4.0 s 要求升级 a higher priority is asked for",
        "4.3 s 升级 raised, its priority P2 -> P1",
        "6.1 s 6.0 s 要求改派 another owner is asked for",
        "6.3 s 改派 reassigned 赵岩 (zhao)",
    ]


def test_a_story_is_waited_for_until_all_that_was_planned_for_its_seconds_has_happened() -> None:
    assert silence(is_over=True).is_told()
    assert not silence(is_over=False).is_told(), "it is still to be reassigned"
    assert silence(is_over=False).is_told(within=5.0), "that comes later than anybody waits"


def test_a_case_that_no_promise_was_made_for_has_no_story(capsys: pytest.CaptureFixture[str]) -> None:
    without = Story({"targets": {}}, [], [entry("opened", 0.2), entry("assigned", 0.3, owner="chen")])
    assert without.is_told()
    for one in (without, None):
        demo_screen.story(one, {})
        assert "no escalation yet: the policy in force gives it more time" in capsys.readouterr().out
