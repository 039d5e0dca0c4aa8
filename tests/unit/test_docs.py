"""The documents are true: links lead somewhere, both READMEs say the same, settings are as they are written.

`python -m tests.unit.test_docs` writes defaults and limits of docs/configuration.md anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from services.analytics.settings import AnalyticsSettings
from services.intake.settings import IntakeSettings
from services.routing.settings import RoutingSettings
from services.sla.settings import SlaSettings
from shared.settings import KafkaSecurity, Settings
from tests.contract.wired import apps

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "services", "shared", "deploy", "tests", "requirements", ".ci")
BINARY = {".gz", ".png", ".xlsx", ".pyc"}
CONFIGURATION = ROOT / "docs" / "configuration.md"
SECTIONS: dict[str, type[BaseSettings]] = {
    "Every service": Settings,
    "A Kafka that asks who is there": KafkaSecurity,
    "intake": IntakeSettings,
    "routing": RoutingSettings,
    "sla": SlaSettings,
    "analytics": AnalyticsSettings,
}

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_ROW = re.compile(r"^\| `(CQM_\w+)` \| (.*?) \| (.*?) \| (.*?) \|$")


def text_files() -> list[Path]:
    """All that is kept in the repository and is text."""
    found = [path for path in ROOT.iterdir() if path.is_file() and path.suffix not in BINARY]
    for folder in FOLDERS:
        found += [
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix not in BINARY and "__pycache__" not in path.parts
        ]
    return sorted(found)


def pages() -> list[Path]:
    return [path for path in text_files() if path.suffix == ".md"]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- links -------------------------------------------------------------------------------------------


@cache
def anchors(page: Path) -> frozenset[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def broken_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            yield f"{link}: no such file"
        elif fragment and target.suffix == ".md" and fragment not in anchors(target):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, test in _TEST.findall(page.read_text()):
        path = ROOT / file
        assert path.exists(), file
        assert re.search(rf"def {test}\(", path.read_text()), f"{file} has no {test}"


# --- the two READMEs ---------------------------------------------------------------------------------


def shape(page: Path) -> list[str]:
    """Headings by their level, and blocks by their language; commands as they stand, comments left out."""
    found = []
    for part in re.findall(r"^```.*?^```$|^#+ ", page.read_text(), re.MULTILINE | re.DOTALL):
        language = part.splitlines()[0]
        if not language.startswith("```sh"):
            found.append(language)
            continue
        commands = (line.split("  #")[0].rstrip() for line in part.splitlines()[1:-1])
        found += [language, *(command for command in commands if command and not command.startswith("#"))]
    return found


def test_both_readmes_have_the_same_headings_blocks_and_commands() -> None:
    assert shape(ROOT / "README.zh.md") == shape(ROOT / "README.md")


def test_both_readmes_lead_to_the_same_places() -> None:
    def places(page: Path) -> set[str]:
        links = {link.partition("#")[0] for link in _LINK.findall(page.read_text())}
        return links - {"README.md", "README.zh.md", ""}

    assert places(ROOT / "README.zh.md") == places(ROOT / "README.md")


# --- the repository stands alone ---------------------------------------------------------------------

# In pieces, so that this file does not name what no file may name.
_HOSTS = [
    ".".join(pieces)
    for pieces in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("golang", "org"),
        ("crates", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
        ("hub", "docker", "com"),
        ("registry-1", "docker", "io"),
    )
]
_ELSEWHERE = re.compile(r"\b(?:DESIGN|DOMAIN|POLICY|API|PROMISES|FACTS|STYLE)\.md\b")
_WORKSHOP = re.compile(r"(?<![\w.~-])/" + "work" + r"(?![\w-])")
_UP_TO_SHARED = re.compile(r"(?:\.\./)+shared\b[\w./-]*")


def foreign(path: Path) -> Iterator[str]:
    """What a file says that means nothing outside the place where it was written."""
    text = path.read_text(errors="replace")
    yield from (host for host in _HOSTS if host in text)
    yield from set(_ELSEWHERE.findall(text)) | set(_WORKSHOP.findall(text))
    for reference in _UP_TO_SHARED.findall(text):
        target = (path.parent / reference.rstrip("/.")).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            yield reference


def test_nothing_points_to_a_place_outside_the_repository_or_to_a_package_registry() -> None:
    found = {_name(path): sorted(set(foreign(path))) for path in text_files()}
    assert {name: words for name, words in found.items() if words} == {}


# --- the interface -----------------------------------------------------------------------------------

SERVICES = ("intake", "routing", "sla", "analytics")
OF_EVERY_SERVICE = {"/livez", "/readyz"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_call_is_documented_and_no_other(service: str) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    written = next(part for part in page.split("\n## ") if part.startswith(f"{service} :"))
    told = {
        (method, re.sub(r"\{.*?\}", "{}", path))
        for row in re.findall(r"^\| (`[A-Z]+ /.*?`) \|", written, re.MULTILINE)
        for method, path in re.findall(r"`([A-Z]+) (/[^`?]+)", row)
    }
    served = {
        (method.upper(), re.sub(r"\{.*?\}", "{}", path))
        for path, methods in apps()[service].openapi()["paths"].items()
        for method in methods
        if path not in OF_EVERY_SERVICE
    }
    assert told == served


# --- settings ----------------------------------------------------------------------------------------


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = value.resolve().relative_to(ROOT)
    if value in ("", None):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    if field.annotation is bool:
        return "`true`, `false`"
    limits = []
    for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        limits += [f"{sign} {getattr(rule, name)}" for rule in field.metadata if hasattr(rule, name)]
    return ", ".join(limits) or "any"


def settings_of(section: str) -> dict[str, tuple[str, str, str]]:
    """Variable -> default, what is allowed, the field's description; a service's own and what it changes."""
    settings = SECTIONS[section]
    prefix = settings.model_config.get("env_prefix", "")
    shared = Settings.model_fields if issubclass(settings, Settings) and settings is not Settings else {}
    rows = {}
    for name, field in settings.model_fields.items():
        known: Any = shared.get(name)
        if known is None or known.default != field.default:
            rows[f"{prefix}{name}".upper()] = (_default(field), _allowed(field), field.description or "")
    return rows


def _sections(page: str) -> dict[str, dict[str, tuple[str, str, str]]]:
    found: dict[str, dict[str, tuple[str, str, str]]] = {}
    section = ""
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif row := _ROW.match(line):
            found.setdefault(section, {})[row[1]] = (row[2], row[3], row[4])
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_the_settings_are_documented_with_their_defaults_and_limits(section: str) -> None:
    written = _sections(CONFIGURATION.read_text()).get(section, {})
    expected = {name: row[:2] for name, row in settings_of(section).items()}
    assert {name: row[:2] for name, row in written.items()} == expected, "python -m tests.unit.test_docs"
    assert all(row[2].strip() for row in written.values()), "each setting says what it means"


def test_every_variable_that_the_code_reads_is_documented() -> None:
    page = CONFIGURATION.read_text()
    code = [path for path in text_files() if path.suffix in (".py", ".yml") and "tests" not in path.parts]
    named = {name for path in code for name in re.findall(r"\bCQM_[A-Z_]*[A-Z]\b", path.read_text())}
    assert sorted(name for name in named if name not in page) == []


def refreshed(page: str) -> str:
    """The page with defaults and limits as they are, and a row for each setting that it lacks."""
    lines: list[str] = []
    known: dict[str, tuple[str, str, str]] = {}
    missing: dict[str, tuple[str, str, str]] = {}

    def flush() -> None:
        place = max((n for n, line in enumerate(lines) if line.startswith("| ")), default=len(lines) - 1) + 1
        lines[place:place] = [f"| `{name}` | {d} | {a} | {m} |" for name, (d, a, m) in missing.items()]
        missing.clear()

    for line in page.splitlines():
        if line.startswith("## "):
            flush()
            known = settings_of(line[3:]) if line[3:] in SECTIONS else {}
            missing.update(known)
        elif (row := _ROW.match(line)) and row[1] in known:
            default, allowed, _ = known[row[1]]
            line = f"| `{row[1]}` | {default} | {allowed} | {row[4]} |"
            missing.pop(row[1], None)
        lines.append(line)
    flush()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    CONFIGURATION.write_text(refreshed(CONFIGURATION.read_text()))
