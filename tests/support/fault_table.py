"""What each fault run found, as one table at the end of the suite, and as JSON where CQM_FAULT_JSON says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.oracle import Broken

_NAME = "fault"
_COLUMNS = ("fault", "seconds", "acknowledged", "stored", "lost", "doubled", "early", "wrong", "recovery")


class Row(msgspec.Struct):
    """One fault run. `seconds` under load, `recovery` the longest until all from before a fault was done."""

    fault: str
    seconds: float
    acknowledged: int
    stored: int
    recovery: float | None = None
    lost: int = 0
    doubled: int = 0
    early: int = 0
    wrong: int = 0

    def count(self, broken: Iterable[Broken]) -> None:
        for one in broken:
            setattr(self, one.kind, getattr(self, one.kind) + one.count)

    def cells(self) -> list[str]:
        return [_cell(getattr(self, name)) for name in _COLUMNS]


def keep(node: pytest.Item, row: Row) -> None:
    """Send the row along with the test's report; it may run in a worker."""
    node.user_properties.append((_NAME, msgspec.json.encode(row).decode()))


class FaultTable:
    """The plugin of whoever has the terminal."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            found = (text for name, text in report.user_properties if name == _NAME)
            self._rows += [msgspec.json.decode(str(text), type=Row) for text in found]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._rows:
            return
        rows = [list(_COLUMNS), *(row.cells() for row in self._rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        terminalreporter.section("fault runs")
        for cells in rows:
            numbers = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)][1:]
            terminalreporter.write_line("  ".join([cells[0].ljust(widths[0]), *numbers]))
        if path := os.environ.get("CQM_FAULT_JSON"):
            Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(self._rows)))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
