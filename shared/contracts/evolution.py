"""What may change in a contract: only additions (shared/contracts/README.md).

The log is kept for ever and versions run side by side, so the rule holds in both directions: a new consumer
must read every old record, and an old consumer every new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from shared.contracts.json_schema import Schema

Kind = Literal[
    "removed_event", "removed_property", "changed_type", "new_required", "no_longer_required",
    "narrowed_enum", "widened_enum", "changed_constraint", "changed_default",
]  # fmt: skip
CONSUMERS_FIRST: frozenset[tuple[str, str]] = frozenset(
    {
        # said only once a policy names an `ola`, which is written after every service has been renewed
        ("cqm.sla.target_breached.v1", "target"),
        ("cqm.sla.target_finished.v1", "target"),
        ("cqm.sla.escalation_raised.v1", "target"),
    }
)
"""Widened enumerations that were agreed to, as (event type, path of the field).

Consumers read strictly, so an old one dead-letters a value that it does not know. An entry here says: the
release in which every consumer knows the value comes before the one in which anybody says it (README.md).
"""
_WORDS = {"title", "description", "examples", "$schema", "$id", "$defs"}
_STRUCTURE = {"$ref", "type", "enum", "anyOf", "properties", "required", "items", "additionalProperties"}
_ABSENT = object()


class Break(NamedTuple):
    """One change that is not additive. `path` is the field, as `case.holds[].status`; "" is the event."""

    kind: Kind
    event: str
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.event} {self.path or '(event)'}: {self.kind}, {self.detail}"


class _Pair(NamedTuple):
    """The same place in the released and in the new schema, with the definitions that each refers to."""

    old: Any
    new: Any
    old_parts: Mapping[str, Any]
    new_parts: Mapping[str, Any]

    def at(self, old: Any, new: Any) -> _Pair:
        return _Pair(_resolved(old, self.old_parts), _resolved(new, self.new_parts), *self[2:])


Found = Iterator[tuple[Kind, str, str]]


def breaks_of_all(
    old: Mapping[str, Schema], new: Mapping[str, Schema], agreed: Iterable[tuple[str, str]] = CONSUMERS_FIRST
) -> list[Break]:
    """Every change between two sets of schemas, by event type, that is not additive and was not agreed to."""
    known = set(agreed)
    found = [
        Break("removed_event", name, "", "records of it are in the log") for name in old if name not in new
    ]
    for name in old:
        if name in new:
            found += breaks(name, old[name], new[name])
    return [one for one in found if not (one.kind == "widened_enum" and (one.event, one.path) in known)]


def breaks(event: str, old: Schema, new: Schema) -> list[Break]:
    """What is not additive between two schemas of one event. Pure; new optional fields are no break."""
    whole = _Pair({}, {}, old.get("$defs", {}), new.get("$defs", {})).at(old, new)
    return [Break(kind, event, path, detail) for kind, path, detail in _compared(whole, "")]


def _compared(pair: _Pair, path: str) -> Found:
    old_values, new_values = _values(pair.old), _values(pair.new)
    if old_values is not None and new_values is not None:
        yield from _enumerations(old_values, new_values, path)
    elif "anyOf" in pair.old or "anyOf" in pair.new:
        yield from _alternatives(pair, path)
    elif _shape(pair.old) != _shape(pair.new):
        yield "changed_type", path, f"{_shape(pair.old)} became {_shape(pair.new)}"
    else:
        yield from _fields(pair, path)
        yield from _elements(pair, path)
    yield from _keywords(pair, path)


def _enumerations(old: set[str], new: set[str], path: str) -> Found:
    if gone := sorted(old - new):
        yield "narrowed_enum", path, f"without {gone}, which old records hold"
    if more := sorted(new - old):
        yield "widened_enum", path, f"with {more}, which consumers of the last release refuse"


def _alternatives(pair: _Pair, path: str) -> Found:
    old = {_shape(one.old): one.old for one in _each(pair, pair.old, old=True)}
    new = {_shape(one.new): one.new for one in _each(pair, pair.new, old=False)}
    if old.keys() != new.keys():
        yield "changed_type", path, f"{sorted(old)} became {sorted(new)}"
        return
    for shape in old:
        yield from _compared(pair.at(old[shape], new[shape]), path)


def _each(pair: _Pair, node: Any, *, old: bool) -> list[_Pair]:
    options = node.get("anyOf", [node])
    return [pair.at(one, {}) if old else pair.at({}, one) for one in options]


def _fields(pair: _Pair, path: str) -> Found:
    old, new = pair.old.get("properties", {}), pair.new.get("properties", {})
    required, demanded = set(pair.old.get("required", ())), set(pair.new.get("required", ()))
    for name in old:
        here = f"{path}.{name}".lstrip(".")
        if name not in new:
            yield "removed_property", here, "consumers of the last release read it"
            continue
        yield from _compared(pair.at(old[name], new[name]), here)
        if name in required - demanded:
            yield "no_longer_required", here, "consumers of the last release demand it"
    for name in sorted(demanded - required):
        yield "new_required", f"{path}.{name}".lstrip("."), "old records lack it"


def _elements(pair: _Pair, path: str) -> Found:
    """Items of lists, values of maps."""
    for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
        old, new = pair.old.get(keyword, True), pair.new.get(keyword, True)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _compared(pair.at(old, new), path + mark)
        elif old != new:
            yield "changed_type", path + mark, f"{keyword} is another"


def _keywords(pair: _Pair, path: str) -> Found:
    """Formats and limits stay as they are, and defaults: a field at its default is absent on the wire."""
    for name in sorted((pair.old.keys() | pair.new.keys()) - _WORDS - _STRUCTURE):
        before, after = pair.old.get(name, _ABSENT), pair.new.get(name, _ABSENT)
        if (before, type(before)) == (after, type(after)):
            continue
        kind: Kind = "changed_default" if name == "default" else "changed_constraint"
        yield kind, path, f"{name} is another"


def _resolved(node: Any, parts: Mapping[str, Any]) -> Any:
    """The node with the definition it refers to in place; keywords beside the reference win."""
    if "$ref" not in node:
        return node
    return {**parts[node["$ref"].removeprefix("#/$defs/")], **{k: v for k, v in node.items() if k != "$ref"}}


def _values(node: Any) -> set[str] | None:
    """All values of a node that enumerates them, in one list or in several; None when it does not."""
    if "enum" in node:
        return set(map(str, node["enum"]))
    options = [_values(one) for one in node.get("anyOf", ())]
    if not options or any(one is None for one in options):
        return None
    return {value for one in options for value in one or ()}


def _shape(node: Any) -> str:
    """What kind of value a node takes, in a word."""
    if "enum" in node:
        return "enum"
    return "any of" if "anyOf" in node else str(node.get("type", "anything"))
