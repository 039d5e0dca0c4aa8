"""Category by words, in Chinese and English, with the words that were found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy import WordMatch, WordMatcher, load_policy
from shared.settings import DEMO_POLICY

MATCHER = WordMatcher(
    {
        "damage": ["破损", "压坏", "damaged", "broken box", "defect"],
        "late": ["延误", "没收到", "late", "not arrived"],
        "heat": ["hot water", "ＨＥＡＴ", "热水"],
        "water": ["water", "rat", "rats", "gas"],
        "other": [],
    },
    absence={"heat"},
)


@pytest.mark.parametrize(
    ("text", "category", "words"),
    [
        ("快递箱子压坏了", "damage", ("压坏",)),
        ("快遞箱子壓壞了，還有破損", "damage", ("压坏", "破损")),
        ("沒收到", "late", ("没收到",)),
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


@pytest.mark.parametrize("text", ["", "chocolate", "lately", "later", "undamaged", "late2", "gass", "thanks"])
def test_latin_words_stand_free(text):
    assert MATCHER.match(text) == WordMatch()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two defects", ("defect",)),
        ("the defect's cause", ("defect",)),
        ("rats", ("rats",)),
        ("rat", ("rat",)),
    ],
)
def test_a_plural_s_may_follow_a_latin_word(text, words):
    assert MATCHER.match(text).words == words


def test_the_longest_of_words_that_lie_within_each_other_is_there():
    assert MATCHER.match("hot water") == WordMatch("heat", ("hot water",))
    assert MATCHER.match("hot water and water") == WordMatch("heat", ("hot water",))
    assert WordMatcher({"a": ["box"], "b": ["broken box"]}).match("broken box") == WordMatch(
        "b", ("broken box",)
    )


@pytest.mark.parametrize(
    "text",
    [
        "It is not damaged", "the box isn't damaged", "the box isn’t damaged", "it wasnt damaged",
        "not at all damaged", "there was no visible defect", "without any defects", "never been damaged",
        "no longer damaged", "no broken box or defect", "neither damaged nor late",
        "it does not look damaged",
        "没有破损", "并未破损", "不是压坏", "沒有任何破損", "完全没破损", "没有出现破损和压坏",
        "无破损", "未见破损", "没有发现明显破损", "不会延误", "没有破损、压坏",
    ],
)  # fmt: skip
def test_a_denied_word_does_not_count(text):
    found = MATCHER.match(text)
    assert (found.category, found.words) == ("", ()) and found.denied


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("not only damaged", "damage"),
        ("No, it is damaged", "damage"),
        ("not without defects", "damage"),
        ("not late but damaged", "damage"),
        ("it has not arrived", "late"),
        ("nothing but damaged goods", "damage"),
        ("不但破损", "damage"),
        ("不仅破损，还压坏", "damage"),
        ("有没有破损？", "damage"),
        ("是不是压坏了", "damage"),
        ("不是没有破损", "damage"),
        ("我没收到", "late"),
        ("没有破损，但是延误了", "late"),
        ("非常破损", "damage"),
        ("得不破损", "damage"),
    ],
)
def test_what_only_looks_like_a_denial_counts(text, category):
    assert MATCHER.match(text).category == category


def test_words_for_a_thing_that_is_missed_count_although_they_are_denied():
    assert MATCHER.match("there is no hot water") == WordMatch("heat", ("hot water",))
    assert MATCHER.match("三天没有热水，没有破损") == WordMatch("heat", ("热水",), ("破损",))


def test_what_was_denied_is_said():
    assert MATCHER.match("not damaged, but late") == WordMatch("late", ("late",), ("damaged",))


def test_subject_and_text_count_together_but_no_word_spans_them():
    assert MATCHER.match("延误", "late") == WordMatch("late", ("延误", "late"))
    assert MATCHER.match("broken", "box") == WordMatch()
    assert MATCHER.match("No", "damaged") == WordMatch("damage", ("damaged",))


def test_equal_weights_go_to_the_first_category():
    assert WordMatcher({"b": ["xx"], "a": ["yy"]}).match("yy xx") == WordMatch("b", ("xx",))


def test_a_word_may_belong_to_two_categories():
    matcher = WordMatcher({"a": ["box"], "b": ["box", "torn"]})
    assert matcher.match("torn box") == WordMatch("b", ("torn", "box"))


def test_two_ways_to_write_a_word_are_one_word():
    matcher = WordMatcher({"a": ["破損", "破损", "ＢＯＸ", "box"], "b": ["late", "torn"]})
    assert matcher.match("破损 late torn") == WordMatch("b", ("late", "torn"))


def test_no_words_at_all_match_nothing():
    assert WordMatcher({"other": []}).match("anything") == WordMatch()


@given(st.lists(st.sampled_from(["破损", "没有", "不是", "late", "not ", "hot water", "，", "s", " ", "和"])))
def test_words_found_are_words_of_their_category_and_stand_in_the_text(parts):
    text = "".join(parts)
    found = MATCHER.match(text)
    assert all(word in text for word in (*found.words, *found.denied))
    assert bool(found.category) == bool(found.words)


def test_a_broken_box_in_chinese_goes_to_logistics_as_urgent():
    policy = load_policy(DEMO_POLICY)
    found = policy.words.match("快递箱子压坏了，里面的杯子碎了")
    assert found == WordMatch("logistics.damage", ("压坏", "碎了"))
    severity = policy.categories[found.category].severity
    assert policy.priority(severity, "medium") == "P2"
