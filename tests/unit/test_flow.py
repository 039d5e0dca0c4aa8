"""Links of the documents into the code: [`symbol`](../path.py#L54) names the line that defines the symbol.

`python -m tests.unit.test_flow` writes the numbers anew after the code has moved.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOW = ROOT / "docs" / "flow.md"
SEVEN = (
    "services/intake/api/routes.py",
    "shared/events.py",
    "services/routing/handlers.py",
    "services/routing/domain/opening.py",
    "services/sla/handlers.py",
    "services/sla/domain/following.py",
    "services/analytics/handlers.py",
)
_LINK = re.compile(r"\[`([\w.]+)`\]\(([\w./-]+\.py)#L(\d+)\)")
_ANCHOR = re.compile(r"\]\([^)\s]+\.py#")


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@cache
def definitions(file: Path) -> dict[str, int]:
    """Qualified name -> line, of functions, classes and what a module or class assigns."""
    return dict(_defined(ast.parse(file.read_text()), ""))


def _defined(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + child.name, child.lineno
            yield from _defined(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from ((prefix + name.id, child.lineno) for name in targets if isinstance(name, ast.Name))


def wrong(page: Path, text: str) -> Iterator[str]:
    """What is not so: each link with what it should be."""
    for symbol, path, line in _LINK.findall(text):
        file = (page.parent / path).resolve()
        place = definitions(file).get(symbol) if file.exists() else None
        if place != int(line):
            yield f"{symbol} in {path}: " + (
                "is not there" if place is None else f"is at L{place}, not L{line}"
            )


def refreshed(page: Path, text: str) -> str:
    """The text with every line number as it is; a symbol that is gone keeps its old one, which fails."""

    def anew(link: re.Match[str]) -> str:
        file = (page.parent / link[2]).resolve()
        place = definitions(file).get(link[1], int(link[3])) if file.exists() else link[3]
        return f"[`{link[1]}`]({link[2]}#L{place})"

    return _LINK.sub(anew, text)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_into_the_code_is_at_the_line_of_its_symbol(page: Path) -> None:
    text = page.read_text()
    assert list(wrong(page, text)) == [], "python -m tests.unit.test_flow"
    assert len(_ANCHOR.findall(text)) == len(_LINK.findall(text)), "a link to a line names the symbol there"


def test_the_flow_leads_through_seven_files_in_their_order() -> None:
    headings = re.findall(r"^## \d \[`([\w./]+)`\]", FLOW.read_text(), re.MULTILINE)
    assert tuple(headings) == SEVEN


def test_every_section_of_the_flow_shows_a_line_of_its_own_file() -> None:
    sections = re.split(r"^## ", FLOW.read_text(), flags=re.MULTILINE)[1:]
    for file, section in zip(SEVEN, sections, strict=False):
        assert any(path.endswith(file) for _, path, _ in _LINK.findall(section)), file


def test_a_link_that_is_off_is_noticed_and_put_right() -> None:
    text = "[`on_feedback_received`](../services/routing/handlers.py#L1)"
    assert list(wrong(FLOW, text))
    assert not list(wrong(FLOW, refreshed(FLOW, text)))
    assert list(wrong(FLOW, "[`nowhere`](../services/routing/handlers.py#L1)"))


if __name__ == "__main__":
    for page in pages():
        page.write_text(refreshed(page, page.read_text()))
