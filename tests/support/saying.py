"""Lines of a test for whoever reads the terminal: which servers, which figures; from any worker."""

from __future__ import annotations

from collections.abc import Generator

import pytest

_LINES = pytest.StashKey[list[str]]()
_NAME = "said"


def say(config: pytest.Config, line: str) -> None:
    """Show `line` when the step of the test that is running has ended."""
    config.stash.setdefault(_LINES, []).append(line)


class Saying:
    """The plugin: a worker sends what was said along with its report, who has a terminal shows it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        report.user_properties += [(_NAME, line) for line in item.config.stash.get(_LINES, [])]
        item.config.stash[_LINES] = []
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        for name, line in report.user_properties if reporter is not None else ():
            if name == _NAME:
                reporter.ensure_newline()
                reporter.write_line(str(line))
