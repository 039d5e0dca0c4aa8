"""Category by words, in Chinese and English, with the words that were found."""

from pathlib import Path

import pytest

from shared.policy import WordMatch, WordMatcher, load_policy

DEMO = Path(__file__).parent.parent.parent / "deploy" / "policy" / "demo"
MATCHER = WordMatcher(
    {
        "damage": ["破损", "压坏", "damaged", "broken box"],
        "late": ["延误", "late", "not arrived"],
        "heat": ["hot water", "ＨＥＡＴ"],
        "other": [],
    }
)


@pytest.mark.parametrize(
    ("text", "category", "words"),
    [
        ("快递箱子压坏了", "damage", ("压坏",)),
        ("It arrived DAMAGED.", "damage", ("damaged",)),
        ("Ｄａｍａｇｅｄ！", "damage", ("damaged",)),
        ("a broken   \n box", "damage", ("broken box",)),
        ("箱子damaged了", "damage", ("damaged",)),
        ("no heat", "heat", ("ＨＥＡＴ",)),
        ("late, and the box is 破损, 压坏", "damage", ("破损", "压坏")),
        ("late late late damaged", "damage", ("damaged",)),
        ("late 延误 damaged", "late", ("late", "延误")),
    ],
)
def test_the_category_with_the_most_words_found_wins(text, category, words):
    assert MATCHER.match(text) == WordMatch(category, words)


@pytest.mark.parametrize("text", ["", "chocolate", "lately", "undamaged", "late2", "thanks"])
def test_latin_words_stand_free(text):
    assert MATCHER.match(text) is None


def test_subject_and_text_count_together_but_no_word_spans_them():
    assert MATCHER.match("延误", "late") == WordMatch("late", ("延误", "late"))
    assert MATCHER.match("broken", "box") is None


def test_equal_weights_go_to_the_first_category():
    assert WordMatcher({"b": ["xx"], "a": ["yy"]}).match("yy xx") == WordMatch("b", ("xx",))


def test_a_word_may_belong_to_two_categories():
    matcher = WordMatcher({"a": ["box"], "b": ["box", "torn"]})
    assert matcher.match("torn box") == WordMatch("b", ("torn", "box"))


def test_no_words_at_all_match_nothing():
    assert WordMatcher({"other": []}).match("anything") is None


def test_a_broken_box_in_chinese_goes_to_logistics_as_urgent():
    policy = load_policy(DEMO)
    found = policy.words.match("快递箱子压坏了，里面的杯子碎了")
    assert found == WordMatch("logistics.damage", ("压坏", "碎了"))
    severity = policy.categories[found.category].severity
    assert policy.priority(severity, "medium") == "P2"
