"""Forms as YAML: what is refused, with its line, and what a form in force knows."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from services.intake.domain.inputs import FeedbackInput
from shared.forms import LIMITS, Link, PageToken, Receipt, Reveal, Signer, load_forms
from tests.support.forms import form_of, forms_in

HEAD = "title: t\nthanks: t\nset: {kind: survey}\n"
TEXT = "  t: {type: text, lines: many, label: l}\n"


def test_the_shipped_forms_are_well() -> None:
    found = forms_in()
    assert (sorted(found.forms), found.refused) == (["complaint", "satisfaction"], {})


WRONG = {
    "not YAML": ("title: [", 1, "not YAML"),
    "an unknown key": (HEAD + "colour: red\nfields:\n" + TEXT, 4, "colour: unknown key"),
    "no fields": (HEAD, 1, "fields: is missing"),
    "one language": (HEAD.replace("title: t", "title: {zh: 标题}") + "fields:\n" + TEXT, 1, "zh and en"),
    "an unknown kind": (HEAD.replace("survey", "rumour") + "fields:\n" + TEXT, 3, "set.kind"),
    "an unknown type": (HEAD + "fields:\n  a: {type: photo, label: l}\n" + TEXT, 5, "'photo'"),
    "a bad field name": (HEAD + "fields:\n  A-b: {type: text, label: l}\n" + TEXT, 5, "fields.A-b"),
    "the name of the trap": (HEAD + "fields:\n  website: {type: text, label: l}\n" + TEXT, 5, "is taken"),
    "one place twice": (
        HEAD + "fields:\n" + TEXT + "  u: {type: text, lines: many, label: l}\n", 6, "goes to text, as t does"
    ),
    "a place that is none": (
        HEAD + "fields:\n" + TEXT + "  u: {type: text, label: l, to: owner}\n", 6, "is none of"
    ),
    "a rating elsewhere": (
        HEAD + "fields:\n  r: {type: rating, metric: ces, label: l, low: l, high: h, to: text}\n", 5,
        "a rating goes to rating",
    ),
    "text to words": (
        HEAD + "fields:\n" + TEXT + "  u: {type: text, label: l, to: severity}\n", 6, "only a choice"
    ),
    "words that are none": (
        HEAD + "fields:\n" + TEXT
        + "  u: {type: choice, label: l, to: severity, options: {low: l, bad: b}}\n", 6, "severity is one of",
    ),
    "several to one place": (
        HEAD + "fields:\n" + TEXT
        + "  u: {type: choice, multiple: true, label: l, to: category, options: {a: l, b: b}}\n",
        6, "goes to attributes.NAME only",
    ),
    "said twice": (
        HEAD.replace("survey", "survey, touchpoint: use") + "fields:\n" + TEXT
        + "  u: {type: choice, label: l, to: touchpoint, options: {use: l, support: b}}\n",
        6, "stands under set, too",
    ),
    "options within each other": (
        HEAD + "fields:\n" + TEXT + "  u: {type: choice, multiple: true, label: l, options: {a: l, ab: b}}\n",
        6, "a is a part of ab",
    ),
    "one option": (
        HEAD + "fields:\n" + TEXT + "  u: {type: choice, label: l, options: {a: l}}\n", 6, "at least 2"
    ),
    "NPS off its scale": (
        HEAD + "fields:\n  r: {type: rating, metric: nps, scale: [1, 10], label: l, low: l, high: h}\n", 5,
        "from 0 to 10",
    ),
    "a long scale": (
        HEAD + "fields:\n  r: {type: rating, metric: csat, scale: [1, 100], label: l, low: l, high: h}\n", 5,
        "at most 11 steps",
    ),
    "limits the wrong way": (
        HEAD + "fields:\n" + TEXT + "  u: {type: text, label: l, min: 9, max: 3}\n", 6, "`max` is less"
    ),
    "more than its place takes": (
        HEAD + "fields:\n" + TEXT + "  u: {type: text, label: l, to: order_id, max: 201}\n", 6, "at most 200"
    ),
    "no day": (HEAD + "fields:\n" + TEXT + "  d: {type: date, label: l, max: tomorrow}\n", 6, "or today"),
    "no zone": (HEAD + "time_zone: Moon/Base\nfields:\n" + TEXT, 4, "IANA"),
    "no site": (HEAD + "embed: [shop.example.org]\nfields:\n" + TEXT, 4, "embed[0]"),
    "nothing to send": (HEAD + "fields:\n  o: {type: order, label: l}\n", 4, "nothing to send"),
    "a condition on what comes later": (
        HEAD + "fields:\n  a: {type: text, label: l, show_if: t == 'x'}\n" + TEXT, 5, "unknown field 't'"
    ),
    "a condition on no option": (
        HEAD + "fields:\n" + TEXT + "  c: {type: choice, label: l, options: {a: l, b: b}}\n"
        "  d: {type: text, label: l, show_if: c == 'z'}\n", 7, "c is never 'z'; there are a, b",
    ),
    "a condition that never holds": (
        HEAD + "fields:\n" + TEXT + "  c: {type: choice, label: l, options: {a: l, b: b}}\n"
        "  d: {type: text, label: l, show_if: c == 'a' && c == 'b'}\n", 7, "holds for no answer",
    ),
    "a condition that is none": (
        HEAD + "fields:\n" + TEXT + "  d: {type: text, label: l, show_if: t ==}\n", 6, "does not parse"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_form_is_refused_with_its_line_and_the_others_work(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    found = forms_in(tmp_path, bad=text, good=HEAD + "fields:\n" + TEXT)
    assert list(found.forms) == ["good"]
    said = [str(finding) for finding in found.refused["bad"]]
    assert any(one.startswith(f"bad.yaml:{line}: error: ") and reason in one for one in said), said


@pytest.mark.parametrize("name", ["Mine", "my_form", "-x", "x" * 41])
def test_a_form_is_named_by_its_file(tmp_path: Path, name: str) -> None:
    assert list(forms_in(tmp_path, **{name: HEAD + "fields:\n" + TEXT}).refused) == [name]


def test_a_form_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for path in (tmp_path / "x.yaml", tmp_path / "a" / "x.yaml"):
        path.write_text(HEAD + "fields:\n" + TEXT)
    found = load_forms(tmp_path, tmp_path / "a")
    assert (list(found.forms), list(found.refused)) == ([], ["x"])


CONDITIONAL = """
  what: {type: choice, label: l, options: {late: l, lost: l, other: l}}
  score: {type: rating, metric: csat, label: l, low: l, high: h}
  many: {type: choice, multiple: true, label: l, options: {aa: l, bb: l}}
  yes: {type: consent, label: l}
  %s: {type: text, label: l, show_if: "%s"}
"""


@pytest.mark.parametrize(
    ("condition", "reveal"),
    [
        ("what == 'late'", Reveal("what", ("late",))),
        ("what in ['late', 'lost']", Reveal("what", ("late", "lost"))),
        ("what != 'late'", Reveal("what", ("", "lost", "other"))),
        ("has(what)", Reveal("what", ("late", "lost", "other"))),
        ("score <= 2", Reveal("score", ("1", "2"))),
        ("has(score)", Reveal("score", ("1", "2", "3", "4", "5"))),
        ("yes == 'yes'", Reveal("yes", ("yes",))),
        ("what == 'late' && score < 3", None),
        ("many.contains('aa')", None),
        ("has(t)", None),
    ],
)
def test_a_condition_on_one_question_is_known_beforehand(
    tmp_path: Path, condition: str, reveal: Reveal | None
) -> None:
    form = form_of(tmp_path, HEAD + "fields:\n" + TEXT + CONDITIONAL % ("more", condition))
    assert form.reveals.get("more") == reveal


def test_the_limits_of_places_are_those_of_a_feedback() -> None:
    limits = {}
    for field in msgspec.structs.fields(FeedbackInput):
        inner = msgspec.structs.fields(field.type) if msgspec.inspect.is_struct_type(field.type) else ()
        for prefix, one in [(f"{field.name}.", one) for one in inner] or [("", field)]:
            most = [meta.max_length for meta in getattr(one.type, "__metadata__", ())]
            if str in get_args(one.type)[:1] or getattr(one.type, "__origin__", None) is str:
                limits[prefix + one.name] = most[0]
    few = {"touchpoint", "severity", "urgency"}
    expected = {place: limits[place] for place in LIMITS if place not in few}
    assert {place: most for place, most in LIMITS.items() if place not in few} == expected


SIGNER = Signer("s" * 16)
LINK = Link("complaint", "顾客-9", "O-1", "delivery", 100)


def test_what_is_signed_comes_back() -> None:
    token = SIGNER.sign(LINK)
    assert token.isascii() and SIGNER.link(token, 100) == LINK
    page = PageToken("complaint", "n", 1.5, 2.5, LINK)
    assert SIGNER.read(SIGNER.sign(page), PageToken) == page


def test_a_link_is_over_when_it_says_so() -> None:
    assert SIGNER.link(SIGNER.sign(LINK), 100.1) is None
    assert SIGNER.link(SIGNER.sign(Link("complaint")), 1e12) == Link("complaint")


def test_what_was_signed_for_one_purpose_is_nothing_for_another() -> None:
    assert SIGNER.read(SIGNER.sign(Receipt("complaint", "R")), Link) is None
    assert SIGNER.read(SIGNER.sign(LINK), PageToken) is None


@pytest.mark.parametrize("alter", [
    lambda t: "", lambda t: t[:-1], lambda t: t[1:], lambda t: t + "A", lambda t: t.replace(".", ""),
    lambda t: t.upper(), lambda t: "é" + t, lambda t: "\0", lambda t: "." * 9, lambda t: "A" * 5000,
    lambda t: Signer("t" * 16).sign(LINK),
])  # fmt: skip
def test_what_was_altered_is_not_believed(alter: object) -> None:
    assert callable(alter)
    assert SIGNER.link(alter(SIGNER.sign(LINK)), 0) is None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Signer("short")
