"""Crash points: a place in the code where a fault test kills its own process, as kill -9 would.

`CQM_CRASH_AT=cqm.routing.feedback/committed` ends the process the first time that point is reached,
`...committed:5` the fifth time. Unset (always, but in fault tests), a point is one comparison.
"""

from __future__ import annotations

import os
import signal

POINTS = ("received", "decided", "in_transaction", "committed", "published", "offset_committed")

_wanted = ""
_left = 0


def arm() -> None:
    """Read CQM_CRASH_AT; called once by a process that serves."""
    global _wanted, _left
    _wanted, _, count = os.environ.get("CQM_CRASH_AT", "").partition(":")
    _left = int(count or 1)


def crash_point(group: str, point: str) -> None:
    """Die here by SIGKILL when the environment says so."""
    global _left
    if not _wanted or _wanted != f"{group}/{point}":
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
