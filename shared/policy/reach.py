"""Whether a condition can still hold where earlier ones of an ordered list did not.

Conditions are read as `a && b || c` over plain tests with words (`path == 'x'`, `path in ['x', 'y']`,
`path.startsWith('x')`); whatever else stands in them is not understood. An answer "covered" is certain: an
earlier condition covers a later one only by what is understood of it in full, and what is not understood of
the later one only makes it hold more seldom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shared.policy.cel_text import Token, tokenize


class Test(NamedTuple):
    """`path` is one of the words, or begins with the only one."""

    path: str
    prefix: bool
    words: frozenset[str]

    def implies(self, other: Test) -> bool:
        """Whether the other test holds wherever this one does."""
        if self.path != other.path or (self.prefix and not other.prefix):
            return False
        if other.prefix:
            (begin,) = other.words
            return all(word.startswith(begin) for word in self.words)
        return self.words <= other.words


class Way(NamedTuple):
    """One of the alternatives of a condition: all `tests` hold, and more than that if it is not `whole`."""

    tests: tuple[Test, ...]
    whole: bool

    def implies(self, other: Way) -> bool:
        return other.whole and all(any(mine.implies(test) for mine in self.tests) for test in other.tests)


def ways(text: str) -> list[Way]:
    """The alternatives of a condition that parses."""
    tokens = tokenize(text)
    if any(token.text == "?" for token in tokens):
        return [Way((), whole=False)]
    return [_way(part) for part in _split(tokens, "||")]


def covers(earlier: Sequence[Way], later: Sequence[Way]) -> bool:
    """Whether the later condition holds only where the earlier one does."""
    return all(any(way.implies(other) for other in earlier) for way in later)


def alternatives(text: str) -> list[str]:
    """The parts of a condition between its outermost `||`, as it was written."""
    tokens = tokenize(text)
    if any(token.text == "?" for token in tokens):
        return [text]
    return ["".join(_spaced(part)).strip() for part in _split(tokens, "||")]


def _spaced(tokens: Sequence[Token]) -> list[str]:
    tight_before, tight_after = {")", "]", ",", ".", "("}, {"(", "[", ".", "!", ""}
    texts, last = [], Token("", "")
    for token in tokens:
        opens_call = token.text == "(" and last.kind != "name"
        tight = last.text in tight_after or (token.text in tight_before and not opens_call)
        tight = tight or (token.text == "[" and last.kind == "name" and last.text != "in")
        texts.append(token.text if tight else f" {token.text}")
        last = token
    return texts


def _split(tokens: Sequence[Token], sign: str) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if token.text == sign and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _way(tokens: Sequence[Token]) -> Way:
    found, whole = [], True
    for part in _split(_unwrapped(tokens), "&&"):
        if [token.text for token in part] == ["true"]:
            continue
        test = _test(part)
        if test is None:
            whole = False
        else:
            found.append(test)
    return Way(tuple(found), whole)


def _unwrapped(tokens: Sequence[Token]) -> Sequence[Token]:
    """Without brackets around all of it, unless alternatives stand within."""
    if len(tokens) < 2 or tokens[0].text != "(" or tokens[-1].text != ")":
        return tokens
    inner = tokens[1:-1]
    depth = 0
    for token in inner:
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0 or (token.text == "||" and depth == 0):
            return tokens
    return _unwrapped(inner)


def _test(tokens: Sequence[Token]) -> Test | None:
    path, at = "", 0
    while at < len(tokens) and (tokens[at].kind == "name" or tokens[at].text == "."):
        if tokens[at].text in ("in", "startsWith"):
            break
        path, at = path + tokens[at].text, at + 1
    rest = tokens[at:]
    signs = [token.text for token in rest if token.kind != "string"]
    words = frozenset(token.text[1:-1] for token in rest if token.kind == "string")
    if not path or not words or any("\\" in token.text or token.text[0] in "rR" for token in rest):
        return None
    if signs == ["=="] and len(rest) == 2:
        return Test(path, False, words)
    if path.endswith(".") and signs == ["startsWith", "(", ")"] and len(rest) == 4:
        return Test(path[:-1], True, words)
    if signs[:1] == ["in"] and signs == ["in", "[", *[","] * signs.count(","), "]"]:
        return Test(path, False, words)
    return None
