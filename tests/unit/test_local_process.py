import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from deploy.local.errors import PartFailed
from deploy.local.identity import identity
from deploy.local.part import poll_until
from deploy.local.process import Child, RunFile, end_orphans, rotate


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[Child]:
    (tmp_path / "run").mkdir()
    made = Child("worker", log=tmp_path / "worker.log", run_folder=tmp_path / "run")
    yield made
    await made.stop(0.1)


async def never() -> bool:
    return False


async def test_what_a_process_writes_is_in_its_log_and_its_exit_code_is_told(child: Child) -> None:
    child.start(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert await child.wait() == 3
    assert (child.exit_code, child.running) == (3, False)
    assert child.log_tail().splitlines() == ["out", "err"]


async def test_a_process_runs_in_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(child: Child) -> None:
    child.start(["sleep", "60"])
    assert child.pid is not None
    assert os.getsid(child.pid) == child.pid != os.getsid(0)


async def test_a_stopped_process_ended_by_the_gentle_signal(child: Child) -> None:
    child.start(["sleep", "60"])
    assert await child.stop(10) == -signal.SIGTERM


async def test_a_process_that_ignores_the_gentle_signal_is_killed_after_its_grace(child: Child) -> None:
    child.start(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 60; done"])

    async def deaf() -> bool:
        return "deaf" in child.log_tail()

    await poll_until(deaf, child, 10)
    assert await child.stop(0.05) == -signal.SIGKILL


async def test_the_same_child_can_be_started_again_and_continues_its_log(child: Child) -> None:
    for word in ("first", "second"):
        child.start(["echo", word])
        assert await child.wait() == 0
    assert child.log_tail().splitlines() == ["first", "second"]


async def test_a_waiter_that_gives_up_does_not_disturb_the_others(child: Child) -> None:
    child.start(["sleep", "60"])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(child.wait(), 0.01)
    assert await child.kill() == -signal.SIGKILL


async def test_a_start_that_fails_says_so_with_the_last_words_of_the_process(child: Child) -> None:
    child.start(["sh", "-c", "echo port is taken; exit 1"])
    with pytest.raises(PartFailed, match=r"exit code 1(.|\n)*port is taken"):
        await poll_until(never, child, None)


async def test_a_process_that_never_gets_ready_is_given_up_after_its_time(child: Child) -> None:
    child.start(["sleep", "60"])
    with pytest.raises(PartFailed, match="not ready"):
        await poll_until(never, child, 0.05)


async def test_an_orphan_of_a_crashed_run_is_ended(child: Child, tmp_path: Path) -> None:
    child.start(["sleep", "60"])
    assert end_orphans(tmp_path / "run") == ["worker"]
    assert await child.wait() == -signal.SIGKILL
    assert end_orphans(tmp_path / "run") == []


def test_a_process_that_only_has_the_pid_of_an_orphan_is_left_alone(tmp_path: Path) -> None:
    mark = RunFile(os.getpid(), f"{identity(os.getpid())}0")
    (tmp_path / "worker.json").write_bytes(msgspec.json.encode(mark))
    assert end_orphans(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_a_log_that_grew_too_large_is_put_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.process.LOG_LIMIT_BYTES", 4)
    log = tmp_path / "worker.log"
    for text in ("older", "newer"):
        log.write_text(text)
        rotate(log)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("worker.log.1", "newer")]
