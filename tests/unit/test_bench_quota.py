"""A process is held to a part of a core for the length of a block, and free again afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import quota as module
from tests.bench.quota import PERIOD_US, NoQuota, quota


@pytest.fixture
def idle() -> Iterator[int]:
    """A process that does nothing until it is told to end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def groups_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


def test_a_process_is_in_a_group_of_its_own_and_leaves_it(idle: int) -> None:
    before = groups_of(idle)
    try:
        with quota(idle, 0.2):
            held = groups_of(idle)
    except NoQuota as error:
        pytest.skip(f"this system gives out no parts of cores: {error}")
    assert "cqm-bench-" in held
    assert groups_of(idle) == before


def test_a_process_that_ended_meanwhile_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            with quota(process.pid, 0.2):
                process.communicate(b"\n")
        except NoQuota as error:
            pytest.skip(f"this system gives out no parts of cores: {error}")


@pytest.mark.parametrize(
    ("files", "home", "settings"),
    [
        ({"cgroup.controllers": "cpuset cpu io"}, "", {"cpu.max": f"4000 {PERIOD_US}"}),
        (
            {"cpu/cgroup.procs": ""},
            "cpu",
            {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": "4000"},
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_both_versions_of_the_kernels_groups_are_known(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    home: str,
    settings: dict[str, str],
) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    where, values = module._way(0.2)
    assert where == tmp_path / home
    assert dict(values) == settings


def test_where_there_is_no_such_thing_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    with pytest.raises(NoQuota, match="no cpu controller"), quota(1, 0.2):
        pass
