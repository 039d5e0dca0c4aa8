"""Which of what a command has found makes its exit code 1, and that it names the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.cli import build
from deploy.commands.checkup import kafka_security
from deploy.commands.cluster import Cluster, FoundTopic
from deploy.commands.terminal import USAGE, Failure
from shared.topics import FEEDBACK, TOPICS


def cqm(*arguments: str) -> Result:
    return CliRunner().invoke(build(), arguments)


def a_cluster(**changes: Any) -> Cluster:
    """One broker with all topics, but for what is said of the first."""
    topics = {
        topic.name: FoundTopic(topic.partitions, replicas=1, under_replicated=0, config=topic.config(1))
        for topic in TOPICS
    }
    wanted = topics[FEEDBACK.name]
    topics[FEEDBACK.name] = FoundTopic(
        changes.get("partitions", wanted.partitions), 1, 0, {**wanted.config, **changes.get("config", {})}
    )
    return Cluster(1, 1, topics)


CHANGED = a_cluster(config={"retention.ms": "1000"})


@pytest.mark.parametrize(
    ("found", "looked", "created"),
    [
        (a_cluster(), 0, 0),
        (CHANGED, 1, 0),
        (a_cluster(partitions=3), 1, 1),
        (Cluster(1, 1, {}), 1, 1),
    ],
    ids=["as wanted", "a setting changed", "too few partitions", "missing"],
)
def test_topics_are_well_for_who_makes_them_when_none_lacks_anything(
    found: Cluster, looked: int, created: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The containers' `topics` must end well for anything else to start."""

    async def look(*_: Any) -> Cluster:
        return found

    async def nothing_to_do(*_: Any) -> dict[str, str]:
        return {}

    monkeypatch.setenv("CQM_KAFKA", "127.0.0.1:9")
    monkeypatch.setattr("deploy.commands.cluster.look", look)
    monkeypatch.setattr("shared.admin.ensure_topics", nothing_to_do)
    assert cqm("topics").exit_code == cqm("topics", "--json").exit_code == looked
    result = cqm("topics", "--create")
    assert result.exit_code == created
    assert ("left as it is" in result.stderr) == (FEEDBACK.name in found.topics and found != a_cluster())
    if found is CHANGED:
        assert "retention.ms is 1000 instead of -1" in result.stdout


def flaw(fault: str) -> dict[str, Any]:
    return {"case_id": "0190a000", "version": 2, "fault": fault, "detail": "as it is"}


@pytest.mark.parametrize(
    ("faults", "said", "unsaid", "others"),
    [
        ([], "no version is missing or too many", "what was written, and none", {}),
        (["altered", "replaced", "altered"], "3 flaws: 2 altered, 1 replaced besides: `cqm verify --audit`",
         "every entry", {"altered": 2, "replaced": 1}),
        (["removed", "unlinked"], "1 flaws: 1 unlinked besides", "no version is missing", {"unlinked": 1}),
        (["added"], "1 flaws: 1 added", "besides", {}),
    ],
)  # fmt: skip
def test_verify_of_versions_says_what_it_looked_at_and_drops_nothing_that_it_has_seen(
    faults: list[str], said: str, unsaid: str, others: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(*_: Any) -> Any:
        return {"cases": 1, "entries": 4, "flaws": [flaw(fault) for fault in faults], "next": None}

    monkeypatch.setenv("CQM_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("deploy.commands.api.Api.get", page)
    result = cqm("verify", "--cases")
    assert result.exit_code == cqm("verify", "--cases", "--json").exit_code == bool(faults)
    assert said in result.stdout and unsaid not in result.stdout
    found = json.loads(cqm("verify", "--cases", "--json").stdout)
    assert found["other_flaws"] == others and len(found["flaws"]) == len(faults) - sum(others.values())


@pytest.mark.parametrize("holds", [True, False])
def test_verify_calls_all_well_only_where_the_anchors_hold(
    holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(_: Any, __: str, path: str, *___: Any) -> Any:
        anchors = {"items": [{"day": "2026-03-02", "holds": holds}]}
        return anchors if path.endswith("anchors") else {"cases": 1, "entries": 4, "flaws": [], "next": None}

    monkeypatch.setenv("CQM_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("deploy.commands.api.Api.get", page)
    result = cqm("verify", "--audit")
    assert result.exit_code == (0 if holds else 1)
    assert ("every entry is what was written, and none is missing" in result.stdout) == holds


@pytest.mark.parametrize("command", [["topics"], ["topics", "--create"], ["dlt", "list"], ["doctor"]])
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CQM_KAFKA", "a:b:c", "a:b:c is no address of a Kafka"),
        ("CQM_KAFKA", "127.0.0.1:99999", "127.0.0.1:99999 is no address of a Kafka"),
        ("CQM_KAFKA", "a:9092,", "a:9092, is no address of a Kafka"),
        ("CQM_KAFKA_SECURITY_PROTOCOL", "TLS", "CQM_KAFKA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT'"),
        ("CQM_KAFKA_CA_FILE", "/nowhere/ca.pem", "CQM_KAFKA_CA_FILE cannot be read: No such file"),
    ],
)
def test_an_address_or_a_setting_of_kafka_that_is_none_is_one_sentence(
    command: list[str], variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQM_KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("CQM_KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv(variable, value)
    failed = cqm(*command).exception
    assert isinstance(failed, Failure) and failed.code == USAGE
    assert failed.message.startswith(said)


@pytest.mark.parametrize("kafka", ["kafka", "kafka:9092", "a:9092, b:9092", "[::1]:9092", "10.0.0.7:29092"])
def test_an_address_of_kafka_is_a_host_with_or_without_a_port(kafka: str) -> None:
    assert kafka_security(kafka) == {}
