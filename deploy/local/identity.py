"""Which process a pid is. A pid alone is reused; with its start time and the boot it names one process."""

from __future__ import annotations

from pathlib import Path

GONE_STATES = frozenset("ZX")  # a zombie waits for its parent only: it runs no more


def identity(pid: int) -> str | None:
    """`BOOT:START_TICKS` of a live process, None when there is none (proc(5), stat: state, starttime)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the command name before it may hold blanks and brackets
    state, threads = fields[0], int(fields[17])
    # The first thread of a killed process is a zombie before the others have let go of its files and locks.
    if state in GONE_STATES and threads <= 1:
        return None
    return f"{_boot()}:{fields[19]}"


def is_alive(pid: int, known_identity: str) -> bool:
    return identity(pid) == known_identity


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
