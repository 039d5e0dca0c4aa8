"""The demo organisation, with room for a measurement: nobody's capacity ends, nothing falls due meanwhile.

The demo's people are full after some hundred cases, and its urgent cases are due within seconds. Then a run
would measure queues and escalations, whose number depends on how fast the machine is.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from shared.settings import DEMO_POLICY

ROOM = 100_000
"""The most that a policy may say."""
_SHORT = ("urgent", "city requests")


def write_policy(folder: Path) -> Path:
    """The policy in `folder`, which is made."""
    shutil.copytree(DEMO_POLICY, folder)
    people = _read(folder / "people.yaml")
    for person in people["people"].values():
        person["capacity"] = ROOM if "agent" in person["roles"] else 0
    _write(folder / "people.yaml", people)
    promises = _read(folder / "sla.yaml")
    promises["sla"] = [entry for entry in promises["sla"] if entry["name"] not in _SHORT]
    _write(folder / "sla.yaml", promises)
    return folder


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
