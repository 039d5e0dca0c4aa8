"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

import psutil
from rich.console import Console


def machine() -> dict[str, Any]:
    """Date, size and how busy it was with other things: no figure means anything without them."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "load_before": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def show_machine(console: Console, found: dict[str, Any]) -> None:
    load = ", ".join(f"{one:g}" for one in found["load_before"])
    console.print(
        f"{found['at']} - {found['cores']} cores, {found['memory_gb']} GB, {found['system']}, "
        f"Python {found['python']}; load before: {load}",
        highlight=False,
    )
