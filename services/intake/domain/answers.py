"""What a person typed into a form becomes checked answers, in the order of the form.

An answer is a text in one normal form: the option's name, several of them with commas, the score, the day
as YYYY-MM-DD, `yes` for a box that is ticked. A question whose condition does not hold is not asked, and
what was typed there does not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

from shared.forms import (
    ChoiceField,
    DateField,
    EmailField,
    Field,
    Form,
    PhoneField,
    TextField,
    answers_of,
    characters,
    seen_by_conditions,
)
from shared.policy import Values

Code = Literal[
    "required", "tick", "choose", "once", "option", "one_line", "nul", "too_long", "too_short",
    "email", "phone", "date", "too_early", "too_late", "nothing",
]  # fmt: skip
"""What can be wrong with an answer; api/form_words.py says it in both languages."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_EMAIL = re.compile(r"[^\s@,;<>]{1,64}@[^\s@,;<>.]+(\.[^\s@,;<>.]+)+")
_PHONE = re.compile(r"\+?(?:[ ()./-]*[0-9]){5,20}[ )]*")


class Wrong(NamedTuple):
    """One thing to put right; `field` is empty when it concerns the form as a whole."""

    field: str
    code: Code
    limit: int | str | None = None


class Answers(NamedTuple):
    """`values`: what was answered, by field. `asked`: the fields whose condition holds. `unseen`: those of
    them that the page did not show, so that nobody could answer."""

    values: dict[str, str]
    asked: frozenset[str]
    unseen: tuple[str, ...]
    wrong: tuple[Wrong, ...]


class _Unfit(Exception):
    def __init__(self, code: Code, limit: int | str | None = None) -> None:
        super().__init__(code)
        self.code, self.limit = code, limit


def read_answers(
    form: Form,
    typed: Mapping[str, Sequence[str]],
    today: date,
    shown: Collection[str] = (),
    fixed: Mapping[str, str] | None = None,
) -> Answers:
    """`typed`: as it came; `shown`: conditional fields that the page showed; `fixed`: answers that a signed
    link has given, which nobody can alter."""
    fixed = fixed or {}
    seen: dict[str, str | int | None] = {}
    values: dict[str, str] = {}
    wrong: list[Wrong] = []
    unseen: list[str] = []
    asked: set[str] = set()
    for name, question in form.spec.fields.items():
        condition = form.conditions.get(name)
        answer = fixed.get(name, "")
        if not answer and (condition is None or condition.evaluate(Values(seen))):
            asked.add(name)
            if condition is not None and name not in shown:
                unseen.append(name)
            else:
                answer, flaws = _tried(name, form, typed.get(name, ()), today)
                wrong += flaws
        if answer:
            values[name] = answer
        seen[name] = seen_by_conditions(question, answer)
    content = ("text", "subject", "rating")
    if not wrong and not unseen and not any(form.targets[name] in content for name in values):
        wrong.append(Wrong("", "nothing"))
    return Answers(values, frozenset(asked), tuple(unseen), tuple(wrong))


def _tried(name: str, form: Form, typed: Sequence[str], today: date) -> tuple[str, list[Wrong]]:
    """The answer, or what is wrong with it."""
    try:
        return _read(form.spec.fields[name], typed, form.targets[name], today), []
    except _Unfit as unfit:
        return "", [Wrong(name, unfit.code, unfit.limit)]


def _read(question: Field, typed: Sequence[str], target: str, today: date) -> str:
    """The answer, "" for none. Raises _Unfit."""
    if isinstance(question, ChoiceField) and question.multiple:
        answer = _several(question, typed)
    elif len(typed) > 1:
        raise _Unfit("once")
    else:
        text = typed[0].replace("\r\n", "\n").strip() if typed else ""
        answer = _checked(question, text, target, today) if text else ""
    if question.required and not answer:
        raise _Unfit(_MISSING.get(question.type, "required"))
    return answer


_MISSING: dict[str, Code] = {"consent": "tick", "choice": "choose", "rating": "choose"}


def _several(question: ChoiceField, typed: Sequence[str]) -> str:
    if not {*question.options, ""}.issuperset(typed):
        raise _Unfit("option")
    return ",".join(option for option in question.options if option in typed)


def _checked(question: Field, text: str, target: str, today: date) -> str:
    if options := answers_of(question):
        if text not in options:
            raise _Unfit("option")
        return text
    if isinstance(question, TextField) and question.lines == "many":
        if "\0" in text:
            raise _Unfit("nul")
    elif _CONTROL.search(text):
        raise _Unfit("one_line")
    if isinstance(question, DateField):
        return _day(question, text, today)
    if isinstance(question, PhoneField):
        text = unicodedata.normalize("NFKC", text)
    _measure(question, text, target)
    if isinstance(question, EmailField) and not _EMAIL.fullmatch(text):
        raise _Unfit("email")
    if isinstance(question, PhoneField) and not _PHONE.fullmatch(text):
        raise _Unfit("phone")
    return text


def longest(question: Field, target: str) -> int:
    """The most characters that an answer may have: the question's own limit, else what its place takes."""
    most = characters(target)
    if isinstance(question, TextField):
        return question.max or (most if question.lines == "many" else min(most, 200))
    return min(most, 254)


def _measure(question: Field, text: str, target: str) -> None:
    most = longest(question, target)
    if len(text) > most:
        raise _Unfit("too_long", most)
    if isinstance(question, TextField) and len(text) < question.min:
        raise _Unfit("too_short", question.min)


def _day(question: DateField, text: str, today: date) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise _Unfit("date")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise _Unfit("date") from None
    first, last = question.limits(today)
    if first and day < first:
        raise _Unfit("too_early", first.isoformat())
    if last and day > last:
        raise _Unfit("too_late", last.isoformat())
    return text
