"""The demo organisation grown to a size: 30 rules, 200 people, and room for a measurement.

The demo's people are full after some hundred cases, and its urgent cases are due within seconds. Then a run
would measure queues and escalations, whose number depends on how fast the machine is.
"""

from __future__ import annotations

import shutil
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import yaml

from shared.settings import DEMO_POLICY

RULES = 30
PEOPLE = 200
ROOM = 100_000
"""The most that a policy may say."""
_SHORT = ("urgent", "city requests")
_GROWN = ("service", "logistics", "quality")
"""The departments that the workload's feedback goes to, and that the added people work in."""


def write_policy(folder: Path) -> Path:
    """The policy in `folder`, which is made."""
    shutil.copytree(DEMO_POLICY, folder)
    people = _read(folder / "people.yaml")
    people["people"] |= _more_people(people["people"])
    for person in people["people"].values():
        person["capacity"] = ROOM if "agent" in person["roles"] else 0
    _write(folder / "people.yaml", people)
    rules = _read(folder / "routing.yaml")
    rules["routing"] = _more_rules(RULES - len(rules["routing"])) + rules["routing"]
    _write(folder / "routing.yaml", rules)
    promises = _read(folder / "sla.yaml")
    promises["sla"] = [entry for entry in promises["sla"] if entry["name"] not in _SHORT]
    _write(folder / "sla.yaml", promises)
    return folder


def _more_people(there: dict[str, Any]) -> dict[str, Any]:
    """Colleagues of the demo's agents, with the skills and languages of one of them."""
    models = [one for one in there.values() if one["department"] in _GROWN and "agent" in one["roles"]]
    added = islice(cycle(models), PEOPLE - len(there))
    return {
        f"agent-{number}": model | {"name": f"Agent {number}", "email": f"agent-{number}@example.org"}
        for number, model in enumerate(added)
    }


def _more_rules(count: int) -> list[dict[str, Any]]:
    """Special cases before the general rules, as a policy grows them: every feedback is tried against all."""
    return [
        {
            "name": f"models of line {number}",
            "when": f"product.model == 'M{number}' && category.startsWith('quality')",
            "assign": {"department": "quality"},
        }
        for number in range(count)
    ]


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
