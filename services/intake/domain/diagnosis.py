"""The slow reading of a body that the fast one refused: every flaw, each with its place.

It walks the types of inputs.py over the plain JSON value, and has msgspec judge each leaf by itself. The
sender's field names are repeated only where they look like names; values never are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any, Literal, get_args, get_origin, overload

import msgspec

from services.intake.domain.checks import CONTENT, check, check_characters
from services.intake.domain.inputs import ActivityInput, AttributeName, FeedbackInput, Flaw, Refused
from services.intake.domain.wording import of_leaf

MAX_FLAWS = 20
MAX_DEPTH = 32

_NAME = re.compile(r"[A-Za-z0-9_$.-]{0,64}")
_DIGITS = 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Object(dict[str, Any]):
    """A JSON object that remembers which names stood in it more than once."""

    repeated: tuple[str, ...] = ()


class _Unreadable:
    """A number that no JSON number may be, or that nothing here can hold."""


_UNREADABLE = _Unreadable()


@overload
def diagnose(raw: bytes, kind: type[FeedbackInput] | type[ActivityInput], now: datetime) -> Refused: ...
@overload
def diagnose(
    raw: bytes, kind: type[FeedbackInput] | type[ActivityInput], now: datetime, *, certain: Literal[False]
) -> Refused | None: ...
def diagnose(
    raw: bytes, kind: type[FeedbackInput] | type[ActivityInput], now: datetime, *, certain: bool = True
) -> Refused | None:
    """What is wrong with `raw`; None where nothing is. `certain`: something is, the fast reading found it."""
    try:
        value = parse(raw)
    except Refused as refused:
        return refused
    flaws: list[Flaw] = []
    for flaw in _object(value, kind, ()):
        flaws.append(flaw)
        if len(flaws) == MAX_FLAWS:
            return Refused(flaws)
    if isinstance(value, dict):
        flaws += _of_the_rest(value, kind, now, {flaw.path[0] for flaw in flaws if flaw.path})
    if not flaws and certain:
        flaws.append(Flaw((), "does not fit the schema"))
    return Refused(flaws[:MAX_FLAWS]) if flaws else None


def parse(raw: bytes) -> Any:
    """The plain JSON value; an object tells in `repeated` which names stood in it more than once.

    Raises Refused (malformed) with the place where it is not JSON.
    """
    if not raw.strip():
        raise Refused([Flaw((), "the body is empty")], malformed=True)
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_remember,
            parse_constant=lambda _: _UNREADABLE,
            parse_float=lambda text: number if math.isfinite(number := float(text)) else _UNREADABLE,
            # int() takes time that grows with the square of the digits
            parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else _UNREADABLE,
        )
    except UnicodeDecodeError as error:
        why = f"is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        mark = raw.startswith(b"\xef\xbb\xbf")
        why = "begins with a byte order mark" if mark else f"is not JSON at character {error.pos}"
    except RecursionError:
        raise Refused([Flaw((), "is nested too deep", MAX_DEPTH)], malformed=True) from None
    raise Refused([Flaw((), why)], malformed=True) from None


def _remember(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        again = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        found.repeated = tuple(dict.fromkeys(again))
    return found


def _object(value: Any, kind: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[Flaw]:
    if not isinstance(value, _Object):
        yield leaf(value, kind, path) or Flaw(path, "must be an object")
        return
    fields = _fields(kind)
    for name in value.repeated:
        yield Flaw(place(path, name), "stands more than once")
    for name, content in value.items():
        if name not in fields:
            yield Flaw(place(path, name), "is not a field that a sender can set")
        else:
            yield from _field(content, fields[name].type, (*path, name))
    for name, field in fields.items():
        if field.required and name not in value:
            yield Flaw((*path, name), "is required")


def _field(value: Any, kind: Any, path: tuple[str, ...]) -> Iterator[Flaw]:
    if struct := _struct_in(kind):
        yield from _object(value, struct, path)
    elif (of_value := _entry_of(kind)) and isinstance(value, _Object):
        yield from _entries(value, kind, of_value, path)
    elif flaw := leaf(value, kind, path):
        yield flaw


def _entries(value: _Object, kind: Any, of_value: Any, path: tuple[str, ...]) -> Iterator[Flaw]:
    """Names, values and number of the attributes, the only map there is."""
    for name in value.repeated:
        yield Flaw(place(path, name), "stands more than once")
    if flaw := leaf(dict.fromkeys(map(str, range(len(value))), 0), kind, path):
        yield flaw
        return  # a body has room for a hundred thousand
    for name, content in value.items():
        where = place(path, name)
        if flaw := leaf(name, AttributeName, where) or leaf(content, of_value, where):
            yield flaw


def leaf(value: Any, kind: Any, path: tuple[str, ...]) -> Flaw | None:
    """What is wrong with a value that should be of `kind`."""
    if value is _UNREADABLE:
        return Flaw(path, "must be a finite number of at most 64 bits")
    if isinstance(value, str) and _SURROGATE.search(value):
        return Flaw(path, "contains half of a surrogate pair")
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return Flaw(path, *of_leaf(str(error), kind))
    return None


def _of_the_rest(
    value: dict[str, Any],
    kind: type[FeedbackInput] | type[ActivityInput],
    now: datetime,
    wrong: Iterable[str],
) -> Iterator[Flaw]:
    """The other rules, for the fields whose types are right: a sender is told all at once."""
    wrong = set(wrong)
    right = {name: content for name, content in value.items() if name in _fields(kind) and name not in wrong}
    right.setdefault("kind", get_args(_fields(kind)["kind"].type)[0])
    signal = msgspec.convert(right, kind)
    for flaw in (*check(signal, now), *check_characters(signal)):
        if flaw.path != ("text",) or not wrong.intersection(CONTENT):
            yield flaw


def place(path: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The path of a member; of what holds it, where its name does not look like one."""
    return (*path, name) if _NAME.fullmatch(name) else path


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


@cache
def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    found = (part for part in (kind, *get_args(kind)) if isinstance(part, type))
    return next((part for part in found if issubclass(part, msgspec.Struct)), None)


def _entry_of(kind: Any) -> Any:
    """The type of the values where `kind` is an annotated map, else None."""
    inner = get_args(kind)[0] if get_args(kind) else None
    return get_args(inner)[1] if get_origin(inner) is dict else None
