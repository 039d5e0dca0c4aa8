"""`cqm policy check` and `cqm policy explain`, as a user types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import build
from shared.policy import load_policy
from shared.settings import DEMO_POLICY

EXAMPLE = Path(__file__).parents[1] / "data" / "policy" / "example.yaml"
COMPLAINT = {"kind": "complaint", "text": "箱子压坏了", "customer": {"id": "C-9", "tier": "vip"}}


@pytest.fixture
def cqm(monkeypatch):
    monkeypatch.delenv("CQM_POLICY", raising=False)

    def run(*arguments, said=None):
        given = None if said is None else json.dumps(said)
        return CliRunner().invoke(build(), ["policy", *map(str, arguments)], input=given)

    return run


def test_warnings_alone_end_with_0_and_with_1_when_strict(cqm):
    done = cqm("check", EXAMPLE)
    assert done.exit_code == 0
    assert "example.yaml:8: warning: departments.service: has no agent with capacity" in done.stdout
    assert cqm("check", EXAMPLE, "--strict").exit_code == 1
    demo = json.loads(cqm("check", DEMO_POLICY, "--json").stdout)
    assert {one["reason"][:27] for one in demo} <= {"make-up working days are kn"}  # by the day of the year


def test_an_error_ends_with_1_and_stands_with_file_and_line(cqm, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8").replace("capacity: 5", "capacity: five"), "utf-8")
    done = cqm("check", file, "--json")
    assert done.exit_code == 1
    [finding] = json.loads(done.stdout)
    assert (finding["file"], finding["line"], finding["severity"]) == ("p.yaml", 12, "error")
    assert finding["path"] == "people.chen.capacity"


def test_a_decision_is_explained_from_a_file_and_from_standard_input(cqm, tmp_path):
    file = tmp_path / "feedback.json"
    file.write_text(json.dumps(COMPLAINT), encoding="utf-8")
    from_file, from_stdin = cqm("explain", file), cqm("explain", "-", said=COMPLAINT)
    assert from_file.exit_code == 0 and from_file.stdout == from_stdin.stdout
    assert "Category logistics.damage (Damage) by '压坏'." in from_file.stdout
    assert "Rule 'vip damage' sends it to logistics (Logistics)" in from_file.stdout


def test_an_explanation_may_be_in_chinese_or_json(cqm):
    assert (
        "规则“vip damage”分派给 logistics（物流部）"
        in cqm("explain", "-", "--lang", "zh", said=COMPLAINT).stdout
    )
    said = json.loads(cqm("explain", "-", "--json", said=COMPLAINT).stdout)
    assert said["policy_version"] == load_policy(DEMO_POLICY).version
    assert (said["case"]["department"], said["case"]["priority"]["value"]) == ("logistics", "P1")
    assert len(said["sentences"]) == 7


def test_another_policy_decides_otherwise(cqm):
    told = cqm("explain", "-", "--policy", EXAMPLE, said={"kind": "complaint", "text": "rude"}).stdout
    assert "Rule 'everything else' sends it to service (Service)." in told
    assert "calendar office" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "nowhere.json"], "there is no nowhere.json"),
        (["explain", "-", "--policy", "nowhere"], "there is no nowhere"),
        (["check", "nowhere"], "there is no nowhere"),
        (["explain", "-"], "not JSON"),
    ],
)
def test_what_is_not_there_or_no_feedback_is_an_error_in_a_sentence(cqm, arguments, message):
    done = cqm(*arguments)
    assert message in str(done.exception)


def test_what_steers_a_terminal_is_not_printed(cqm):
    done = cqm("explain", "-", said={**COMPLAINT, "category": "x\x1b[2J"})
    assert done.exit_code == 0 and "\x1b" not in done.stdout
