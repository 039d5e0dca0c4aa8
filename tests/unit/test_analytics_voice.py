"""What is heard of texts: terms that name nobody, and a mood; and what weeks of them say."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from services.analytics.domain import feedback as facts
from services.analytics.domain.lexicon import NEGATIONS, NEGATIVE, POSITIVE, STOP
from services.analytics.domain.rows import Row
from services.analytics.domain.terms import frequent, rising
from services.analytics.domain.voice import MOST_TERMS, Heard, Text, listener, mood_of
from shared.events import Customer, Personal
from tests.support.analytics import an_id, feedback, rating

LISTEN = listener(ZoneInfo("Asia/Shanghai"))


def heard(text: str, language: str = "en", **given: Any) -> Heard:
    who = given.pop("customer", Customer())
    said = feedback("one", text=text, language=language, **given)
    found = LISTEN(structs.replace(said, customer=who))
    assert found is not None
    return found


def terms(text: str, language: str = "en", **given: Any) -> list[str]:
    return heard(text, language, **given).terms.split()


def test_terms_are_words_that_say_something_once_each_and_without_case() -> None:
    assert terms("The parcel was LATE, and the Parcel's box is broken.") == [
        "parcel",
        "late",
        "box",
        "broken",
    ]
    assert terms("包裹破损，箱子压坏了，包裹", "zh") == ["包裹", "破损", "箱子", "压坏"]
    assert terms("App 崩溃了 crash", "zh") == ["app", "崩溃", "crash"]


@pytest.mark.parametrize(
    "text",
    [
        "john.doe@example.org", "write to a.b+c@mail.example.org", "+86 138 0013 8000", "(212) 555-0100",
        "ORD-ABC-12", "O-2026-AB1", "SKU77X", "https://shop.example/orders/abc?x=y", "www.example.org/me",
        "@handle", "邮箱a.b@example.org谢谢", "12:30", "x" * 40, "de", "3",
    ],
)  # fmt: skip
def test_what_could_name_a_person_or_an_order_is_no_term(text: str) -> None:
    assert set(terms(text, "zh")) <= {"write", "mail", "邮箱"}


def test_what_the_sender_said_about_who_they_are_is_no_term() -> None:
    who = Customer(id="C-miller", personal=Personal(name="Ann O'Miller", email="zed.miller@example.org"))
    text = "Ann Miller here: zed wants the parcel order abcdef"
    assert terms(text, customer=who, order_id="abcdef") == ["wants", "parcel", "order"]
    named = Customer(personal=Personal(name="王小二"))
    assert terms("我是王小二，小二的包裹破损", "zh", customer=named) == ["包裹", "破损"]


def test_chinese_names_of_the_dictionary_and_unknown_words_are_no_terms() -> None:
    assert terms("客服欧阳修和张伟丽的包裹", "zh") == ["客服", "包裹"]


def test_a_text_has_at_most_so_many_terms_and_is_read_so_far() -> None:
    words = [f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(100)]
    assert terms(" ".join(words)) == words[:MOST_TERMS]
    assert terms("a " * 600 + "parcel") == []


@pytest.mark.parametrize(
    ("text", "language", "mood"),
    [
        ("great service", "en", "positive"),
        ("not a great service", "en", "negative"),
        ("It wasn't very good", "en", "negative"),
        ("never broken, no complaint", "en", "positive"),
        ("the parcel came", "en", "neutral"),
        ("good but late", "en", "neutral"),
        ("非常满意", "zh", "positive"),
        ("非常不满意", "zh", "negative"),
        ("不好", "zh", "negative"),
        ("包裹没有破损", "zh", "positive"),
        ("包裹到了", "zh", "neutral"),
    ],
)
def test_a_mood_is_that_of_the_words_turned_round_by_a_negation(text: str, language: str, mood: str) -> None:
    assert heard(text, language).mood == mood


@pytest.mark.parametrize(
    ("given", "mood"),
    [(("nps", 9, 0, 10), "positive"), (("nps", 3, 0, 10), "negative"), (("nps", 7, 0, 10), "neutral"),
     (("csat", 1, 1, 5), "negative"), (("ces", 7, 1, 7), "positive"), (("nps", 2, 1, 5), "positive")],
)  # fmt: skip
def test_a_rating_says_more_than_words(given: Any, mood: str) -> None:
    assert heard("great", rating=rating(*given)).mood == mood


def test_nothing_is_heard_without_words_or_in_a_language_that_is_not_known() -> None:
    assert LISTEN(feedback("one", language="en")) is None
    assert LISTEN(feedback("one", text="Danke, gut", language="other")) is None


def test_a_text_counts_on_the_day_where_figures_are_reported() -> None:
    late = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)
    assert heard("late parcel", at=late).day == "2026-03-02"


def test_the_lexicon_does_not_contradict_itself() -> None:
    assert not POSITIVE & NEGATIVE and not (POSITIVE | NEGATIVE) & (NEGATIONS | STOP)
    assert mood_of([]) == "neutral"
    for word in [word for word in POSITIVE | NEGATIVE if not word.isascii() and len(word) > 1]:
        assert word in Text(word).words() or len(Text(word).words()) > 1


def test_a_text_moves_to_the_category_and_department_of_its_case_and_back() -> None:
    said = feedback("one", text="late parcel", language="en")
    first = facts.take([said], facts.Known({}, {}), lambda _: 0, LISTEN).new["feedback_facts"][0]
    link = facts.Link("goods", "logistics.late", merged=False)
    moved = facts.relink(first, said.id, an_id("case"), link)
    back = facts.relink(moved, said.id, an_id("case"), None)
    changes: list[Row] = []
    facts.correct(changes, first, moved)
    voice = [(row.sign, dict(row.labels)) for row in changes if row.measure.k == "voice"]
    common = {"day": "2019-05-13", "terms": "late parcel", "language": "en"}
    assert voice == [
        (1, common | {"category": "logistics.late", "department": "goods"}),
        (-1, common | {"category": "", "department": ""}),
    ]
    assert back.m == first.m


def test_the_most_frequent_terms_come_first_and_rare_ones_not_at_all() -> None:
    found = frequent({"late": 5, "box": 9, "away": 5, "rare": 2}, 10, 2)
    assert [(one.term, one.n, one.share) for one in found] == [("box", 9, 0.9), ("away", 5, 0.5)]


def test_rising_terms_have_a_greater_share_than_before_that_is_hardly_chance() -> None:
    now, before = {"leak": 20, "late": 30, "box": 5, "rare": 2}, {"leak": 4, "late": 120, "box": 18}
    (leak,) = rising(now, 100, before, 400, 10)
    assert (leak.term, leak.n, leak.share, leak.before, leak.share_before) == ("leak", 20, 0.2, 4, 0.01)
    expected = 2 * sum(
        seen * math.log(seen / (row * column / 500))
        for seen, row, column in [(20, 100, 24), (4, 400, 24), (80, 100, 476), (396, 400, 476)]
    )
    assert leak.significance == pytest.approx(expected, abs=0.005)
    assert rising(now, 100, {}, 0, 10) == []
