"""A small office as plain data: as a policy for the code, as dictionaries for the model that checks it."""

from __future__ import annotations

import json
import tempfile
from copy import deepcopy
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from shared.policy import Policy, load_policy

Office = dict[str, Any]
ACKNOWLEDGE = timedelta(hours=2)
"""Business time; the people of the night work from 20:00 to 24:00 UTC, the others always."""
CLOSE_AFTER, REOPEN_WITHIN, JOIN_WITHIN = timedelta(days=2), timedelta(days=3), timedelta(hours=4)
NIGHT = 20
WEIGHT = {"P1": 3, "P2": 2, "P3": 1, "P4": 1}
MATRIX = {
    ("critical", "high"): "P1", ("critical", "medium"): "P1", ("critical", "low"): "P2",
    ("high", "high"): "P1", ("high", "medium"): "P2", ("high", "low"): "P3",
    ("medium", "high"): "P2", ("medium", "medium"): "P3", ("medium", "low"): "P4",
    ("low", "high"): "P3", ("low", "medium"): "P4", ("low", "low"): "P4",
}  # fmt: skip
SEVERITIES = ("critical", "high", "medium", "low")
URGENCIES = ("high", "medium", "low")
CAUSES = ("carrier", "unknown")

USUAL: Office = {
    "departments": {
        "goods": {"head": "gina", "supervisor": "gus", "backup": "help"},
        "bills": {"head": "bea", "supervisor": "bob"},
        "help": {"supervisor": "hal"},
    },
    "people": {
        "ann": {
            "department": "goods", "skills": ["glass"], "languages": ["zh"], "capacity": 3, "backup": "abe",
        },
        "abe": {"department": "goods", "skills": ["glass"], "capacity": 2, "backup": "ann"},
        "art": {"department": "goods", "capacity": 3},
        "ben": {"department": "bills", "capacity": 2},
        "bix": {"department": "bills", "languages": ["en"], "capacity": 4, "calendar": "night"},
        "hue": {"department": "help", "capacity": 2},
        "hay": {"department": "help", "languages": ["zh", "en"], "capacity": 3, "calendar": "night"},
    },
}  # fmt: skip


def _changed(**people: dict[str, Any] | None) -> Office:
    """The usual office with other people; None has left."""
    office = deepcopy(USUAL)
    for name, person in people.items():
        if person is None:
            del office["people"][name]
        else:
            office["people"][name] = person
    return office


def _closed(department: str, **people: dict[str, Any] | None) -> Office:
    office = _changed(**people)
    del office["departments"][department]
    for other in office["departments"].values():
        if other.get("backup") == department:
            del other["backup"]
    return office


OFFICES: tuple[Office, ...] = (
    USUAL,
    _changed(ann=None),
    _changed(art={"department": "bills", "capacity": 3}, ben={"department": "help", "capacity": 1}),
    _changed(hue={"department": "help", "capacity": 6}, ben={"department": "bills", "capacity": 1}),
    _closed("goods", ann=None, art=None, abe={"department": "help", "capacity": 2}),
    _closed("bills", ben=None, bix=None),
)
CROWD: Office = {
    "departments": USUAL["departments"],
    "people": {
        "ann": {
            "department": "goods", "skills": ["glass"], "languages": ["zh"], "capacity": 8, "backup": "abe",
        },
        "abe": {"department": "goods", "skills": ["glass"], "capacity": 8, "backup": "ann"},
        "ash": {"department": "goods", "skills": ["glass"], "languages": ["en"], "capacity": 8},
        **{name: {"department": "goods", "capacity": 8} for name in ("art", "amy")},
        **{name: {"department": "bills", "capacity": 8} for name in ("ben", "bix", "bao")},
        **{name: {"department": "help", "capacity": 8} for name in ("hue", "hay", "han", "hei")},
    },
}  # fmt: skip
"""Twelve people for an afternoon with many hands."""
RULES = (
    ("glass", "category == 'goods.glass'", "goods", ["glass"]),
    ("goods", "category.startsWith('goods')", "goods", []),
    ("bills", "category == 'bills'", "bills", []),
    ("rest", None, "help", []),
)
"""In their order: name, condition, department, skills. Where a department is not there, its rules are not."""
CATEGORIES = ("goods.glass", "goods.late", "bills", "other")
HEIR = "help"


def rule_of(office: Office, category: str) -> tuple[str, tuple[str, ...]]:
    """The department and the skills that a case of this category asks for."""
    if category.startswith("goods") and "goods" in office["departments"]:
        return "goods", ("glass",) if category == "goods.glass" else ()
    return ("bills", ()) if category == "bills" and "bills" in office["departments"] else (HEIR, ())


def document_of(office: Office, open_when: str = "kind == 'complaint'") -> str:
    """The office as a policy file; JSON is YAML."""
    return json.dumps({
        "organisation": {"name": "Small", "time_zone": "UTC"},
        "calendars": {
            "always": {"time_zone": "UTC", "weekly": {"mon-sun": ["00:00-24:00"]}},
            "night": {"time_zone": "UTC", "weekly": {"mon-sun": [f"{NIGHT}:00-24:00"]}},
        },
        "departments": {
            name: {"name": name, "calendar": "always", **given}
            for name, given in office["departments"].items()
        },
        "people": {name: {"name": name, **given} for name, given in office["people"].items()},
        "load": WEIGHT,
        "categories": {name: {} for name in CATEGORIES},
        "causes": list(CAUSES),
        "cases": {
            "open_when": open_when,
            "join": {"same": ["customer.id", "category"], "within": _hours(JOIN_WITHIN)},
            "reopen_within": _hours(REOPEN_WITHIN),
            "close_after": _hours(CLOSE_AFTER),
            "acknowledge_within": _hours(ACKNOWLEDGE),
            "priority": {"raise_for": ["customer.tier == 'gold'"]},
        },
        "routing": [
            {"name": name, "assign": {"department": department, "skills": skills}} | _when(condition)
            for name, condition, department, skills in RULES
            if department in office["departments"]
        ],
    })  # fmt: skip


@lru_cache
def policy_of(place: int) -> Policy:
    """The policy of OFFICES[place]."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        file.write_text(document_of(OFFICES[place]))
        return load_policy(file)


def _hours(span: timedelta) -> str:
    return f"{int(span.total_seconds() // 3600)}h"


def _when(condition: str | None) -> dict[str, str]:
    return {"when": condition} if condition else {}


def begins(person: dict[str, Any], now: datetime) -> datetime:
    """When the person's working time begins: now for who is at work."""
    if "calendar" not in person or now.hour >= NIGHT:
        return now
    return now.replace(hour=NIGHT, minute=0, second=0, microsecond=0)


def acknowledge_by(person: dict[str, Any], now: datetime) -> datetime:
    """ACKNOWLEDGE of the person's own working time from now on."""
    start = begins(person, now)
    end = start + ACKNOWLEDGE
    if "calendar" in person and end.date() > start.date() and end.hour + end.minute + end.second:
        return end + timedelta(hours=NIGHT)  # the rest of it is tomorrow night's
    return end
