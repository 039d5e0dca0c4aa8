"""A webhook's body to plain JSON, as strictly as a signal of our own.

What is twofold or unreadable anywhere in it is refused, also in parts that no path reads: two programs that
read such a payload may see two payloads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from services.intake.domain.diagnosis import MAX_DEPTH, MAX_FLAWS, parse
from services.intake.domain.inputs import Flaw, Refused

Path = tuple[str, ...]
_PLAIN = (str, float, bool)


def read_payload(raw: bytes) -> Any:
    """An object or a list. Raises Refused: not JSON, a name twice, numbers over 64 bits, nested too deep."""
    value = parse(raw)
    if not isinstance(value, dict | list):
        raise Refused([Flaw((), "must be an object or a list")])
    if flaws := list(islice(_flaws(value), MAX_FLAWS)):
        raise Refused(flaws)
    return value


def _flaws(payload: Any) -> Iterator[Flaw]:
    """Level by level. Most of a payload are plain leaves: they are passed over as cheaply as can be."""
    todo: deque[tuple[Any, Path]] = deque([(payload, ())])
    while todo:
        value, path = todo.popleft()
        if len(path) >= MAX_DEPTH:
            yield Flaw(path, "is nested too deep", MAX_DEPTH)
            continue
        if getattr(value, "repeated", ()):
            yield Flaw(path, "has a name that stands more than once")
        for name, content in value.items() if isinstance(value, dict) else enumerate(value):
            if content is None or type(content) in _PLAIN:
                continue
            if isinstance(content, dict | list):
                todo.append((content, (*path, str(name))))
            elif not isinstance(content, int) or not -(2**63) <= content < 2**64:
                yield Flaw((*path, str(name)), "must be a finite number of at most 64 bits")
