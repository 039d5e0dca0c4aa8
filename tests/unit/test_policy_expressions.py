"""Conditions: missing fields are empty, unknown names are refused, cost is bounded."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.events import Case, Customer, FeedbackReceived, Personal, Rating
from shared.policy import FirstMatch, Values, case_context, compile_expression, feedback_context
from shared.policy.expressions import ExpressionError
from shared.policy.fields import CASE_FIELDS
from shared.rating import rating_level

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
BARE = FeedbackReceived(id=UUID(int=1), source="shop", kind="survey", occurred_at=NOW, received_at=NOW)
FULL = FeedbackReceived(
    id=UUID(int=2),
    source="shop",
    kind="complaint",
    text="箱子压坏了",
    category="logistics.damage",
    occurred_at=NOW,
    received_at=NOW,
    customer=Customer(id="C-9", tier="vip", personal=Personal(name="Zhang")),
    rating=Rating(metric="nps", score=3, scale_min=0, scale_max=10),
    attributes={"store": "SH-01", "floor": 3, "gift": True, "order-type": "web"},
)


def holds(text: str, feedback: FeedbackReceived, **over: str) -> bool:
    return compile_expression(text).evaluate(feedback_context(feedback, **over))


@pytest.mark.parametrize(
    ("text", "full", "bare"),
    [
        ("true", True, True),
        ("kind in ['complaint', 'ticket'] || (has(rating) && rating.level == 'detractor')", True, False),
        ("category.startsWith('logistics.damage') && customer.tier == 'vip'", True, False),
        ("has(rating)", True, False),
        ("has(customer)", True, False),
        ("has(customer.tier)", True, False),
        ("has(rating.score)", True, False),
        ("has(attributes.store)", True, False),
        ("has(occurred_at)", True, True),
        ("!has(product)", True, True),
        ("rating.score <= 6", True, False),
        ("!(rating.score > 6)", True, False),
        ("kind == 'survey' || rating.score <= 6", True, True),
        ("attributes.store == 'SH-01'", True, False),
        ("attributes.store != 'BJ-01'", True, True),
        ("attributes.floor >= 2", True, False),
        ("attributes.gift == true", True, False),
        ("attributes['order-type'] == 'web'", True, False),
        ("text.contains('压坏')", True, False),
        ("customer.tier == ''", False, True),
        ("occurred_at < timestamp('2027-01-01T00:00:00Z')", True, True),
        ("customer.tier == 'vip' ? kind == 'complaint' : false // by tier", True, False),
    ],
)
def test_fields_stand_as_they_are_and_missing_ones_are_empty(text, full, bare):
    assert (holds(text, FULL), holds(text, BARE)) == (full, bare)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kind ==", "does not parse"),
        ("kind = 'x'", "does not parse"),
        ("(kind == 'x'", "does not parse"),
        ("kind == 'x", "does not parse at character"),
        ("kind == 'a' 'b'", "does not parse"),
        ("nope == 'x'", "unknown field 'nope'"),
        ("customer.teir == 'vip'", "did you mean 'customer.tier'"),
        ("customer.tier.x == 'vip'", "unknown field"),
        ("customer == 'vip'", "is a group"),
        ("attributes == 'vip'", "is a group"),
        ("has(attributes)", "one attribute"),
        ("has(kind", "one field"),
        ("has()", "one field"),
        ("customer.phone == '1'", "personal data"),
        ("kind", "true or false"),
        ("1 + 1", "true or false"),
        ("kind > 5", "cannot be computed"),
        ("text.matches('(a+)+$')", "regular expressions"),
        ("[1, 2].exists(x, x > 1)", "unknown function 'exists'"),
        ("[1, 2].map(x, x)[0] == 1", "unknown function 'map'"),
        ("exec('x') == 1", "unknown function 'exec'"),
        ("size(text) > 3", "unknown function 'size'"),
        ("kind[0] == 's'", "only a field may be indexed"),
        ("{'a': 1}.a == 1", "does not parse at character 1"),
        ("(" * 13 + "true" + ")" * 13, "nested at most 12"),
        ("kind == '" + "x" * 2000 + "'", "2000 characters"),
        (" || ".join(["kind == 'x'"] * 120), "400 words"),
        ("", "does not parse"),
    ],
)
def test_what_is_wrong_is_refused_when_it_is_compiled(text, reason):
    with pytest.raises(ExpressionError, match=reason.replace("(", r"\(")):
        compile_expression(text)


def test_a_found_category_stands_in_for_the_missing_one():
    assert holds("category == 'logistics.late'", BARE, category="logistics.late")


def test_the_fields_of_a_case_stand_in_conditions_of_the_sla():
    case = Case(
        id=UUID(int=3), reference="R", version=1, status="new", priority="P1", severity="high",
        urgency="high", kind="complaint", channel="web", department="logistics", opened_at=NOW,
        updated_at=NOW, source="shop",
    )  # fmt: skip
    text = "priority in ['P1', 'P2'] && department == 'logistics' && source == 'shop'"
    assert compile_expression(text, CASE_FIELDS).evaluate(case_context(case))
    with pytest.raises(ExpressionError, match="unknown field 'text'"):
        compile_expression("text == 'x'", CASE_FIELDS)


def test_the_words_a_condition_compares_with_are_known_for_checks():
    text = "kind in ['complaint', 'ticket'] && category.startsWith('a.b') && customer.tier != 'vip'"
    assert compile_expression(text).compared == (
        ("kind", "in", "complaint"),
        ("kind", "in", "ticket"),
        ("category", "startsWith", "a.b"),
        ("customer.tier", "!=", "vip"),
    )


@pytest.mark.parametrize("last", ["text.contains('x')", "channel == 'web'"])
def test_the_first_condition_that_holds_wins(last):
    conditions = ["category == 'a'", "kind == 'ticket'", last]
    rules = FirstMatch([*map(compile_expression, conditions), None])
    assert rules.index(Values({"category": "a", "kind": "ticket"})) == 0
    for _ in range(2):  # computed, then remembered
        assert rules.index(Values({"category": "b", "kind": "ticket"})) == 1
        assert rules.index(Values({})) == 3
    assert FirstMatch([compile_expression("kind == 'x'")]).index(Values({})) is None


def test_remembered_answers_are_bounded_and_stay_right():
    condition = compile_expression("category.endsWith('7')")
    for number in range(10_000):
        assert condition.evaluate(Values({"category": str(number)})) is (number % 10 == 7)
    assert len(condition._answers) <= 4096


def test_a_remembered_answer_for_a_whole_number_is_not_that_for_a_fraction():
    condition = compile_expression("rating.score - 2 == 4")
    assert [condition.evaluate(Values({"rating.score": score})) for score in (6, 6.0, 6)] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("metric", "scale", "levels"),
    [
        ("nps", (0, 10), {0: "detractor", 6: "detractor", 7: "passive", 8: "passive", 9: "promoter"}),
        ("nps", (1, 5), {1: "", 5: ""}),
        ("csat", (1, 5), {1: "dissatisfied", 2: "dissatisfied", 3: "neutral", 4: "satisfied"}),
        ("csat", (1, 10), {4: "dissatisfied", 5: "neutral", 6: "neutral", 7: "satisfied"}),
        ("csat", (0, 1), {0: "dissatisfied", 1: "satisfied"}),
        ("ces", (1, 7), {3: "dissatisfied", 4: "neutral", 5: "satisfied"}),
    ],
)
def test_a_rating_has_a_level_on_its_scale(metric, scale, levels):
    low, high = scale
    said = {s: rating_level(Rating(metric=metric, score=s, scale_min=low, scale_max=high)) for s in levels}
    assert said == levels
    assert rating_level(None) == ""
