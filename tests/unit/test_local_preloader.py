"""Processes forked from one that has imported much: whose children they are, and what outlives what."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from deploy.local import preloader as module
from deploy.local.errors import PartFailed
from deploy.local.folder import DataFolder
from deploy.local.part import poll_until
from deploy.local.preloader import Preloader
from deploy.local.process import Child

PROGRAMS = {
    "large": "import os\nPID = os.getpid()",
    "tells": (
        "import large, os, sys\nprint(large.PID, os.getppid(), os.getsid(0), sys.argv[1:], dict(os.environ))"
    ),
    "fails": "raise ValueError('a bug')",
    "exits": "import sys\nsys.exit(3)",
    "sleeps": "import time\nprint('asleep', flush=True)\ntime.sleep(60)",
    "threads": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    for name, text in PROGRAMS.items():
        (tmp_path / f"{name}.py").write_text(text + "\n")
    return DataFolder(tmp_path / "data").create()


def preloading(folder: DataFolder, *modules: str) -> Preloader:
    return Preloader(modules, {**os.environ, "PYTHONPATH": str(folder.root.parent)}, folder)


@pytest.fixture
async def preloader(folder: DataFolder) -> AsyncIterator[Preloader]:
    made = preloading(folder, "large")
    await made.spawn()
    await made.until_ready(20)
    yield made
    await made.child.stop(1)


@pytest.fixture
async def child(folder: DataFolder, preloader: Preloader) -> AsyncIterator[Child]:
    made = Child("worker", log=folder.log("worker"), run_folder=folder.run, launch=preloader.launch)
    yield made
    await made.stop(1)


def start(child: Child, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> int:
    """Runs `python -m NAME ARGUMENTS`; returns the pid."""
    child.start([sys.executable, "-m", name, *arguments], env)
    assert child.pid is not None
    return child.pid


async def asleep(child: Child) -> None:
    async def is_asleep() -> bool:
        return "asleep" in child.log_tail()

    await poll_until(is_asleep, child, 20)


async def test_a_forked_process_has_the_imports_of_the_preloader_and_this_process_as_its_parent(
    preloader: Preloader, child: Child
) -> None:
    pid = start(child, "tells", "a", "b c", env={"ONLY": "this"})
    assert await child.wait() == 0
    assert child.log_tail() == f"{preloader.child.pid} {os.getpid()} {pid} ['a', 'b c'] {{'ONLY': 'this'}}"


@pytest.mark.parametrize(("name", "code", "words"), [("exits", 3, ""), ("fails", 1, "ValueError: a bug")])
async def test_how_a_forked_process_ends_is_told_as_of_any_other(
    child: Child, name: str, code: int, words: str
) -> None:
    start(child, name)
    assert await child.wait() == code
    assert child.log_tail().endswith(words)


async def test_a_forked_process_is_stopped_gently_and_a_late_signal_hits_nobody(child: Child) -> None:
    start(child, "sleeps")
    await asleep(child)
    assert await child.stop(20) == -signal.SIGTERM
    child.signal(signal.SIGKILL)
    assert child.exit_code == -signal.SIGTERM


async def test_a_forked_process_can_be_killed_the_moment_it_is_started(child: Child) -> None:
    for _ in range(10):
        start(child, "sleeps")
        assert await child.kill() == -signal.SIGKILL


def shown(pid: int) -> tuple[str, str]:
    """What `ps -o comm` and `ps -o args` show."""
    process = Path("/proc") / str(pid)
    return (process / "comm").read_text().strip(), (process / "cmdline").read_text().rstrip("\0")


async def test_what_ps_shows_names_the_process(child: Child) -> None:
    pid = start(child, "sleeps", "--long")
    await asleep(child)
    assert shown(pid) == ("cqm worker", f"cqm worker: {sys.executable} -m sleeps --long")


async def test_a_killed_preloader_harms_nobody_and_the_next_start_takes_the_long_way(
    preloader: Preloader, child: Child, folder: DataFolder
) -> None:
    start(child, "sleeps")
    await asleep(child)
    await preloader.child.kill()
    other = Child("other", log=folder.log("other"), run_folder=folder.run, launch=preloader.launch)
    pid = start(other, "tells", env={"PYTHONPATH": str(folder.root.parent)})
    assert await other.wait() == 0
    assert other.log_tail().startswith(f"{pid} {os.getpid()} ")
    assert child.running


async def test_a_preloader_is_started_again_like_any_other_part(preloader: Preloader, child: Child) -> None:
    await preloader.child.kill()
    await preloader.spawn()
    await preloader.until_ready(20)
    start(child, "tells")
    assert await child.wait() == 0
    assert child.log_tail().startswith(f"{preloader.child.pid} ")


async def test_a_preloader_that_hangs_is_killed_and_the_start_takes_the_long_way(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    frozen = preloading(folder, "large")
    await frozen.spawn()
    await frozen.until_ready(20)
    assert frozen.child.pid is not None
    frozen.child.signal(signal.SIGSTOP)
    child = Child("worker", log=folder.log("worker"), run_folder=folder.run, launch=frozen.launch)
    start(child, "exits", env={"PYTHONPATH": str(folder.root.parent)})
    assert await asyncio.gather(frozen.child.wait(), child.wait()) == [-signal.SIGKILL, 3]


@pytest.mark.parametrize(
    ("name", "words"), [("threads", "an import has started 1 threads"), ("fails", "ValueError: a bug")]
)
async def test_what_cannot_be_forked_from_says_why(folder: DataFolder, name: str, words: str) -> None:
    preloader = preloading(folder, name)
    await preloader.spawn()
    with pytest.raises(PartFailed, match=words):
        await preloader.until_ready(20)


async def test_anything_but_a_module_is_executed(child: Child) -> None:
    child.start(["sh", "-c", "exit 7"])
    assert await child.wait() == 7
