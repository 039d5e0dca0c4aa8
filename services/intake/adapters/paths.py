"""JSON paths of adapters: RFC 9535, strictly, compiled once.

Without its two functions that take regular expressions (`match`, `search`): a pattern could come out of the
payload itself. A path that begins with `@` starts at the element of a fan-out, as in RFC 9535's filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from jsonpath import CompoundJSONPath, JSONPath, JSONPathEnvironment, JSONPathError

MAX_LENGTH = 500
Place = tuple[str, ...]


class PathError(ValueError):
    """A path that is refused; the message says why, for the author of the adapter."""


class Found(NamedTuple):
    """A value with its place in the payload, as the steps of an RFC 6901 pointer."""

    value: Any
    place: Place


class _Plain(JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        for name in ("match", "search"):
            del self.function_extensions[name]


_environment = _Plain(strict=True)


class Path:
    """One compiled path. `relative`: it starts at the element of a fan-out."""

    def __init__(self, text: str) -> None:
        """Raises PathError."""
        if len(text) > MAX_LENGTH:
            raise PathError(f"a path is at most {MAX_LENGTH} characters long")
        self.relative = text.startswith("@")
        self._compiled = _compiled(f"${text[1:]}" if self.relative else text)
        self._place = _place(self._compiled)

    def first(self, payload: Any, element: Found) -> Found:
        """The first value that is not null; value None, and the place where it would stand, without one.

        Where a path with wildcards or filters finds nothing, the place is where it starts.
        """
        for found in self.all(payload, element):
            if found.value is not None:
                return found
        return Found(None, (*(element.place if self.relative else ()), *self._place))

    def all(self, payload: Any, element: Found) -> Iterator[Found]:
        """Every value, in the order of the payload."""
        start, before = (element.value, element.place) if self.relative else (payload, ())
        for match in self._compiled.finditer(start):
            yield Found(match.obj, (*before, *map(str, match.parts)))


def _compiled(text: str) -> JSONPath:
    try:
        compiled = _environment.compile(text)
    except JSONPathError as error:
        raise PathError(f"is no JSON path (RFC 9535): {str(error).partition(chr(10))[0]}") from None
    if isinstance(compiled, CompoundJSONPath):
        raise PathError("is no JSON path (RFC 9535): one path, please")
    return compiled


def _place(path: JSONPath) -> Place:
    """The one place that a singular path can find, as far as names and indices say it."""
    if not path.singular_query():
        return ()
    steps = (selector for segment in path.segments for selector in segment.selectors)
    return tuple(str(getattr(step, "name", getattr(step, "index", ""))) for step in steps)
