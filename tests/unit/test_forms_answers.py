"""Answers to forms, type by type; and the feedback that they become."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from services.intake.domain.answers import Answers, Wrong, read_answers
from services.intake.domain.form_feedback import feedback_of, fixed_answers
from shared.forms import Form, Link, Signer
from tests.support.forms import form_of, forms_in

TODAY = date(2026, 3, 2)
HEAD = """title: t
thanks: t
set: {kind: survey, touchpoint: use}
fields:
  t: {type: text, lines: many, label: l}
"""


def asked(tmp_path: Path, field: str) -> Form:
    """A form with the question `f` after a text that nobody has to write."""
    return form_of(tmp_path, f"{HEAD}  f: {{label: l, {field}}}\n")


def read(form: Form, typed: dict[str, Any], **more: Any) -> Answers:
    fields = {name: [value] if isinstance(value, str) else value for name, value in typed.items()}
    return read_answers(form, fields, TODAY, **more)


CHOICE = "type: choice, options: {a: l, b: l, c: l}"
NPS = "type: rating, metric: nps, low: l, high: h"
GOOD = [
    ("type: text", "  two words ", "two words"),
    ("type: text", "x" * 200, "x" * 200),
    ("type: text", "😀\u200f مرحبا", "😀\u200f مرحبا"),
    ("type: text, min: 2", "", ""),
    ("type: text, lines: many, to: subject", "a\r\nb\r\n", "a\nb"),
    ("type: text, lines: many, to: subject", "x" * 500, "x" * 500),
    (CHOICE, "b", "b"),
    (CHOICE, "", ""),
    (f"{CHOICE}, multiple: true", ["c", "a", "a"], "a,c"),
    (f"{CHOICE}, multiple: true", [], ""),
    (NPS, "0", "0"),
    (NPS, "10", "10"),
    ("type: rating, metric: csat, scale: [-2, 2], low: l, high: h", "-2", "-2"),
    ("type: date", "2024-02-29", "2024-02-29"),
    ("type: date, max: today", "2026-03-02", "2026-03-02"),
    ("type: date, min: 2026-01-01", "2026-01-01", "2026-01-01"),
    ("type: email", " li.ming+1@例子.example.org ", "li.ming+1@例子.example.org"),
    ("type: phone", "+86 (0)21-5555.1234", "+86 (0)21-5555.1234"),
    ("type: phone", "１３８００１３８０００", "13800138000"),
    ("type: order", "O-2026/17", "O-2026/17"),
    ("type: product", "M2", "M2"),
    ("type: product, options: {M1: l, M2: l}", "M1", "M1"),
    ("type: consent", "yes", "yes"),
    ("type: consent", [], ""),
]


@pytest.mark.parametrize(("field", "typed", "answer"), GOOD)
def test_an_answer_has_one_normal_form(tmp_path: Path, field: str, typed: Any, answer: str) -> None:
    answers = read(asked(tmp_path, field), {"t": "x", "f": typed})
    assert (answers.wrong, answers.values.get("f", "")) == ((), answer)


BAD = [
    ("type: text", "x" * 201, ("too_long", 200)),
    ("type: text", "a\nb", ("one_line", None)),
    ("type: text", "a\tb", ("one_line", None)),
    ("type: text", "a\0b", ("one_line", None)),
    ("type: text", ["a", "b"], ("once", None)),
    ("type: text, min: 3", "ab", ("too_short", 3)),
    ("type: text, max: 3", "abcd", ("too_long", 3)),
    ("type: text, required: true", " \r\n ", ("required", None)),
    ("type: text, required: true", [], ("required", None)),
    ("type: text, lines: many, to: subject", "x" * 501, ("too_long", 500)),
    ("type: text, lines: many, to: subject", "a\0b", ("nul", None)),
    ("type: text, lines: many, to: attributes.more", "x" * 1001, ("too_long", 1000)),
    (CHOICE, "d", ("option", None)),
    (CHOICE, ["a", "b"], ("once", None)),
    (CHOICE, "A", ("option", None)),
    (f"{CHOICE}, required: true", "", ("choose", None)),
    (f"{CHOICE}, multiple: true", ["a", "d"], ("option", None)),
    (f"{CHOICE}, multiple: true, required: true", [""], ("choose", None)),
    (NPS, "11", ("option", None)),
    (NPS, "-1", ("option", None)),
    (NPS, "7.0", ("option", None)),
    (NPS, "٧", ("option", None)),
    (f"{NPS}, required: true", "", ("choose", None)),
    ("type: date", "02.03.2026", ("date", None)),
    ("type: date", "2026-02-30", ("date", None)),
    ("type: date", "2026-03-02T00:00:00Z", ("date", None)),
    ("type: date", "20260302", ("date", None)),
    ("type: date", "0000-01-01", ("date", None)),
    ("type: date, max: today", "2026-03-03", ("too_late", "2026-03-02")),
    ("type: date, min: today", "2026-03-01", ("too_early", "2026-03-02")),
    ("type: email", "li.ming", ("email", None)),
    ("type: email", "a@b", ("email", None)),
    ("type: email", "a@b@example.org", ("email", None)),
    ("type: email", "a b@example.org", ("email", None)),
    ("type: email", "a@example.org,b@example.org", ("email", None)),
    ("type: email", "a@example.org\r\nBcc: b@example.org", ("one_line", None)),
    ("type: email", "a" * 250 + "@x.org", ("too_long", 254)),
    ("type: phone", "1234", ("phone", None)),
    ("type: phone", "call me", ("phone", None)),
    ("type: phone", "1" * 21, ("phone", None)),
    ("type: phone", "1" * 65, ("too_long", 64)),
    ("type: order", "x" * 201, ("too_long", 200)),
    ("type: product, options: {M1: l, M2: l}", "M3", ("option", None)),
    ("type: consent", "no", ("option", None)),
    ("type: consent, required: true", [], ("tick", None)),
]


@pytest.mark.parametrize(("field", "typed", "wrong"), BAD)
def test_an_answer_that_does_not_fit_is_told_with_its_limit(
    tmp_path: Path, field: str, typed: Any, wrong: tuple[Any, Any]
) -> None:
    answers = read(asked(tmp_path, field), {"t": "x", "f": typed})
    assert answers.wrong == (Wrong("f", *wrong),)
    assert "f" not in answers.values


@pytest.mark.parametrize("text", ["+" * 60, "1" + " " * 60 + "x", "(" * 64, "1-" * 31])
def test_a_phone_number_takes_no_time_to_refuse(tmp_path: Path, text: str) -> None:
    assert read(asked(tmp_path, "type: phone"), {"t": "x", "f": text}).wrong[0].code == "phone"


def test_nothing_at_all_is_not_sent(tmp_path: Path) -> None:
    form = asked(tmp_path, "type: order")
    assert read(form, {"f": "O-1"}).wrong == (Wrong("", "nothing"),)


CONDITIONAL = """  what: {type: choice, label: l, options: {late: l, other: l}}
  when: {type: date, label: l, required: true, show_if: what == 'late'}
  why: {type: text, label: l, show_if: has(when)}
"""
ALL = {"what": "late", "when": "2026-03-01", "why": "x"}


@pytest.mark.parametrize(
    ("typed", "shown", "unseen", "wrong", "values"),
    [
        ({"what": "other", "when": "2026-03-01"}, [], (), (), {"what"}),
        ({"what": "late"}, [], ("when",), (), {"what"}),
        ({"what": "late"}, ["when"], (), (Wrong("when", "required"),), {"what"}),
        ({"what": "late", "when": "2026-03-01"}, ["when"], ("why",), (), {"what", "when"}),
        ({"what": "late", "when": "2026-03-01"}, ["when", "why"], (), (), {"what", "when"}),
        (
            {"what": "late", "when": "2026-03-01", "why": "x"},
            ["when", "why"],
            (),
            (),
            {"what", "when", "why"},
        ),
        ({"what": "other", "when": "2026-03-01", "why": "x"}, ["when", "why"], (), (), {"what"}),
    ],
)
def test_a_question_is_asked_only_where_its_condition_holds(
    tmp_path: Path, typed: dict[str, str], shown: list[str], unseen: Any, wrong: Any, values: set[str]
) -> None:
    answers = read(form_of(tmp_path, HEAD + CONDITIONAL), {"t": "x", **typed}, shown=shown)
    assert (answers.unseen, answers.wrong, set(answers.values)) == (unseen, wrong, {"t", *values})


@pytest.mark.parametrize(
    ("condition", "typed", "holds"),
    [
        ("score <= 2", {"score": "2"}, True),
        ("score <= 2", {"score": "3"}, False),
        ("score <= 2", {}, False),
        ("many.contains('aa')", {"many": ["bb", "aa"]}, True),
        ("t.contains('<b>')", {"t": "x<b>"}, True),
        ("yes == 'yes' && score == 5", {"yes": "yes", "score": "5"}, True),
        ("score <= 2", {"score": "99"}, False),
    ],
)
def test_conditions_see_scores_as_numbers_and_all_else_as_text(
    tmp_path: Path, condition: str, typed: dict[str, Any], holds: bool
) -> None:
    form = form_of(
        tmp_path,
        HEAD + "  score: {type: rating, metric: csat, label: l, low: l, high: h}\n"
        "  many: {type: choice, multiple: true, label: l, options: {aa: l, bb: l}}\n"
        f'  yes: {{type: consent, label: l}}\n  more: {{type: text, label: l, show_if: "{condition}"}}\n',
    )
    assert ("more" in read(form, {"t": "x", **typed}).asked) is holds


# --- what they become --------------------------------------------------------------------------------


KEY = Signer("a secret of these tests").hash_key


def bodies(form: Form, answers: dict[str, str], link: Link | None = None) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in feedback_of(form, answers, "nonce", link, "zh", KEY)]


def test_a_complaint_is_one_feedback_with_each_answer_in_its_place() -> None:
    form = forms_in().forms["complaint"]
    (body,) = bodies(
        form,
        {
            "happened": "late", "promised": "2026-03-01", "text": "箱子压坏了", "order": "O-1",
            "product": "M2", "email": "a@example.org", "phone": "12345", "consent": "yes",
        },
    )  # fmt: skip
    assert body.pop("external_id").startswith("nonce-")
    assert body == {
        "source": "form:complaint", "kind": "complaint", "channel": "web", "text": "箱子压坏了",
        "order_id": "O-1", "product": {"model": "M2"},
        "customer": {"email": "a@example.org", "phone": "12345"},
        "attributes": {"happened": "late", "promised": "2026-03-01", "consent": True},
    }  # fmt: skip


def test_each_rating_is_a_feedback_and_the_first_has_the_text() -> None:
    form = forms_in().forms["satisfaction"]
    first, second = bodies(form, {"recommend": "3", "satisfied": "1", "text": "slow"})
    assert first["rating"] == {"metric": "nps", "score": 3, "scale_min": 0, "scale_max": 10}
    assert second["rating"] == {"metric": "csat", "score": 1, "scale_min": 1, "scale_max": 5}
    assert (first["text"], "text" in second) == ("slow", False)
    assert second["external_id"] == first["external_id"] + "-satisfied"
    assert first["attributes"] == {"form_response": first["external_id"]}
    assert second["attributes"] == {"form_response": first["external_id"], "form_part": "satisfied"}


def test_the_language_of_the_page_is_said_where_there_is_no_text() -> None:
    form = forms_in().forms["satisfaction"]
    assert [body.get("language") for body in bodies(form, {"recommend": "3"})] == ["zh"]
    said = [body.get("language") for body in bodies(form, {"recommend": "3", "satisfied": "1", "text": "x"})]
    assert said == [None, "zh"]


def test_the_same_answers_are_the_same_feedback_and_others_are_another_one() -> None:
    form = forms_in().forms["satisfaction"]
    answers = {"recommend": "3", "satisfied": "1", "text": "slow"}
    assert bodies(form, answers) == bodies(form, answers)
    assert {b["external_id"] for b in bodies(form, answers)}.isdisjoint(
        b["external_id"] for b in bodies(form, answers | {"text": "quick"})
    )


def test_the_identity_of_what_was_said_cannot_be_tried_out_without_the_secret() -> None:
    form, answers = forms_in().forms["complaint"], {"happened": "late", "text": "x", "phone": "12345"}
    keys = (Signer(f"{secret} of these tests").hash_key for secret in ("a secret", "another secret"))
    said = [json.loads(feedback_of(form, answers, "n", None, "zh", key)[0]) for key in keys]
    assert said[0].pop("external_id") != said[1].pop("external_id") and said[0] == said[1]


def test_a_link_answers_for_the_person_and_wins(tmp_path: Path) -> None:
    form = form_of(
        tmp_path, HEAD + "  o: {type: order, label: l}\n  c: {type: text, label: l, to: customer.id}\n"
    )
    link = Link("mine", "C-9", "O-1", "delivery")
    fixed = fixed_answers(form, link)
    assert fixed == {"o": "O-1", "c": "C-9"}
    answers = read(form, {"t": "x", "o": "O-2", "c": "C-1"}, fixed=fixed)
    (body,) = bodies(form, answers.values, link)
    assert (body["order_id"], body["customer"], body["touchpoint"]) == ("O-1", {"id": "C-9"}, "delivery")


def test_a_link_counts_where_the_form_does_not_ask() -> None:
    (body,) = bodies(forms_in().forms["satisfaction"], {"recommend": "9"}, Link("satisfaction", "C", "O"))
    assert (body["customer"], body["order_id"]) == ({"id": "C"}, "O")
