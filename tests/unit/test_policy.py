"""Loading and refusing policies: every refusal names file, line, path and reason."""

import asyncio
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import pytest

from shared.policy import (
    PolicyError,
    Raci,
    check,
    check_contents,
    explain,
    feedback_as_said,
    load_policy,
)
from shared.policy.durations import Business, Percent, Wall
from shared.policy.schema import SCHEMA_FILE, policy_schema
from shared.policy.source import read_source
from shared.policy_in_force import IN_FORCE, PolicyInForce

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "tests" / "data" / "policy" / "example.yaml"
DEMO = ROOT / "deploy" / "policy" / "demo"
TEXT = EXAMPLE.read_text(encoding="utf-8")


@pytest.fixture
def findings(tmp_path):
    """Errors of the example with one piece of text replaced, as (line, path, reason); the same for files (the
    command) as for contents (POST /v1/policy/check)."""

    def of(old: str, new: str) -> list[tuple[int, str, str]]:
        assert TEXT.count(old) >= 1, old
        (tmp_path / "p.yaml").write_text(TEXT.replace(old, new, 1), encoding="utf-8")
        found = check([tmp_path])
        assert check_contents({"p.yaml": (tmp_path / "p.yaml").read_bytes()}) == found
        assert all(finding.file == "p.yaml" for finding in found)
        return [(f.line, f.path, f.reason) for f in found if f.severity == "error"]

    return of


def line_of(text: str) -> int:
    return TEXT[: TEXT.index(text)].count("\n") + 1


def test_the_example_of_the_whole_vocabulary_loads():
    policy = load_policy(EXAMPLE)
    assert policy.cases.join.within == Wall(7 * 86_400)
    assert policy.sla[0].targets["resolution"]["P2"] == Business(days=2)
    assert policy.sla[0].escalate["first_response"][0].at == Percent(75)
    assert policy.people["chen"].away[0].first == date(2026, 3, 1)
    assert policy.load == {"P1": 3, "P2": 2, "P3": 1, "P4": 1}
    assert policy.calendar_of_person("chen") is policy.calendars["office"]
    assert policy.calendars["office"].day_seconds == 8 * 3600


def test_people_and_agents_who_are_not_listed_are_a_warning_only():
    paths = {finding.path for finding in load_policy(EXAMPLE).warnings}
    assert paths == {
        "departments.service.head", "departments.service.supervisor",
        "departments.logistics.head", "departments.logistics.supervisor", "people.chen.backup",
        "departments.service", "routing[2].assign.department",
    }  # fmt: skip


def test_the_demo_organisation_has_no_finding():
    assert check([DEMO], date(2026, 6, 1)) == []


def test_missing_decrees_of_make_up_days_are_warned_of():
    found = [f for f in check([DEMO], date(2027, 6, 1)) if "make-up" in f.reason]
    assert [(f.path, f.severity) for f in found] == [("calendars.office.holidays[0]", "warning")]


def test_the_version_does_not_depend_on_the_files_that_hold_the_sections(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "all.yaml").write_text(TEXT, encoding="utf-8")
    head, routing = TEXT[: TEXT.index("routing:")], TEXT[TEXT.index("routing:") :]
    (two / "z.yaml").write_text("# comment\n" + head, encoding="utf-8")
    (two / "a.yml").write_text(routing, encoding="utf-8")
    assert load_policy(one).version == load_policy(two).version
    (two / "z.yaml").write_text(head.replace("capacity: 5", "capacity: 6"), encoding="utf-8")
    assert load_policy(one).version != load_policy(two).version
    assert len(load_policy(one).version) == 12


def test_a_section_may_go_on_in_another_file(tmp_path):
    (tmp_path / "a.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(
        "departments:\n  quality: {name: Quality, calendar: office}\n", encoding="utf-8"
    )
    policy = load_policy(tmp_path)
    assert policy.departments["quality"].name.zh == "Quality"
    assert policy.departments["service"].name.zh == "客服部"


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("departments:\n  service: {name: S, calendar: office}\n", "departments.service"),
        ("\nrouting: [{name: x, assign: {department: service}}]\n", "routing"),
    ],
)
def test_a_key_said_twice_is_refused_with_both_places(tmp_path, more, path):
    (tmp_path / "a.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(more, encoding="utf-8")
    [finding] = check([tmp_path])
    first = line_of("  service:" if "service" in path else "routing:")
    assert (finding.file, finding.line, finding.path) == ("b.yaml", 2, path)
    assert finding.reason == f"said twice, first at a.yaml:{first}"


def test_a_key_said_twice_in_one_file_is_refused(findings):
    [(line, path, reason)] = findings("notify:", "routing: []\nnotify:")
    assert (line, path) == (line_of("notify:"), "routing")
    assert reason.startswith("said twice")


@pytest.mark.parametrize(
    ("old", "new", "path", "reason"),
    [
        ("week_starts: mon", "week_start: mon", "organisation.week_start", "unknown key"),
        ("time_zone: Asia/Shanghai, week", "time_zone: Asia/Shangai, week", "organisation.time_zone",
         "not a zone of the IANA time zone database, such as Asia/Shanghai"),
        ("capacity: 5", "capacity: five", "people.chen.capacity", "valid integer"),
        ("capacity: 5", "capacity: true", "people.chen.capacity", "valid integer"),
        ("department: logistics, roles", "department: nowhere, roles", "people.chen.department", "unknown"),
        ("backup: service", "backup: nowhere", "departments.logistics.backup", "unknown department"),
        ("calendar: office}", "calendar: night}", "departments.service.calendar", "unknown calendar"),
        ("capacity: 5, calendar: office", "capacity: 5, calendar: x", "people.chen.calendar", "unknown cal"),
        ("calendar: office   ", "calendar: never   ", "sla[0].calendar", "unknown calendar"),
        ("supervisor: wu, calendar: office", "supervisor: wu, calendar: office, backup: logistics",
         "departments.logistics.backup", "in a circle: logistics -> service -> logistics"),
        ('{mon-sun: ["00:00-24:00"]}', "{}", "calendars.always.weekly", "no working time"),
        ('["00:00-24:00"]', '["00:00-24:30"]', "calendars.always.weekly.mon-sun[0]", "ends at 24:00"),
        ("holidays: [CN]", "holidays: [ZZ]", "calendars.office.holidays[0]", "no public holidays"),
        ("time_zone: UTC", "time_zone: Moon", "calendars.always.time_zone", "IANA"),
        ("medium: P3, low: P4}, low:", "medium: P3}, low:", "cases.priority.matrix", "for medium/low"),
        ("severity: high}", "severity: huge}", "categories.logistics.damage.severity", "'low', 'medium'"),
        ("within: 7d", "within: 2bd", "cases.join.within", "only where business time counts"),
        ("within: 7d", "within: 7", "cases.join.within", "a duration is written"),
        ("customer.id, category", "customer.id, categorie", "cases.join.same[1]", "unknown field"),
        ("customer.id, category", "category", "cases.join.same", "has no 'customer.id'"),
        ("[customer.id, category, product.model]", "[]", "cases.join.same", "has no 'customer.id'"),
        ("customer.id, category", "customer.id, order_id, category", "cases.join.same[1]",
         "a case keeps no 'order_id'"),
        ("customer.id, category", "customer.id, attributes.shop", "cases.join.same[1]",
         "keeps no 'attributes.shop'"),
        ("kind in ['complaint'", "kind in ['complain'", "cases.open_when", "kind is never 'complain'"),
        ("customer.tier == 'vip'\"]", "tier == 'vip'\"]", "cases.priority.raise_for[0]", "field 'tier'"),
        ("when: \"category.startsWith('logistics')\", ", "", "routing[1]", "no rule after it"),
        ("assign: {department: service}}", "when: \"true\", assign: {department: service}}", "routing[2]",
         "the last rule has no `when`"),
        ("assign: {department: service}}", "assign: {department: sales}}", "routing[2].assign.department",
         "unknown department 'sales'"),
        ("name: logistics,", "name: vip damage,", "routing[1].name", "another entry has this name"),
        ("startsWith('logistics.damage')", "startsWith('transport')", "routing[0].when", "category is never"),
        ("startsWith('logistics.damage')", "matches('(a+)+$')", "routing[0].when", "regular expressions"),
        ('when: "true"', 'when: "text == \'x\'"', "sla[0].when", "unknown field 'text'"),
        ('when: "true"', 'when: "priority == \'P5\'"', "sla[0].when", "priority is never 'P5'"),
        ('when: "true"', 'when: "department == \'x\'"', "sla[0].when", "department is never 'x'"),
        ("P3: 8h, P4: 1bd", "P3: 8h", "sla[0].targets.first_response", "no target for P4"),
        ("{at: 75%, do", "{at: 75%, before: 1h, do", "sla[0].escalate.first_response[0]", "exactly one"),
        ("{at: 75%, do", "{at: 75, do", "sla[0].escalate.first_response[0].at", "75%"),
        ("do: reassign", "do: shout", "sla[0].escalate.resolution[2].do[0]", "'remind_owner'"),
        ("repeat: 1bd, times: 3", "repeat: 1bd", "sla[0].escalate.resolution[3]", "go together"),
        ("away: [{from: 2026-03-01, to: 2026-03-07}]", "away: [{from: 2026-03-08, to: 2026-03-07}]",
         "people.chen.away[0]", "before `from`"),
        ('{from: "21:00"', '{from: "25:00"', "notify.quiet_hours.from", "pattern"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_place_and_reason(findings, old, new, path, reason):
    found = findings(old, new)
    assert [p for _, p, _ in found] == [path], found
    line, _, said = found[0]
    assert reason in said
    assert line >= 1


def test_the_line_is_that_of_the_mistake(findings):
    [(line, _, _)] = findings("do: reassign", "do: shout")
    assert line == line_of("do: reassign")


def test_all_mistakes_are_found_at_once(tmp_path):
    text = TEXT.replace("week_starts", "week_start").replace("capacity: 5", "capacity: five")
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_policy(tmp_path)
    assert [finding.line for finding in caught.value.findings] == [1, line_of("capacity: 5")]
    assert f"p.yaml:{line_of('capacity: 5')}: error: people.chen.capacity: " in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: [1, 2", "not YAML"),
        (b"\xff\xfe", "not YAML in UTF-8"),
        (b"- 1\n", "mapping of sections"),
        (b"a: &x {b: 1}\nc: {<<: *x}\n", "merge keys"),
        (b"a: !!python/object:os.system {}\n", "unknown key"),
        (b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n" + b"".join(
            b"k%d: &k%d [%s]\n" % (n, n, b",".join([b"*c" if n == 0 else b"*k%d" % (n - 1)] * 9))
            for n in range(6)), "not YAML"),
        (b"a: " + b"[" * 100 + b"]" * 100, "not YAML"),
        (b"", "is missing"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_policy_is_refused(tmp_path, content, reason):
    (tmp_path / "p.yaml").write_bytes(content)
    found = check([tmp_path])
    assert found and reason in found[0].reason
    with pytest.raises(PolicyError):
        load_policy(tmp_path)


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path):
    assert "no policy file" in check([tmp_path])[0].reason
    assert "cannot be read" in check([tmp_path / "none.yaml"])[0].reason


def test_country_codes_and_times_stay_text(tmp_path):
    (tmp_path / "p.yaml").write_text("a: [NO, 21:00, 2026-03-01, on, yes, 0x10, 1.5, true, ~]\n")
    data = read_source([tmp_path]).data
    assert data == {"a": ["NO", "21:00", "2026-03-01", "on", "yes", 16, 1.5, True, None]}


def test_priority_comes_from_the_matrix_and_is_raised_to_p1_at_most():
    policy = load_policy(EXAMPLE)
    assert policy.priority("high", "medium") == "P2"
    assert policy.priority("low", "low") == "P4"
    assert policy.priority("high", "medium", raised_by=1) == "P1"
    assert policy.priority("critical", "high", raised_by=2) == "P1"


def test_raci_goes_by_the_category_or_the_nearest_above_it_and_spells_roles_out():
    policy = load_policy(DEMO)
    assert policy.raci_of("logistics.damage.glass") == Raci(("quality",), ("zheng",))
    assert policy.raci_of("quality.defect") == Raci(("logistics",), ("service",))
    assert policy.raci_of("quality.safety").consulted == ("logistics", "service")
    assert policy.raci_of("parks.trees") == policy.raci_of("") == Raci()


def test_durations_count_days_of_the_calendar_and_parts_round_up():
    office = load_policy(EXAMPLE).calendars["office"]
    assert Business.parse("2bd").on(office) == 16 * 3600
    assert Business.parse("2d").on(office) == 48 * 3600
    assert Wall.parse("30m") == Wall(1800)
    assert Percent.parse("75%").of(5) == 4
    assert Percent.parse("150%").of(10) == 15


def test_the_committed_schema_is_the_schema_of_the_models():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == policy_schema(), "run python -m shared.policy.schema"


@pytest.mark.parametrize("folder", [EXAMPLE, DEMO])
def test_editors_accept_what_loads(folder):
    validator = jsonschema.Draft202012Validator(json.loads(policy_schema()))
    assert [error.message for error in validator.iter_errors(read_source([folder]).data)] == []


def test_a_policy_that_was_kept_loads_again_and_explains_as_it_did(tmp_path):
    """What `GET /v1/policy/versions/{version}` answers is a policy file, years later, too."""
    old = load_policy(DEMO)
    (tmp_path / "kept.yaml").write_text(old.content)
    again = load_policy(tmp_path)
    assert (again.version, again.content) == (old.version, old.content)
    said = feedback_as_said('{"kind": "complaint", "text": "快递箱子压坏了"}'.encode(), datetime.now(UTC))
    assert explain(said, again, "zh") == explain(said, old, "zh")


DEEP = b"a: " + b"[" * 100_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (DEEP, "nested deeper than 32"),
        (b"a: " + b"{a: " * 50_000, "nested deeper than 32"),
        (b"a:\n  " + b"- " * 50_000, "nested deeper than 32"),
        (b"load: {P1: " + b"9" * 100_000 + b"}", "should be a valid integer"),
    ],
)
def test_a_bomb_is_refused_with_a_finding(content, reason):
    """Not by an exception, which the API would answer as its own failure, and which ended the hot reload."""
    found = check_contents({"policy.yaml": content})
    assert any(reason in finding.reason for finding in found)


def test_more_rules_than_can_be_compared_are_refused():
    rule = {"when": "kind == 'x'", "assign": {"department": "service"}}
    many = json.loads(load_policy(DEMO).content)
    many["routing"] = [rule | {"name": f"r{number}"} for number in range(1001)]
    (found,) = (one for one in check_contents({"p.yaml": json.dumps(many).encode()}) if one.path == "routing")
    assert "at most 1000" in found.reason


def test_a_mistake_made_thousands_of_times_is_not_told_thousands_of_times():
    assert len(check_contents({"p.yaml": b"".join(b"k%d: 1\n" % number for number in range(5000))})) == 1000


def test_a_circle_of_thousands_of_people_is_found_in_one_go():
    """Each person's way was walked from its beginning: the cube of their number."""
    organisation = json.loads(load_policy(DEMO).content)
    for number in range(2000):
        organisation["people"][f"p{number}"] = {
            "name": "x", "department": "service", "roles": ["agent"], "capacity": 1,
            "backup": f"p{(number + 1) % 2000}",
        }  # fmt: skip
    assert not [
        one for one in check_contents({"p.yaml": json.dumps(organisation).encode()}) if "circle" in one.reason
    ]


def test_a_bomb_does_not_end_the_hot_reload(tmp_path):
    (tmp_path / "policy.yaml").write_text(load_policy(DEMO).content)
    in_force = PolicyInForce(tmp_path)
    before = in_force().version
    (tmp_path / "policy.yaml").write_bytes(DEEP)
    assert in_force._file.look() is False
    assert in_force().version == before and "nested deeper" in in_force.wrong


@pytest.mark.parametrize(
    "value", [".inf", "-.inf", ".NaN", "1.0e999", "0b11", "0x_", "!!int abc", "!!float abc", '!!int ""']
)
def test_what_yaml_calls_a_number_and_is_none_is_a_finding(value):
    """It raised ValueError: 500 from the check, and a hot reload that forgot what it had refused."""
    (finding,) = check_contents({"p.yaml": f"causes: [a]\nload: {{P1: {value}}}\n".encode()})
    assert (finding.line, finding.path) == (2, "load.P1")
    assert finding.reason == "must be a finite number in decimal digits, or text in quotes"


def test_a_pipe_among_the_files_is_refused_and_not_waited_for(tmp_path):
    """Its reader waited for ever, and no later policy was ever read."""
    os.mkfifo(tmp_path / "people.yaml")
    (finding,) = check([tmp_path])
    assert str(finding) == "people.yaml:1: error: cannot be read: not a regular file"


def test_a_folder_that_the_system_does_not_show_is_a_finding():
    (finding,) = check([Path("x" * 300)])
    assert finding.reason == "cannot be read: File name too long"


def test_an_editor_that_holds_a_file_open_changes_nothing(tmp_path):
    """Its lock, a hidden link to nowhere, had the policy refused, at the start as well."""
    (tmp_path / "policy.yaml").write_text(load_policy(DEMO).content)
    in_force = PolicyInForce(tmp_path)
    before = in_force().version
    (tmp_path / ".#policy.yaml").symlink_to("somebody@somewhere.1:2")
    (tmp_path / "policy.yaml").write_text(load_policy(DEMO).content.replace("示范公司", "Other Co"))
    assert in_force._file.look() is True
    assert not in_force.wrong and in_force().version != before
    (tmp_path / "policy.yaml").write_text("sla: [")
    assert in_force._file.look() is False and "not YAML" in in_force.wrong


async def test_a_replica_shows_the_version_that_it_goes_by_and_no_other(tmp_path):
    (tmp_path / "policy.yaml").write_text(load_policy(DEMO).content)
    in_force, versions = PolicyInForce(tmp_path), []

    async def changed(policy):
        shown = {sample.labels["version"] for sample in IN_FORCE.collect()[0].samples}
        versions.append((policy.version, shown))
        if len(versions) == 2:
            raise asyncio.CancelledError
        (tmp_path / "policy.yaml").write_text(load_policy(DEMO).content.replace("示范公司", "Other Co"))

    with pytest.raises(asyncio.CancelledError):
        await in_force.keep_fresh(changed)
    (first, shown), (second, shown_then) = versions
    assert first != second and (shown, shown_then) == ({first}, {second})
