"""Checks of ordered lists: rules and SLA entries that are never reached, categories that no rule names."""

from __future__ import annotations

from collections.abc import Iterator

from shared.policy.cel_text import ExpressionError, tokenize
from shared.policy.models import PolicyDocument
from shared.policy.reach import Way, covers, ways
from shared.policy.source import Keys, Source

_REST = "other"
"""The category for what belongs nowhere else: the last rule is its place."""


def check_order(document: PolicyDocument, source: Source) -> None:
    _unreachable([(rule.name, rule.when) for rule in document.routing], "routing", "rule", source)
    _unreachable([(entry.name, entry.when) for entry in document.sla], "sla", "entry", source)
    _unnamed_categories(document, source)


def _unreachable(entries: list[tuple[str, str | None]], section: str, what: str, source: Source) -> None:
    """Each entry against those before it; one that takes everything is said once, where it stands."""
    earlier: list[tuple[str, list[str], list[Way]]] = []
    for index, (name, when) in enumerate(entries):
        keys: Keys = (section, index) if when is None else (section, index, "when")
        try:
            words = [token.text for token in tokenize(when or "true")]
        except ExpressionError:
            continue  # it is refused already
        if words == ["true"]:
            if index < len(entries) - 1:
                saying = "has no `when`" if when is None else "is always true"
                source.report(keys, f"{saying}: no {what} after it is ever reached")
            return
        if words == ["false"]:
            source.report(keys, f"never holds: this {what} takes nothing", warning=True)
        found = ways(when or "true")
        if reason := _hidden_by(earlier, words, found):
            source.report(keys, f"is never reached: {what} {reason}")
        earlier.append((name, words, found))


def _hidden_by(earlier: list[tuple[str, list[str], list[Way]]], words: list[str], found: list[Way]) -> str:
    """The entry that takes all that this one could, in words; "" when there is none."""
    for name, same, others in earlier:
        if words == same:
            return f"'{name}' has the same condition"
        if covers(others, found):
            return f"'{name}' takes all of it before"
    return ""


def _unnamed_categories(document: PolicyDocument, source: Source) -> None:
    if len(document.routing) == 1:
        return  # one place for everything is meant so
    tests = list(_tests_of_category(document))
    for name in document.categories:
        named = any(name == word or (prefix and name.startswith(word)) for word, prefix in tests)
        if not named and name.partition(".")[0] != _REST:
            reason = f"no rule names it: its cases go by '{document.routing[-1].name}'"
            source.report(("categories", name), reason, warning=True)


def _tests_of_category(document: PolicyDocument) -> Iterator[tuple[str, bool]]:
    for rule in document.routing:
        try:
            found = ways(rule.when or "true")
        except ExpressionError:
            continue
        for way in found:
            for test in way.tests:
                if test.path == "category":
                    yield from ((word, test.prefix) for word in test.words)
