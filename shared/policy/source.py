"""Policy files as data with the place of every key: YAML 1.2, so that `NO` and `21:00` stay text.

Anchors may be used; merge keys (`<<`) and tags may not. A folder is one document: sections of the same
name in several files are merged key by key, and a key said twice is refused with both places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import EINVAL
from math import inf, isfinite
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Keys = tuple[str | int, ...]
_MAX_BYTES, _MAX_NODES, _MAX_DEPTH = 4_000_000, 200_000, 32
_MAX_DIGITS = 40
"""No number of a policy has more; Python refuses to read one of thousands."""
_REASONS = {"extra_forbidden": "unknown key", "missing": "is missing"}


@dataclass(frozen=True, slots=True)
class Place:
    """A line (from 1) of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One remark on a policy. `path` is the dotted key, `reason` a sentence for the author."""

    file: str
    line: int
    path: str
    reason: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {self.severity}: {where}{self.reason}"


@dataclass(slots=True)
class Source:
    """The merged document, where its keys stand, and what was wrong while reading."""

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place(self, keys: Iterable[str | int]) -> Place:
        """Where a key stands, or the nearest key around it (validators add steps of their own)."""
        found: Keys = ()
        for key in keys:
            if (*found, key) in self.places:
                found = (*found, key)
        return self.places.get(found, Place("policy", 1))

    def report(self, keys: Iterable[str | int], reason: str, *, warning: bool = False) -> None:
        keys = tuple(keys)
        place = self.place(keys)
        severity: Literal["error", "warning"] = "warning" if warning else "error"
        self.findings.append(Finding(place.file, place.line, dotted(keys), reason, severity))

    def report_shape(self, error: ValidationError) -> None:
        """Findings for what pydantic found. It marks a wrong key of a mapping with the step "[key]"."""
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            reason = _REASONS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
            self.report([step for step in problem["loc"] if step != "[key]"], reason)


def dotted(keys: Iterable[str | int]) -> str:
    """`("sla", 0, "targets")` as `sla[0].targets`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def read_source(paths: Iterable[Path]) -> Source:
    """Reads files and folders (their *.yaml and *.yml, by name). Never raises for a bad file."""
    source = Source()
    files = [file for path in paths for file in _files(source, path)]
    if not files and not source.findings:
        source.findings.append(Finding("policy", 1, "", "no policy file (*.yaml) was found"))
    for file in files:
        with _told(source, file):
            _read(source, file.name, _content(file))
    return source


def read_contents(contents: Mapping[str, bytes]) -> Source:
    """The same of what is no file (yet), by the names that stand where files' would."""
    source = Source()
    for name, content in contents.items():
        _read(source, name, content)
    return source


def _read(source: Source, name: str, content: bytes) -> None:
    try:
        _Reader(source, name).read(content)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        source.findings.append(Finding(name, line, "", f"not YAML: {error.problem}"))
    except (YAMLError, UnicodeDecodeError):
        reason = (
            f"not YAML in UTF-8, or nested deeper than {_MAX_DEPTH}, or of more than {_MAX_NODES:,} parts"
        )
        source.findings.append(Finding(name, 1, "", reason))


@contextmanager
def _told(source: Source, path: Path) -> Iterator[None]:
    """What the system refuses is a finding."""
    try:
        yield
    except OSError as error:
        source.findings.append(Finding(path.name, 1, "", f"cannot be read: {error.strerror}"))


def _files(source: Source, path: Path) -> list[Path]:
    """As a shell's `*.yaml`: hidden files are locks and copies of editors."""
    files = [path]
    with _told(source, path):
        if path.is_dir():
            shown = (file for file in path.iterdir() if not file.name.startswith("."))
            files = sorted(file for file in shown if file.suffix in (".yaml", ".yml"))
    return files


def _content(file: Path) -> bytes:
    """What a file holds, up to what is refused as too long. A pipe or a device may never come to its end."""
    if not S_ISREG(file.stat().st_mode) and not file.is_dir():
        raise OSError(EINVAL, "not a regular file")
    with file.open("rb") as opened:
        return opened.read(_MAX_BYTES + 1)


class _Shallow(Composer):
    """Stops at what is too deep while it reads: the scanner's work grows with the square of the depth, and
    the composer's calls with the depth."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._depth > _MAX_DEPTH:
            raise YAMLError("too deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _composed(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Shallow
    return yaml.compose(text)


class _Reader:
    """Walks the nodes of one file into the shared document."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self._name, self._nodes = source, name, 0

    def read(self, content: bytes) -> None:
        if len(content) > _MAX_BYTES:
            self._refuse(1, (), "a policy file is at most 4 MB")
            return
        self._source.places.setdefault((), Place(self._name, 1))
        root = _composed(content.decode("utf-8-sig"))
        if root is None:
            return
        if not isinstance(root, MappingNode):
            self._refuse(self._line(root), (), "a policy file is a mapping of sections")
            return
        for key, node in self._items(root, ()):
            value, place = self._value(node, (key,)), Place(self._name, self._line(node))
            self._merge(self._source.data, key, value, (key,), place)

    def _merge(self, into: dict[str, Any], key: str, value: Any, keys: Keys, place: Place) -> None:
        if key not in into:
            into[key] = value
        elif len(keys) == 1 and isinstance(into[key], dict) and isinstance(value, dict):
            for inner, content in value.items():
                self._merge(into[key], inner, content, (*keys, inner), place)

    def _items(self, node: MappingNode, keys: Keys) -> Iterator[tuple[str, Node]]:
        """Keys with their nodes. Marks each key's place; a section may be opened once per file."""
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key, line = str(key_node.value), self._line(key_node)
            here = (*keys, key)
            earlier = self._source.places.get(here)
            if not isinstance(key_node, ScalarNode) or key == "<<":
                self._refuse(line, keys, "a key is plain text; merge keys (<<) are not read")
            elif key in seen or (earlier and not self._continues(here, value_node)):
                self._refuse(line, here, f"said twice, first at {earlier}")
            else:
                seen.add(key)
                self._source.places.setdefault(here, Place(self._name, line))
                yield key, value_node

    def _continues(self, keys: Keys, node: Node) -> bool:
        """Whether another file may go on with this section: mappings at the top level may."""
        if len(keys) > 1 or not isinstance(node, MappingNode):
            return False
        return isinstance(self._source.data[str(keys[0])], dict)

    def _value(self, node: Node, keys: Keys) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(keys) > _MAX_DEPTH:
            raise YAMLError("too large or too deep")
        if isinstance(node, MappingNode):
            return {key: self._value(child, (*keys, key)) for key, child in self._items(node, keys)}
        if isinstance(node, SequenceNode):
            for index, child in enumerate(node.value):
                self._source.places[(*keys, index)] = Place(self._name, self._line(child))
            return [self._value(child, (*keys, index)) for index, child in enumerate(node.value)]
        try:
            return _scalar(node)
        except ValueError as error:
            self._refuse(self._line(node), keys, str(error))
            return None

    def _refuse(self, line: int, keys: Keys, reason: str) -> None:
        self._source.findings.append(Finding(self._name, line, dotted(keys), reason))

    @staticmethod
    def _line(node: Node) -> int:
        return int(node.start_mark.line) + 1


def _scalar(node: Node) -> Any:
    """Text stays text, dates included; numbers, booleans and null are what YAML 1.2 says.

    Raises ValueError for what cannot be a number.
    """
    kind, text = str(node.tag).rpartition(":")[2], str(node.value)
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    if kind == "float" or (kind == "int" and len(text) <= _MAX_DIGITS):
        return _number(kind, text.replace("_", ""))
    return text


def _number(kind: str, text: str) -> int | float:
    """The YAML library also marks as numbers what none can be made of: `.inf`, `0b11`, `!!int abc`."""
    try:
        if kind == "int":
            return int(text, 0 if text.lstrip("+-")[:2] in ("0x", "0o") else 10)
        number = float(text)
    except ValueError:
        number = inf
    if not isfinite(number):
        raise ValueError("must be a finite number in decimal digits, or text in quotes")
    return number
