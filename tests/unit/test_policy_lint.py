"""The lint: a mistake planted in the example, and the finding with its line, key, severity and reason."""

from datetime import date
from pathlib import Path

import pytest

from shared.policy import check, check_contents

EXAMPLE = Path(__file__).parent.parent / "data" / "policy" / "example.yaml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
LAST = "  - {name: everything else, assign: {department: service}}"
LOGISTICS = (
    "  - {name: logistics, when: \"category.startsWith('logistics')\", assign: {department: logistics}}"
)
AGENT = "department: logistics, roles: [agent]"
ZHAO = "  zhao: {name: 赵岩, department: logistics, backup: chen}\n"
PEOPLE = "  # weights count open load"


def rule(when: str, name: str = "new") -> str:
    return f'  - {{name: {name}, when: "{when}", assign: {{department: logistics}}}}\n'


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """Findings that the example has only with one piece of text replaced, with the lines they stand in."""

    before = {(f.path, f.reason) for f in check([EXAMPLE])}

    def planted(old: str, new: str) -> list[tuple[str, str, str, str]]:
        assert TEXT.count(old) == 1, old
        file = tmp_path_factory.mktemp("policy") / "p.yaml"
        file.write_text(TEXT.replace(old, new), encoding="utf-8")
        lines = file.read_text(encoding="utf-8").splitlines()
        return [
            (f.severity, f.path, f.reason, lines[f.line - 1])
            for f in check([file])
            if (f.path, f.reason) not in before
        ]

    return planted


@pytest.mark.parametrize(
    ("old", "new", "severity", "path", "reason"),
    [
        # rules that are never reached
        (LAST, rule("category.startsWith('logistics')") + LAST, "error", "routing[2].when",
         "'logistics' has the same condition"),
        (LAST, rule("category . startsWith( 'logistics' )  // again") + LAST, "error", "routing[2].when",
         "'logistics' has the same condition"),
        (LAST, rule("category.startsWith('logistics.late')") + LAST, "error", "routing[2].when",
         "'logistics' takes all of it before"),
        (LAST, rule("category == 'logistics.late' && kind == 'call'") + LAST, "error", "routing[2].when",
         "'logistics' takes all of it before"),
        (LAST, rule("category in ['logistics.late', 'logistics.damage']") + LAST, "error",
         "routing[2].when", "'logistics' takes all of it before"),
        (LAST, rule("category == 'logistics.late' || (category == 'logistics.damage' && rating.score < 3)")
         + LAST, "error", "routing[2].when", "'logistics' takes all of it before"),
        (LAST, rule("true") + LAST, "error", "routing[2].when", "is always true: no rule after it"),
        (LAST, rule("false") + LAST, "warning", "routing[2].when", "never holds"),
        ("  - name: standard\n",
         '  - {name: all, when: "true", targets: {update: {P1: 1h, P2: 1h, P3: 1h, P4: 1h}}}\n'
         "  - name: standard\n", "error", "sla[0].when", "is always true: no entry after it"),
        # people
        (AGENT, "department: logistics, roles: [head]", "warning", "departments.logistics",
         "has no agent with capacity"),
        (AGENT, "department: logistics, roles: [head]", "warning", "routing[1].assign.department",
         "nobody in logistics takes cases"),
        ("capacity: 5", "capacity: 0", "warning", "departments.logistics", "has no agent with capacity"),
        ("capacity: 5", "capacity: 2", "warning", "departments.logistics",
         "no agent may carry more than 2: cases of P1 (3) go to service"),
        ("causes:", "load: {P1: 6, P4: 6}\ncauses:", "warning", "departments.logistics",
         "cases of P1 (6), P4 (6) go to service"),
        ("skills: [damage], languages", "skills: [claims], languages", "warning", "routing[0].assign.skills",
         "nobody in logistics has the skill 'damage'"),
        ("logistics, skills: [damage]}, because", "logistics, skills: [damage, claims]}, because", "warning",
         "routing[0].assign.skills", "has the skill 'damage' and 'claims'"),
        ("backup: zhao, away", "backup: chen, away", "error", "people.chen.backup", "is the person itself"),
        (PEOPLE, ZHAO.replace("backup: chen", "roles: [head]") + PEOPLE, "warning", "people.chen.backup",
         "'zhao' takes no cases"),
        (PEOPLE, ZHAO.replace("logistics, backup: chen", "service") + PEOPLE, "warning", "people.chen.backup",
         "'zhao' is in another department"),
        ("supervisor: wu, calendar: office", "supervisor: wu, calendar: office, backup: logistics", "error",
         "departments.logistics.backup", "in a circle: logistics -> service -> logistics"),
        # categories
        ("  other: {}", "  returns: {}\n  other: {}", "warning", "categories.returns",
         "no rule names it: its cases go by 'everything else'"),
        ("[没收到, 延误]", "[没收到, 破損]", "warning", "categories.logistics.late.words.zh[1]",
         "'破損' is a word of logistics.damage, too"),
        ("[没收到, 延误]", "[没收到, 沒收到]", "warning", "categories.logistics.late.words.zh[1]",
         "is said twice"),
        ("[没收到, 延误]", '[没收到, "\u3000"]', "error", "categories.logistics.late.words.zh[1]",
         "is empty"),
        # raci
        ("causes:", "raci: {logistic: {}}\ncauses:", "error", "raci.logistic", "unknown category"),
        ("causes:", "raci: {logistics: {informed: [chen, nobody]}}\ncauses:", "error",
         "raci.logistics.informed[1]", "unknown department or person 'nobody'"),
        ("causes:", 'raci: {logistics.late: {consulted: ["role:boss"]}}\ncauses:', "error",
         "raci.logistics.late.consulted[0]", "nobody has the role 'boss'"),
        # time
        ('{mon-sun: ["00:00-24:00"]}', "{}", "error", "calendars.always.weekly", "no working time"),
        ("P3: 8h, P4: 1bd", "P3: 8h", "error", "sla[0].targets.first_response", "no target for P4"),
        ("repeat: 1bd, times: 3", "repeat: 1bd", "error", "sla[0].escalate.resolution[3]", "go together"),
        ("repeat: 1bd, times: 3", "repeat: 0s, times: 3", "error", "sla[0].escalate.resolution[3]",
         "longer than zero"),
        ("  - name: standard\n    when: \"true\"", "  - name: standard\n    when: \"priority == 'P1'\"",
         "warning", "sla", "other cases run without clocks"),
        ("{after: 2h, do: reassign}", "{after: 2h, do: notify}", "error", "sla[0].escalate.resolution[2]",
         "`do: notify` and `to` go together"),
        ("{after: 2h, do: reassign}", "{after: 2h, do: reassign, to: [chen]}", "error",
         "sla[0].escalate.resolution[2]", "`do: notify` and `to` go together"),
        ("{after: 2h, do: reassign}", "{after: 2h, do: notify, to: [chen, nobody]}", "error",
         "sla[0].escalate.resolution[2].to[1]", "unknown person 'nobody'"),
        ("{after: 2h, do: reassign}", '{after: 2h, do: notify, to: "role:boss"}', "error",
         "sla[0].escalate.resolution[2].to[0]", "nobody has the role 'boss'"),
        ("{after: 2h, do: reassign}", '{after: 2h, do: notify, to: "not an address@"}', "error",
         "sla[0].escalate.resolution[2].to[0]", "pattern"),
        ("head: zhou, supervisor: wu, calendar: office}", "head: zhou, supervisor: wu, calendar: office, "
         "ola: {P1: 1h}}", "error", "departments.service.ola", "no ola for P2, P3, P4"),
        ("      first_response:\n        - {at: 75%", "      ola: [{at: 75%, do: remind_owner}]\n"
         "      first_response:\n        - {at: 75%", "error", "sla[0].escalate.ola",
         "has steps but no target"),
        ("P4: 10bd", "P4: 3660bd", "error", "sla[0].targets.resolution.P4", "at most 366 days"),
        ("acknowledge_within: 4h", "acknowledge_within: 0s", "error", "cases.acknowledge_within",
         "longer than zero"),
        ("acknowledge_within: 4h", "acknowledge_within: 0bd", "error", "cases.acknowledge_within",
         "longer than zero"),
        # nothing lies beyond what calendars can count
        ("{after: 1bd, do: notify_head, repeat: 1bd, times: 3}",
         "{after: 366d, do: notify_head, repeat: 366d, times: 100}", "error",
         "sla[0].escalate.resolution[3]", "lies 421 years ahead for P4 by 'office', and nothing may"),
        ('{mon-fri: ["09:00-12:00", "13:00-18:00"]}', '{mon: ["09:00-09:05"]}, day: 8h', "error",
         "sla[0].targets.resolution.P4", "lies 18 years ahead by 'office'"),
        # conditions whose cost has no bound
        ("startsWith('logistics.damage')", "matches('(a+)+$')", "error", "routing[0].when",
         "regular expressions (matches) are not allowed"),
        ("\"category.startsWith('logistics')\"", "\"text.contains('x')" + " || text.contains('x')" * 52 + '"',
         "error", "routing[1].when", "costs too much"),
        ("\"category.startsWith('logistics')\"", "\"(text + text + text + text + text + text + text + text"
         ").contains('x')\"", "error", "routing[1].when", "costs too much"),
        ("\"category.startsWith('logistics')\"", '"kind in [' + "'call'," * 210 + "'call']\"", "error",
         "routing[1].when", "at most 400 words and signs"),
        ("\"category.startsWith('logistics')\"", '"' + "(" * 13 + "true" + ")" * 13 + '"', "error",
         "routing[1].when", "nested at most 12 deep"),
        ("\"category.startsWith('logistics')\"", "\"[1, 2].exists(x, x > 1)\"", "error", "routing[1].when",
         "unknown function 'exists'"),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_found_in_its_line(plant, old, new, severity, path, reason):
    found = plant(old, new)
    matching = [one for one in found if one[:2] == (severity, path) and reason in one[2]]
    assert len(matching) == 1, found
    key = path.rpartition(".")[2].partition("[")[0]
    line = matching[0][3]
    assert key in line or line.lstrip().startswith("-"), line


def test_what_lies_too_far_ahead_is_found_by_the_calendar_that_counts_it():
    """Of an acknowledgement the owner's, of an ola the department's; breaks are no working time."""
    text = TEXT.replace("acknowledge_within: 4h", "acknowledge_within: 30d")
    text = text.replace("calendar: office, backup: zhao", "calendar: rare, backup: zhao")
    rare = '  rare: {time_zone: UTC, weekly: {sat: ["09:00-12:00"]}, breaks: {sat: ["10:00-12:00"]}}\n'
    text = text.replace("\ndepartments:", f"{rare}\ndepartments:")
    ola = ", ola: {P1: 1h, P2: 1h, P3: 1h, P4: 366d}}\n"
    text = text.replace("supervisor: wu, calendar: office}\n", "supervisor: wu, calendar: office" + ola)
    steps = "      ola: [{at: 200%, do: remind_owner}, {at: 300%, do: remind_owner}]\n"
    text = text.replace(
        "      first_response:\n        - {at", steps + "      first_response:\n        - {at"
    )
    found = [(one.path, one.reason.partition(",")[0]) for one in check_contents({"p.yaml": text.encode()})]
    assert [one for one in found if "ahead" in one[1]] == [
        ("cases.acknowledge_within", "lies 14 years ahead by 'rare'"),
        ("sla[0].escalate.ola[1]", "lies 13 years ahead for P4 by 'office'"),
    ]


def test_a_circle_of_people_is_found_where_escalations_can_go_all_the_way_round(plant):
    pair = ZHAO + PEOPLE
    assert [found for found in plant(PEOPLE, pair) if "circle" in found[2]] == []


def test_reassigning_as_often_as_a_circle_is_long_brings_the_case_back(tmp_path):
    text = TEXT.replace(PEOPLE, ZHAO + PEOPLE).replace("notify_supervisor, raise_priority", "reassign")
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    [finding] = [f for f in check([tmp_path]) if "circle" in f.reason]
    assert (finding.path, finding.severity) == ("people.chen.backup", "warning")
    assert "'standard' reassigns 2 times, chen -> zhao -> chen" in finding.reason


@pytest.mark.parametrize(
    "when",
    [
        "category.startsWith('logi') && kind == 'call'",
        "category == 'logistics.late' || kind == 'call'",
        "!category.startsWith('logistics') && category.startsWith('logistics.late')",
        "category != 'logistics.late'",
        "category.startsWith('logistics') ? kind == 'call' : true",
    ],
)
def test_a_rule_that_may_be_reached_is_not_said_to_be_hidden(plant, when):
    earlier = rule("category.startsWith('logistics') && customer.tier == 'gold'", "gold")
    found = plant(LOGISTICS, earlier + rule(when))
    assert [one for one in found if "never reached" in one[2]] == []


@pytest.mark.parametrize(
    ("today", "warned"), [(date(2026, 3, 2), False), (date(2026, 11, 28), True), (date(2027, 3, 2), True)]
)
def test_a_year_without_its_decree_is_said_while_times_reach_into_it(today, warned):
    found = [one for one in check([EXAMPLE], today) if "make-up working days are known until" in one.reason]
    assert bool(found) == warned
    assert all(one.severity == "warning" and one.path == "calendars.office.holidays[0]" for one in found)
