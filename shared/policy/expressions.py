"""Conditions of a policy: CEL compiled once, evaluated over the fields of a feedback or a case.

Rules (docs/policy.md): missing fields are empty and never an error. A condition that cannot be computed for a
feedback (`rating.score <= 6` without a rating, a number compared with a text attribute) does not hold.
Unknown names, other functions, results that are not true or false are refused when it is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import cel

from shared.policy.cel_text import ExpressionError, read_cel
from shared.policy.fields import FEEDBACK_FIELDS, FEW_VALUES, NUMBERS, Context, FieldKind, Values

__all__ = ["Expression", "ExpressionError", "compile_expression"]

_REMEMBERED = 4096
_NOT_COMPUTABLE = (TypeError, ValueError, KeyError, RuntimeError, ArithmeticError)
_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class _Key:
    """What an answer is remembered by: the values, and whether a number is whole, which is a type in CEL."""

    __slots__ = ("_numbers", "_paths")

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._numbers = [place for place, path in enumerate(paths) if path in NUMBERS]

    def __call__(self, context: Context) -> tuple[object, ...]:
        values: list[object] = context.values(self._paths)
        if self._numbers:
            values += [type(values[place]) for place in self._numbers]
        return tuple(values)


class Expression:
    """A compiled condition. `evaluate` has no side effect but a bounded memory of its answers."""

    __slots__ = ("_answers", "_key", "_program", "_reads", "_remember", "compared", "paths", "text")

    def __init__(
        self,
        text: str,
        program: cel.Program,
        reads: Mapping[str, str],
        compared: Sequence[tuple[str, str, str]],
    ) -> None:
        self.text = text
        self.paths = tuple(reads.values())
        self.compared = tuple(compared)
        self._program = program
        self._reads = tuple(reads.items())
        self._remember = FEW_VALUES.issuperset(self.paths)
        self._key = _Key(self.paths)
        self._answers: dict[tuple[object, ...], bool] = {}

    def evaluate(self, context: Context) -> bool:
        """Whether the condition holds; False where it cannot be computed."""
        if not self._remember:
            return self._computed(context)
        key = self._key(context)
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            answer = self._answers[key] = self._computed(context)
        return answer

    def _computed(self, context: Context) -> bool:
        try:
            return self.run(context) is True
        except _NOT_COMPUTABLE:
            return False

    def run(self, context: Context) -> object:
        """The bare CEL result, for checks. Raises what CEL raises."""
        return self._program.execute({name: context.value(path) for name, path in self._reads})


def compile_expression(text: str, fields: Mapping[str, FieldKind] = FEEDBACK_FIELDS) -> Expression:
    """Compiles a condition over `fields`. Raises ExpressionError with the reason for its author."""
    read = read_cel(text, fields)
    try:
        program = cel.compile(read.source)
    except ValueError as error:
        raise ExpressionError(f"does not parse: {_parse_reason(error)}") from error
    expression = Expression(text, program, read.reads, read.compared)
    _prove(expression, fields)
    return expression


def _parse_reason(error: ValueError) -> str:
    """CEL's own words without its copy of the text, whose columns are not the author's."""
    message = str(error).rpartition("<input>:")[2].splitlines()[0]
    return message.split(":", 2)[-1].strip().removeprefix("Syntax error: ").partition(" expecting ")[0]


def _prove(expression: Expression, fields: Mapping[str, FieldKind]) -> None:
    """Tries it on nothing and on a feedback with everything: some result, and only true or false."""
    filled = {path: _sample(path, fields.get(path, "text")) for path in expression.paths}
    reasons, results = [], []
    for values in ({path: _NOON for path in expression.paths if fields.get(path) == "time"}, filled):
        try:
            results.append(expression.run(Values(values)))
        except _NOT_COMPUTABLE as error:
            reasons.append(str(error).partition(":")[0])
    if any(not isinstance(result, bool) for result in results):
        raise ExpressionError("a condition is true or false; this is another kind of value")
    unsure = any(path.startswith("attributes.") for path in expression.paths)
    if not results and not unsure:
        raise ExpressionError(f"cannot be computed for any feedback ({reasons[-1]})")


def _sample(path: str, kind: FieldKind) -> object:
    return {"number": 5, "time": _NOON, "text": "text"}[kind]
