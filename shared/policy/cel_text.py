"""The part of CEL that policies may use, read before the CEL library sees it.

Each field that is named (`customer.tier`, `attributes.store`) becomes one flat variable, so that only
what a condition names is handed to CEL; `has(field)` becomes "is not empty", which CEL's own macro cannot
say of a top-level field. Cost is bounded by construction: no macros, no regular expressions, no
comprehension, limited length and nesting, and a limit on the characters that a condition may look at when all
its fields are as long as they can be. Joining texts with `+` copies them, which counts each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from shared.policy.fields import ATTRIBUTES, LONGEST, LONGEST_LINE, FieldKind

MAX_LENGTH, MAX_TOKENS, MAX_DEPTH = 2_000, 400, 12
MAX_LOOK = 1_000_000
"""Characters that one evaluation may look at: about a millisecond. Twenty `text.contains` are 400,000."""
# No `size`: the library counts bytes where CEL counts characters.
FUNCTIONS = frozenset({"int", "double", "string", "timestamp", "duration"})
METHODS = frozenset({"startsWith", "endsWith", "contains"})
_CONSTANTS = frozenset({"true", "false", "null", "in"})
_PERSONAL = frozenset({"customer.name", "customer.phone", "customer.email", "customer.personal"})
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<string>[rR]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<number>0[xX][0-9a-fA-F]+u?|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?u?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[<>+\-*/%!?:,.()\[\]])""",
    re.VERBOSE,
)


class ExpressionError(ValueError):
    """A condition that is refused; the message says why, for the author of the policy."""


class Token(NamedTuple):
    kind: str
    text: str


@dataclass(slots=True)
class CelText:
    """`source` for the CEL library, the variables it reads with their paths, and words compared with."""

    source: str
    reads: dict[str, str]
    compared: list[tuple[str, str, str]]


def read_cel(text: str, fields: Mapping[str, FieldKind]) -> CelText:
    """Raises ExpressionError for what is too long, not allowed, or names an unknown field."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"a condition is at most {MAX_LENGTH} characters long")
    tokens = tokenize(text)
    if len(tokens) > MAX_TOKENS:
        raise ExpressionError(f"a condition has at most {MAX_TOKENS} words and signs")
    return _Rewriter(tokens, fields).run()


def tokenize(text: str) -> list[Token]:
    """Words and signs without spaces and comments. Raises ExpressionError."""
    tokens, at, depth = [], 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"does not parse at character {at + 1}")
        at = match.end()
        if match.lastgroup and match.lastgroup != "space":
            tokens.append(Token(match.lastgroup, match.group()))
            depth += (match.group() in "([") - (match.group() in ")]")
        if depth > MAX_DEPTH:
            raise ExpressionError(f"brackets are nested at most {MAX_DEPTH} deep")
    return tokens


@dataclass(slots=True)
class _Rewriter:
    tokens: list[Token]
    fields: Mapping[str, FieldKind]
    at: int = 0
    out: list[str] = field(default_factory=list)
    reads: dict[str, str] = field(default_factory=dict)
    compared: list[tuple[str, str, str]] = field(default_factory=list)
    looks: int = 0

    def run(self) -> CelText:
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.text == ".":
                self._method()
            elif token.text == "[" and self.at and self._ends_operand(self.tokens[self.at - 1]):
                raise ExpressionError("only a field may be indexed, by a text: attributes['store']")
            elif token.kind == "name" and token.text not in _CONSTANTS:
                self._call() if self._peek(1) == "(" else self._field()
            else:
                self._emit(token.text)
        self._afford()
        return CelText(" ".join(self.out), {name: path for path, name in self.reads.items()}, self.compared)

    def _afford(self) -> None:
        look = self.looks * (1 + sum(token.text == "+" for token in self.tokens))
        if look > MAX_LOOK:
            raise ExpressionError(
                f"costs too much: it may look at {look:,} characters of long fields, {MAX_LOOK:,} at most"
            )

    def _peek(self, ahead: int) -> str:
        position = self.at + ahead
        return self.tokens[position].text if position < len(self.tokens) else ""

    def _emit(self, text: str, used: int = 1) -> None:
        self.out.append(text)
        self.at += used

    @staticmethod
    def _ends_operand(token: Token) -> bool:
        return token.text in (")", "]") or (token.kind in ("name", "string") and token.text != "in")

    def _method(self) -> None:
        name = self._peek(1)
        if name == "matches":
            raise ExpressionError("regular expressions (matches) are not allowed; use contains or startsWith")
        if name not in METHODS or self._peek(2) != "(":
            raise ExpressionError(f"unknown function '{name}'; there are {', '.join(sorted(METHODS))}")
        self._emit(f".{name}", 2)

    def _call(self) -> None:
        name = self._peek(0)
        if name == "has":
            self._has()
        elif name not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS | {"has"}))
            raise ExpressionError(f"unknown function '{name}'; there are {known}")
        else:
            self._emit(name)

    def _has(self) -> None:
        self.at += 2
        if self.at >= len(self.tokens) or self.tokens[self.at].kind != "name":
            raise ExpressionError("has() takes one field")
        path = self._path()
        if self._peek(0) != ")":
            raise ExpressionError("has() takes one field")
        members = self._members(path)
        texts = [member for member in members if self.fields[member] == "text"]
        if path == ATTRIBUTES:
            raise ExpressionError("has() takes one attribute: has(attributes.store)")
        self._emit("(" + " || ".join(self._present(member) for member in texts or [path]) + ")")

    def _present(self, path: str) -> str:
        variable, kind = self._variable(path), self.fields.get(path, "text")
        return {"number": f"{variable} != null", "text": f"{variable} != ''", "time": "true"}[kind]

    def _field(self) -> None:
        path = self._path()
        variable = self._variable(path)
        self._note(path)
        self.out.append(variable)

    def _path(self) -> str:
        """Reads `a.b` or `a['b']`, leaves a method call (`a.b(`) for later."""
        path = self._peek(0)
        self.at += 1
        while True:
            if self._peek(0) == "." and self._peek(2) != "(" and self._peek(1):
                path, self.at = f"{path}.{self._peek(1)}", self.at + 2
            elif self._peek(0) == "[" and self._peek(1)[:1] in ("'", '"') and self._peek(2) == "]":
                path, self.at = f"{path}.{self._peek(1)[1:-1]}", self.at + 3
            else:
                return path

    def _variable(self, path: str) -> str:
        group, _, rest = path.partition(".")
        self.looks += LONGEST.get(group, LONGEST_LINE)
        if group == ATTRIBUTES and ATTRIBUTES in self.fields and rest:
            return self.reads.setdefault(path, f"attribute_{len(self.reads)}")
        if path not in self.fields or path == ATTRIBUTES:
            raise ExpressionError(self._unknown(path))
        return self.reads.setdefault(path, path.replace(".", "__"))

    def _members(self, group: str) -> list[str]:
        return [known for known in self.fields if known.startswith(f"{group}.")]

    def _unknown(self, path: str) -> str:
        if path in _PERSONAL:
            return f"'{path}' is personal data, which conditions cannot read"
        members = self._members(path)
        if members or path == ATTRIBUTES:
            return f"'{path}' is a group; name a field of it: {', '.join(members) or 'attributes.NAME'}"
        near = get_close_matches(path, self.fields, 1)
        return f"unknown field '{path}'" + (f"; did you mean '{near[0]}'?" if near else "")

    def _note(self, path: str) -> None:
        """Remembers plain comparisons with words, `path == 'x'`, `in ['x', 'y']`, `.startsWith('x')`."""
        sign, after = self._peek(0), self.at + 1
        if sign == ".":
            sign, after = self._peek(1), self.at + 3
        if sign not in ("==", "!=", "in", "startsWith"):
            return
        while after < len(self.tokens):
            kind, text = self.tokens[after]
            if kind == "string":
                self.compared.append((path, sign, text.lstrip("rR")[1:-1]))
            if sign != "in" or (kind != "string" and text not in ("[", ",")):
                return
            after += 1
