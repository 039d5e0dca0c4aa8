"""Form files to checked, compiled forms. A file that is wrong is refused by itself; the others work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pydantic import ValidationError

from shared.forms.fields import ChoiceField, ConsentField, Field, ProductField, RatingField
from shared.forms.spec import FormSpec
from shared.policy.expressions import Expression, ExpressionError, compile_expression
from shared.policy.fields import FieldKind, Values
from shared.policy.source import Finding, Source, read_source

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
TICKED = "yes"
"""What a condition sees of a box that is ticked."""


class Reveal(NamedTuple):
    """A condition that depends on one answer of few: the values of `field` for which it holds."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """A form in force. `conditions` are those of fields with show_if; `reveals` those of them that one
    question with given answers decides, so that a page can follow them without knowing CEL."""

    name: str
    spec: FormSpec
    conditions: Mapping[str, Expression]
    reveals: Mapping[str, Reveal]
    targets: Mapping[str, str]


@dataclass(frozen=True)
class FormSet:
    """What a folder holds: forms by name, and the findings of those that are refused, by name."""

    forms: dict[str, Form] = field(default_factory=dict)
    refused: dict[str, list[Finding]] = field(default_factory=dict)


def load_forms(*paths: Path) -> FormSet:
    """Reads files and folders of forms. A form's name is its file's. Never raises for a bad file."""
    found = FormSet()
    for file in (file for path in paths for file in _files(path)):
        source = read_source([file])
        form = _form(file.stem, source)
        if file.stem in found.forms or file.stem in found.refused:
            source.findings.append(Finding(file.name, 1, "", "another file has the same name"))
        if form is None or source.findings:
            found.forms.pop(file.stem, None)
            found.refused.setdefault(file.stem, []).extend(sorted(set(source.findings)))
        else:
            found.forms[file.stem] = form
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml"))


def _form(name: str, source: Source) -> Form | None:
    spec = None if source.findings else _validated(source)
    if spec is None:
        return None
    if not _NAME.fullmatch(name):
        source.report((), "a form's file is named by up to 40 small letters, digits or -")
    for keys, reason in spec.problems():
        source.report(keys, reason)
    conditions: dict[str, Expression] = {}
    kinds: dict[str, FieldKind] = {}
    for field_name, asked in spec.fields.items():
        if asked.show_if is not None:
            try:
                conditions[field_name] = _condition(asked.show_if, kinds, spec)
            except ExpressionError as error:
                source.report(("fields", field_name, "show_if"), str(error))
        kinds[field_name] = "number" if isinstance(asked, RatingField) else "text"
    reveals: dict[str, Reveal] = {}
    for field_name, condition in conditions.items():
        reveal = _reveal(condition, spec)
        if reveal is not None:
            reveals[field_name] = reveal
            if not reveal.values:
                source.report(("fields", field_name, "show_if"), "holds for no answer")
    targets = {field_name: spec.target(field_name) for field_name in spec.fields}
    return Form(name, spec, MappingProxyType(conditions), MappingProxyType(reveals), targets)


def _validated(source: Source) -> FormSpec | None:
    try:
        return FormSpec.model_validate(source.data)
    except ValidationError as error:
        source.report_shape(error)
        return None


def _condition(text: str, earlier: Mapping[str, FieldKind], spec: FormSpec) -> Expression:
    """Compiled over the answers before it. Raises ExpressionError."""
    condition = compile_expression(text, earlier)
    for path, _, word in condition.compared:
        options = answers_of(spec.fields[path])
        if options and word not in options:
            raise ExpressionError(f"{path} is never '{word}'; there are {', '.join(options)}")
    return condition


def answers_of(asked: Field) -> tuple[str, ...]:
    """All that may be answered where that is given beforehand; nothing for free answers and for several."""
    if isinstance(asked, RatingField):
        first, last = asked.ends
        return tuple(str(score) for score in range(first, last + 1))
    if isinstance(asked, ConsentField):
        return (TICKED,)
    if isinstance(asked, ChoiceField) and asked.multiple:
        return ()
    return tuple(asked.options or ()) if isinstance(asked, ChoiceField | ProductField) else ()


def seen_by_conditions(asked: Field, answer: str) -> str | int | None:
    """An answer as a condition reads it: a score is a number, and null where there is none."""
    if isinstance(asked, RatingField):
        return int(answer) if answer else None
    return answer


def _reveal(condition: Expression, spec: FormSpec) -> Reveal | None:
    """CEL is evaluated here, once for each answer there is, so that browsers need not understand it."""
    if len(condition.paths) != 1:
        return None
    (path,) = condition.paths
    asked = spec.fields[path]
    answers = answers_of(asked)
    if not answers:
        return None
    holds = [
        answer
        for answer in ("", *answers)
        if condition.evaluate(Values({path: seen_by_conditions(asked, answer)}))
    ]
    return Reveal(path, tuple(holds))
