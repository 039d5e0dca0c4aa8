"""What the policy decides about a feedback, and that each decision says why."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.events import Customer, FeedbackReceived, Rating
from shared.policy import (
    NotFeedback,
    explain,
    feedback_as_said,
    judge,
    load_policy,
    opens,
    read,
    sentences,
    wording,
)
from shared.policy.durations import Business, Wall
from shared.policy.models import MOST_LEVELS
from shared.policy.reach import alternatives
from shared.settings import DEMO_POLICY

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
VIP = Customer(id="C-9", tier="vip")
POLICY = load_policy(DEMO_POLICY)


def feedback(text: str = "快递箱子压坏了", **fields) -> FeedbackReceived:
    given = {"kind": "complaint", "language": "zh", "source": "shop", **fields}
    return FeedbackReceived(id=UUID(int=1), text=text, occurred_at=NOW, received_at=NOW, **given)


def judged(**fields):
    one = feedback(**fields)
    return judge(one, read(one, POLICY), POLICY)


def csat(score: int) -> Rating:
    return Rating(metric="csat", score=score, scale_min=1, scale_max=5)


@pytest.mark.parametrize(
    ("fields", "severity", "by", "category"),
    [
        ({}, "high", "category", "logistics.damage"),
        ({"category": "logistics.damage.glass"}, "high", "category", "logistics.damage"),
        ({"category": "unheard.of"}, "medium", "default", ""),
        ({"severity": "low"}, "low", "given", ""),
        ({"text": "", "rating": csat(1)}, "high", "default", ""),
        ({"text": "", "rating": csat(2)}, "medium", "default", ""),
        ({"rating": csat(1)}, "critical", "category", "logistics.damage"),
        ({"rating": csat(1), "category": "quality.safety"}, "critical", "category", "quality.safety"),
        ({"rating": csat(1), "severity": "low"}, "low", "given", ""),
    ],
)
def test_severity_is_given_or_of_the_category_or_medium_and_raised(fields, severity, by, category):
    found = judged(**fields).severity
    assert (found.value, found.by, found.category) == (severity, by, category)


def test_every_grade_names_what_raised_it():
    found = judged(rating=csat(1), customer=VIP)
    [worst], [vip] = found.severity.raised, judged(customer=VIP).raised
    assert worst.because.en == "the lowest score there is"
    assert vip.condition.text == "customer.tier == 'vip'"
    assert (found.severity.value, found.urgency.value, found.priority) == ("critical", "medium", "P1")


def test_what_is_at_the_top_already_is_raised_by_nothing():
    found = judged(category="quality.safety", rating=csat(1), customer=VIP)
    assert (found.severity.raised, found.priority, found.raised) == ((), "P1", ())


def test_the_first_rule_that_holds_names_department_accountable_and_who_else_is_concerned():
    found = judged()
    assert (found.rule.name, found.department, found.accountable) == ("damage", "logistics", "wang")
    assert found.raci == (("quality",), ("zheng",))
    assert judged(category="unheard.of").rule.name == "everything else"


def test_the_reason_of_a_case_says_rule_words_and_grades_in_the_language_of_the_feedback():
    one = feedback("箱子压坏了，没有延误", rating=csat(1))
    reading = read(one, POLICY)
    judgement = judge(one, reading, POLICY)
    assert wording.reason(reading, judgement, "zh") == (
        "货物破损，由会处理破损的物流同事跟进：规则“damage”；类别 logistics.damage，依据“压坏”"
        "（“延误”被否定，不计）；严重度危急（按类别 logistics.damage）（上调：打了最低分）；"
        "紧迫度中（默认）；优先级 P1"
    )
    assert wording.reason(reading, judgement, "en") == (
        "damaged goods go to those in logistics who handle damage: rule 'damage'; "
        "category logistics.damage by '压坏' ('延误' denied, not counted); "
        "severity critical (of category logistics.damage) (raised: the lowest score there is); "
        "urgency medium (by default); priority P1"
    )


def test_the_details_are_for_programs_and_leave_out_what_is_empty():
    one = feedback()
    reading = read(one, POLICY)
    assert wording.details(reading, judge(one, reading, POLICY)) == {
        "category_by": "words", "words": ["压坏"], "severity_by": "logistics.damage", "urgency_by": "default",
        "consulted": ["quality"], "informed": ["zheng"],
    }  # fmt: skip


def test_an_explanation_decides_what_routing_decides():
    for text in ("快递箱子压坏了", "没有热水", "rude", "nothing"):
        one = feedback(text, customer=VIP)
        reading = read(one, POLICY)
        said = explain(one, POLICY, "en")
        assert said.opens_case == opens(reading, POLICY)
        judgement = judge(one, reading, POLICY)
        assert (said.case.rule, said.case.priority.value) == (judgement.rule.name, judgement.priority)


def test_an_explanation_names_the_promise_with_its_times():
    case = explain(feedback(), POLICY, "en").case
    assert (case.sla.name, case.sla.calendar) == ("urgent", "always")
    assert {name: time.seconds for name, time in case.sla.targets.items()} == {
        "first_response": 15, "update": 60, "resolution": 120,
    }  # fmt: skip
    calm = explain(feedback("账号问题"), POLICY, "zh").case.sla
    assert (calm.name, calm.calendar, calm.targets["resolution"].why) == ("standard", "office", "10 个工作日")


def test_a_feedback_that_opens_no_case_is_told_so():
    said = explain(feedback("谢谢", kind="praise"), POLICY, "en")
    assert said.case is None and said.joins == []
    told = sentences(said, POLICY, "en")
    assert told[0] == "No category word found."
    assert told[1].startswith("It opens no case and is only recorded, since this does not hold: kind in [")


@pytest.mark.parametrize("to", ["zh", "en"])
def test_an_explanation_reads_like_sentences(to):
    told = sentences(explain(feedback(customer=VIP, rating=csat(1)), POLICY, to), POLICY, to)
    assert len(told) == 7
    assert all(sentence.endswith("。" if to == "zh" else ".") for sentence in told)
    assert "logistics.damage" in told[0] and "kind" in told[1] and "P1" in told[2]
    assert "vip damage" in told[3] and "wang" in told[4] and "urgent" in told[5] and POLICY.version in told[6]


def test_the_alternative_that_holds_is_named_with_its_values():
    said = explain(feedback("", kind="survey", rating=csat(2)), POLICY, "en")
    assert said.open_when == "(has(rating) && rating.level in ['detractor', 'dissatisfied'])"
    assert said.values == {"rating.level": "dissatisfied"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "kind == 'a'||text.contains('||') && !(a || b)",
            ["kind == 'a'", "text.contains('||') && !(a || b)"],
        ),
        ("a in ['x','y'] || -1 < b", ["a in ['x', 'y']", "- 1 < b"]),
        ("attributes['a-b'] == 'x' || true", ["attributes['a-b'] == 'x'", "true"]),
        ("a ? b : c || d", ["a ? b : c || d"]),
    ],
)
def test_the_alternatives_of_a_condition_are_what_stands_between_its_outermost_ors(text, parts):
    assert alternatives(text) == parts


@pytest.mark.parametrize(
    ("time", "en", "zh"),
    [
        (Business.parse("90s"), "90 seconds", "90 秒"),
        (Business.parse("2h"), "2 hours", "2 小时"),
        (Business.parse("1bd"), "1 business day", "1 个工作日"),
        (Wall.parse("7d"), "7 days", "7 天"),
    ],
)
def test_a_time_is_said_in_its_largest_whole_unit(time, en, zh):
    assert (wording.span(time, "en"), wording.span(time, "zh")) == (en, zh)


def test_a_day_that_is_not_a_business_day_is_said_in_hours_where_days_are_shorter():
    assert wording.span(Business.parse("2d"), "en", whole_days=False) == "48 hours"


def test_a_feedback_is_read_as_senders_say_it():
    said = feedback_as_said(
        rb'{"kind": "complaint", "text": "\u574f", "customer": {"id": "C", "phone": "1"}, "language": ""}',
        NOW,
    )
    assert (said.language, said.customer, said.occurred_at) == ("zh", Customer(id="C"), NOW)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "one JSON object"),
        (b'{"kind": "complaint"}', "one of text, subject and rating"),
        (b'{"kind": "complaint", "txt": "a"}', "unknown field txt"),
        (b'{"kind": "moan", "text": "a"}', "kind"),
        (b'{"text": "a"}', "kind"),
        (b'{"kind": "complaint", "text": 1}', "text"),
        (b'{"kind": "complaint", "text": "a", "customer": []}', "customer"),
        (b'{"kind": "complaint", "text": "a", "id": "1"}', "unknown field id"),
        (b"\xff", "not JSON"),
    ],
)
def test_what_is_no_feedback_is_refused_with_the_reason(raw, reason):
    with pytest.raises(NotFeedback, match=reason):
        feedback_as_said(raw, NOW)


@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        ({"text": "x" * 20_001}, ("text",), 20_000),
        ({"subject": "x" * 501}, ("subject",), 500),
        ({"category": "a." * 101}, ("category",), 200),
        ({"external_id": "x" * 201}, ("external_id",), 200),
        ({"customer": {"tier": "x" * 201}}, ("customer", "tier"), 200),
        ({"attributes": {"store": "x" * 1001}}, ("attributes", "store"), 1000),
        ({"attributes": {"x" * 65: 1}}, ("attributes",), 64),
        ({"attributes": dict.fromkeys(map(str, range(51)), 1)}, ("attributes",), 50),
    ],
)
def test_what_intake_would_find_too_long_is_refused_with_the_field_and_the_limit(fields, field, limit):
    with pytest.raises(NotFeedback, match=field[-1]) as refused:
        feedback_as_said(json.dumps({"kind": "complaint", "text": "a"} | fields).encode(), NOW)
    assert (refused.value.field, refused.value.limit) == (field, limit)


def test_texts_as_long_as_intake_takes_them_are_read():
    fields = {"text": "x" * 20_000, "subject": "x" * 500, "category": "x" * 200}
    fields |= {"customer": {"tier": "x" * 200, "email": "x" * 254}, "attributes": {"store": "x" * 1000}}
    assert feedback_as_said(json.dumps({"kind": "complaint"} | fields).encode(), NOW).category == "x" * 200


def test_of_a_name_with_any_number_of_levels_no_more_are_looked_at_than_the_policy_can_have():
    class Counting(dict):
        asked = 0

        def __contains__(self, name):
            self.asked += 1
            return super().__contains__(name)

    categories = Counting(POLICY.categories)
    policy = replace(POLICY, categories=categories)
    assert policy.category("logistics.damage" + ".a" * 1000)[0] == "logistics.damage"
    assert policy.category("a." * 1000) == ("", None)
    assert categories.asked <= 2 * MOST_LEVELS
