import os
import stat
from pathlib import Path

import pytest

from deploy.local.errors import FolderInUse, NotRunning
from deploy.local.folder import DataFolder, cache_dir, default_data_dir, write_atomically
from deploy.local.identity import identity, is_alive
from deploy.local.instance import Instance, read_instance, remove_instance, running_instance, write_instance


def an_instance(folder: DataFolder, pid: int, known_identity: str) -> Instance:
    return Instance(
        pid=pid,
        identity=known_identity,
        state="ready",
        started_at="2026-01-01T00:00:00Z",
        data_dir=str(folder.root),
        kafka="127.0.0.1:20001",
        mongo="mongodb://127.0.0.1:20002",
        urls={"intake": ["http://127.0.0.1:8001"]},
        processes=[],
    )


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "cqm").create()


def test_a_second_start_in_a_folder_is_refused_and_told_who_holds_it(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.folder.PATIENCE_SECONDS", 0.0)
    with (
        folder.locked(),
        pytest.raises(FolderInUse, match=f"in use by process {os.getpid()}(.|\n)*--data-dir"),
        DataFolder(folder.root).locked(),
    ):
        pass


def test_a_folder_is_free_again_when_its_holder_lets_go(folder: DataFolder) -> None:
    for _ in range(2):
        with folder.locked():
            pass


def test_files_are_replaced_whole_and_readable_by_the_owner_only(folder: DataFolder) -> None:
    file = folder.root / "plan.json"
    write_atomically(file, b"a longer first text")
    write_atomically(file, b"second")
    assert file.read_bytes() == b"second"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in folder.root.iterdir() if found.is_file()] == ["plan.json"]


def test_folders_follow_the_xdg_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.delenv("CQM_CACHE", raising=False)
    assert (default_data_dir(), cache_dir()) == (Path("/data/cqm"), Path("/cache/cqm"))
    monkeypatch.setenv("CQM_CACHE", "/elsewhere")
    assert cache_dir() == Path("/elsewhere")


def test_a_running_instance_is_found_with_its_addresses(folder: DataFolder) -> None:
    written = an_instance(folder, os.getpid(), identity(os.getpid()) or "")
    write_instance(folder, written)
    assert read_instance(folder.root) == written
    assert running_instance(folder.root).url("intake") == "http://127.0.0.1:8001"


def test_the_trace_of_a_killed_instance_is_not_taken_for_a_running_one(folder: DataFolder) -> None:
    write_instance(folder, an_instance(folder, os.getpid(), "another-boot:1"))
    assert read_instance(folder.root) is None
    with pytest.raises(NotRunning, match="cqm up"):
        running_instance(folder.root)


def test_a_stopped_instance_leaves_no_trace(folder: DataFolder) -> None:
    write_instance(folder, an_instance(folder, os.getpid(), identity(os.getpid()) or ""))
    remove_instance(folder)
    assert read_instance(folder.root) is None


def test_a_process_is_known_by_its_start_and_not_by_its_pid_alone() -> None:
    mine = identity(os.getpid())
    assert mine is not None
    assert is_alive(os.getpid(), mine)
    assert not is_alive(os.getpid(), mine + "0")
    assert identity(2**22 + 1) is None
