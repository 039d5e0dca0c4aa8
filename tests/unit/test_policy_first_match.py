"""Rules as an index: the answer is that of asking each condition in turn, for any policy and any feedback."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.policy import FirstMatch, Values, compile_expression
from shared.policy.expressions import Expression, ExpressionError

TEXTS = ("kind", "category", "customer.tier", "product.model", "text", "attributes.store", "rating.level")
WORDS = ("", "a", "ab", "a.b", "a.c", "true", "7", "complaint", "vip", "M1", "M2")
TESTED = st.sampled_from(TEXTS)
WORD = st.sampled_from(WORDS)


def quoted(words: list[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


PLAIN = st.one_of(
    st.builds("{} == '{}'".format, TESTED, WORD),
    st.builds("{}.startsWith('{}')".format, TESTED, WORD),
    st.builds("{} in [{}]".format, TESTED, st.lists(WORD, min_size=1, max_size=3).map(quoted)),
)
OTHER = st.one_of(
    st.builds("{} != '{}'".format, TESTED, WORD),
    st.builds("'{}' == {}".format, WORD, TESTED),
    st.builds("{}.contains('{}')".format, TESTED, WORD),
    st.builds("has({})".format, TESTED),
    st.sampled_from(
        ["rating.score <= 6", "rating.score == 7", "attributes.store > 3", "true", "false", "true == 'a'",
         "attributes.store + 1 == 8", "text.startsWith(category)", "kind in [category, 'a']",
         r"kind == 'a\x62'", "kind == 'a' == true", "attributes['store'] == 'a'"]
    ),
)  # fmt: skip
CONDITION = st.recursive(
    st.one_of(PLAIN, PLAIN, OTHER),
    lambda inner: st.one_of(
        st.builds("{} && {}".format, inner, inner),
        st.builds("{} || {}".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)
VALUE = st.sampled_from((*WORDS, "abc", "nobody"))
FEEDBACK = st.fixed_dictionaries(
    {path: VALUE for path in TEXTS if path != "attributes.store"}
    | {
        "attributes.store": st.one_of(VALUE, st.integers(0, 9), st.just(4.5), st.booleans()),
        "rating.score": st.one_of(st.none(), st.integers(0, 9), st.just(6.5)),
    }
)


def compiled(text: str) -> Expression | None:
    try:
        return compile_expression(text)
    except ExpressionError:  # no condition (`'a' == kind == true` of two texts, say)
        return None


POLICY = st.lists(CONDITION.map(compiled).filter(bool), max_size=8)


def asked_in_turn(conditions: list[Expression | None], values: Values) -> int | None:
    holding = (n for n, one in enumerate(conditions) if one is None or one._computed(values))
    return next(holding, None)


@settings(max_examples=400)
@given(POLICY, st.booleans(), st.lists(FEEDBACK, min_size=1, max_size=6))
def test_the_index_answers_as_asking_in_turn(
    conditions: list[Expression | None], with_last: bool, feedbacks: list[dict[str, Any]]
) -> None:
    rules = [*conditions, None] if with_last else conditions
    index = FirstMatch(rules)
    for feedback in (*feedbacks, {}, *feedbacks):  # remembered ones, too
        assert index.index(Values(feedback)) == asked_in_turn(rules, Values(feedback))


@pytest.mark.parametrize(
    "condition",
    ["kind == 'a'", "kind in ['a', 'b'] && product.model == 'M1'", "category.startsWith('a') || kind == 'a'"],
)
def test_a_condition_of_plain_tests_is_never_evaluated(
    condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = FirstMatch([compile_expression(condition), None])
    monkeypatch.setattr(Expression, "evaluate", lambda *_: pytest.fail("evaluated"))
    assert rules.index(Values({"kind": "a", "product.model": "M1"})) == 0
    assert rules.index(Values({"kind": "c"})) == 1


def test_only_what_a_test_leaves_possible_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    of_models = [f"product.model == 'M{number}' && text.contains('x')" for number in range(100)]
    rules = FirstMatch([*map(compile_expression, of_models), None])
    asked: list[str] = []
    monkeypatch.setattr(Expression, "evaluate", lambda self, _: asked.append(self.text))
    assert rules.index(Values({"product.model": "M7", "text": "y"})) == 100
    assert asked == [of_models[7]]


def test_what_is_remembered_of_values_is_bounded() -> None:
    rules = FirstMatch([compile_expression("category.startsWith('a')"), None])
    for number in range(10_000):
        assert rules.index(Values({"category": f"a{number}"})) == 0
    assert all(len(column._seen) <= 4096 for column in rules._columns)
