"""A form as it stands on a page: each question with its control, what was typed there and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.intake.api.form_words import Lang, say
from services.intake.domain.answers import Answers, longest
from shared.forms import (
    ChoiceField,
    ConsentField,
    DateField,
    Field,
    Form,
    ProductField,
    RatingField,
    Reveal,
    TextField,
)

_KINDS = {"email": "email", "phone": "tel", "order": "text", "product": "text", "date": "date"}
_AUTOCOMPLETE = {"email": "email", "phone": "tel", "order": "off"}


@dataclass(frozen=True)
class Question:
    """One question as the template shows it; `kind` is its control, `typed` what was typed before."""

    name: str
    kind: str
    label: str
    hint: str
    required: bool
    typed: Sequence[str]
    error: str
    options: Sequence[tuple[str, str]]
    conditional: bool
    hidden: bool
    reveal: Reveal | None
    longest: int
    autocomplete: str
    earliest: date | None
    latest: date | None

    @property
    def first(self) -> str:
        return self.typed[0] if self.typed else ""


@dataclass(frozen=True)
class Filled:
    """A form as somebody left it. `alert` and `notice` are sentences on top of it."""

    form: Form
    lang: Lang
    token: str
    today: date
    answers: Answers
    typed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    alert: str = ""
    notice: str = ""
    switch: str = ""


def question_of(name: str, filled: Filled) -> Question:
    question, lang = filled.form.spec.fields[name], filled.lang
    error = next((wrong for wrong in filled.answers.wrong if wrong.field == name), None)
    earliest, latest = question.limits(filled.today) if isinstance(question, DateField) else (None, None)
    conditional = name in filled.form.conditions
    autocomplete = question.autocomplete or "" if isinstance(question, TextField) else ""
    return Question(
        name=name,
        kind=_kind(question),
        label=question.label.in_language(lang),
        hint=_hint(question, lang),
        required=question.required,
        typed=filled.typed.get(name, ()),
        error=say(f"wrong.{error.code}", lang, error.limit) if error else "",
        options=_options(question, lang),
        conditional=conditional,
        hidden=conditional and name not in filled.answers.asked,
        reveal=filled.form.reveals.get(name),
        longest=longest(question, filled.form.targets[name]),
        autocomplete=autocomplete or _AUTOCOMPLETE.get(question.type, ""),
        earliest=earliest,
        latest=latest,
    )


def _kind(question: Field) -> str:
    match question:
        case RatingField():
            return "scale"
        case ChoiceField():
            return "boxes" if question.multiple else "radios"
        case ConsentField():
            return "tick"
        case ProductField() if question.options:
            return "list"
        case TextField():
            return "lines" if question.lines == "many" else "text"
    return _KINDS[question.type]


def _options(question: Field, lang: Lang) -> list[tuple[str, str]]:
    if isinstance(question, RatingField):
        first, last = question.ends
        return [(str(score), str(score)) for score in range(first, last + 1)]
    if isinstance(question, ChoiceField | ProductField) and question.options:
        return [(value, label.in_language(lang)) for value, label in question.options.items()]
    return []


def _hint(question: Field, lang: Lang) -> str:
    said = [question.hint.in_language(lang)] if question.hint else []
    if isinstance(question, RatingField):
        first, last = question.ends
        low, high = question.low.in_language(lang), question.high.in_language(lang)
        said.append(say("from_to", lang, first, low, last, high))
    elif isinstance(question, ChoiceField) and question.multiple:
        said.append(say("several", lang))
    elif isinstance(question, DateField):
        said.append(say("day_format", lang))
    return " ".join(said)
