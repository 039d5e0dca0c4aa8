"""What stands in the catalogue of metrics is what /metrics shows, and what the alarms ask for is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from shared.dead_letters import REASONS
from shared.observability import CATALOGUE
from tests.contract.metrics import AREAS, FILE, area_of, exposed_name, table
from tests.contract.wired import apps, service

ROOT = Path(__file__).parents[2]
NAME = re.compile(
    r"cqm_(http|publish|stream|intake|routing|sla|analytics)(_[a-z]+)+_(total|seconds|bytes|records)"
)
CREATED = "_created"
"""The client's own, beside each counter and histogram: when it began."""
OTHER_UNITS = {
    "cqm_stream_stopped_partitions",
    "cqm_stream_assigned_partitions",
    "cqm_intake_publication_signals",
    "cqm_policy_in_force",
    "cqm_policy_refused",
    "cqm_sla_open_clocks",
    "cqm_sla_overdue",
    "cqm_intake_files_refused",
}
"""What is counted there is itself the unit."""
ASKED_FOR_IN = [
    path
    for folder in ("deploy/prometheus", "deploy/grafana")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file()
]


async def scraped(name: str) -> dict[str, Metric]:
    """The families of /metrics that are ours, by the name that stands there."""
    transport = httpx.ASGITransport(app=apps()[name])
    async with httpx.AsyncClient(transport=transport, base_url="http://cqm") as http:
        answer = await http.get("/metrics")
    families = text_string_to_metric_families(answer.raise_for_status().text)
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in families
        if family.name.startswith("cqm_") and not family.name.endswith(CREATED)
    }


@pytest.mark.parametrize("name", apps())
async def test_the_catalogue_is_what_the_service_shows(name: str) -> None:
    """One process holds all four here, so each page shows the metrics of all."""
    shown = await scraped(name)
    assert shown.keys() == {exposed_name(metric) for metric in CATALOGUE.values()}


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=exposed_name)
def test_a_name_says_area_noun_and_unit(metric: object) -> None:
    name = exposed_name(metric)
    assert NAME.fullmatch(name) or name in OTHER_UNITS, f"{name} is not cqm_AREA_NOUN_UNIT"
    assert area_of(name) in AREAS
    assert name.endswith("_total") == (metric.describe()[0].type == "counter")


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=exposed_name)
def test_a_metric_has_a_meaning_and_no_label_that_could_name_a_person(metric: object) -> None:
    assert len(metric.describe()[0].documentation.split()) >= 3
    allowed = {
        "action", "door", "group", "kind_of_signal", "method", "outcome", "reason", "route", "source",
        "status", "step", "target", "version", "why",
    }  # fmt: skip
    assert set(metric._labelnames) <= allowed, "a label has few values, and none of them is a person's"


def test_the_document_is_that_of_the_catalogue() -> None:
    assert FILE.read_text(encoding="utf-8") == table(), "run `make docs`"


@pytest.mark.parametrize("path", ASKED_FOR_IN, ids=lambda path: path.name)
def test_dashboards_and_alarms_ask_for_metrics_that_exist(path: Path) -> None:
    known = {exposed_name(metric) for metric in CATALOGUE.values()}
    asked = set(
        re.findall(r"\bcqm_(?:http|publish|stream|intake|routing|sla|analytics)_[a-z_]+", path.read_text())
    )
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert families <= known


def test_what_the_documents_name_exists() -> None:
    known = {exposed_name(metric) for metric in CATALOGUE.values()}
    for path in sorted((ROOT / "docs").glob("*.md")):
        named = set(
            re.findall(
                r"`(cqm_(?:http|publish|stream|intake|routing|sla|analytics)_[a-z_]+)", path.read_text()
            )
        )
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
        assert families <= known, path.name


def test_each_alarm_says_how_urgent_it_is_and_stands_in_the_runbook() -> None:
    rules = [
        rule
        for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert {rule["labels"]["severity"] for rule in rules} == {"critical", "warning"}
    assert all(rule["annotations"]["summary"] for rule in rules)
    told = re.findall(r"^\| `(CQM\w+)` \|", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(rule["alert"] for rule in rules)


def test_an_alarm_asks_for_labels_that_its_metric_has() -> None:
    labels = {exposed_name(metric): set(metric._labelnames) for metric in CATALOGUE.values()}
    asked = re.findall(r"(cqm_\w+)\{([^}]*)\}", (ROOT / "deploy/prometheus/alerts.yml").read_text())
    assert asked
    for name, matchers in asked:
        names = set(re.findall(r"(\w+)[=!]", matchers))
        assert names <= labels[re.sub("_(count|sum|bucket)$", "", name)], (name, names)


@pytest.mark.parametrize("name", apps())
async def test_what_an_alarm_counts_is_there_before_the_first_of_it(name: str) -> None:
    """A series that begins with its first dead letter shows no increase, and nobody is told of that one."""
    shown = await scraped(name)
    groups = {stream.group for stream in service(name).streams}
    dead = shown["cqm_stream_dead_letters_total"].samples
    restarts = shown["cqm_stream_restarts_total"].samples
    there = {(one.labels["group"], one.labels["reason"]) for one in dead if one.name.endswith("_total")}
    assert there >= {(group, reason) for group in groups for reason in REASONS}
    assert {one.labels["group"] for one in restarts if one.name.endswith("_total")} >= groups


def test_the_reasons_of_dead_letters_are_those_of_the_code_and_stand_in_the_runbook() -> None:
    code = "".join(path.read_text() for top in ("shared", "services") for path in (ROOT / top).rglob("*.py"))
    said = re.findall(r"PermanentError\(\s*\"(\w+)\"", code)
    said += re.findall(r"super\(\).__init__\(\"(\w+)\", ", (ROOT / "shared/errors.py").read_text())
    assert set(said) == set(REASONS)
    chapter = (ROOT / "docs/runbook.md").read_text().split("\n## Dead letters\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", chapter, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(REASONS)


def test_the_alarms_are_raised_when_they_should_be() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Prometheus")
    command = [promtool, "test", "rules", "alerts.test.yml"]
    done = subprocess.run(
        command, cwd=ROOT / "deploy/prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
