"""Apache Kafka's jars: from KAFKA_HOME, else from the user's cache, else downloaded once by jgo."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag

from deploy.local.errors import RuntimeUnavailable
from deploy.local.folder import cache_dir

VERSION = "4.3.0"
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.apache.kafka:kafka-tools:{VERSION}"
DOWNLOAD_BYTES = 58_500_000  # jars and their descriptions, for the bar only
STAGING = "download"

Progress = Callable[[str, int, int], None]
"""(file name, bytes so far, bytes expected), called from the downloading thread."""


class Cancelled(Exception):
    """The caller has set the flag; what was downloaded so far is thrown away by the next download."""


def kafka_jars(progress: Progress, cancelled: Flag) -> list[Path]:
    """The class path, blocking. Raises RuntimeUnavailable when there is no way to have it, Cancelled."""
    home = os.environ.get("KAFKA_HOME")
    if home:
        return _jars_of_home(Path(home))
    folder = cache_dir() / f"kafka-{VERSION}"
    jars = folder / "jars"
    if not jars.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            if not jars.exists():
                _download(folder, jars, progress, cancelled)
    return sorted(jars.glob("*.jar"))


def _jars_of_home(home: Path) -> list[Path]:
    jars = sorted((home / "libs").glob("*.jar"))
    if not any(jar.name.startswith("kafka_2.13-") for jar in jars):
        raise RuntimeUnavailable(
            f"KAFKA_HOME is {home}, which holds no libs/kafka_2.13-*.jar",
            "point KAFKA_HOME at an unpacked Apache Kafka 4 (it has bin/, config/, libs/), or unset it",
        )
    return jars


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(folder: Path, jars: Path, progress: Progress, cancelled: Flag) -> None:
    """Into a staging folder that becomes `jars` in one rename: a killed download leaves nothing half."""
    if importlib.util.find_spec("jgo") is None:
        raise RuntimeUnavailable(f"Apache Kafka {VERSION} cannot be downloaded: the package jgo is missing")
    staging = folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        files = _resolve(staging, progress, cancelled)
    except (OSError, RuntimeError, ValueError) as error:  # what jgo and requests raise for network and disk
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
        raise RuntimeUnavailable(
            f"Apache Kafka {VERSION} could not be downloaded ({type(error).__name__}: {reason})"
        ) from error
    ready = staging / "jars"
    ready.mkdir()
    for file in files:
        shutil.copyfile(file, ready / file.name)
    ready.rename(jars)
    shutil.rmtree(staging)


def _resolve(staging: Path, progress: Progress, cancelled: Flag) -> list[Path]:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext, PythonResolver

    total = 0

    @contextmanager
    def watch(name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def add(count: int) -> None:
            nonlocal total
            if cancelled.is_set():
                raise Cancelled
            total += count
            progress(name, total, max(total, DOWNLOAD_BYTES))

        yield add

    mirrors = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    context = MavenContext(
        PythonResolver(progress_callback=watch), repo_cache=staging / "repository", remote_repos=mirrors
    )
    builder = EnvironmentBuilder(context, cache_dir=staging / "environment", link_strategy=LinkStrategy.HARD)
    return list(builder.from_endpoint(COORDINATES).all_jars)
