"""The generated files, as text by path, and the writing of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from shared.contracts.asyncapi import asyncapi
from shared.contracts.json_schema import Schema, event_schemas
from shared.contracts.topic_table import topic_table

FOLDER = "shared/contracts"
RELEASED = Path(__file__).parent / "released"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def documents() -> dict[str, str]:
    """Every generated file by its path in the repository: the same code gives the same bytes."""
    schemas = {f"{FOLDER}/{name}.schema.json": _json_text(schema) for name, schema in event_schemas().items()}
    described = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=110)
    head = "# Written by `python -m shared.contracts` from shared/events.py and shared/topics.py.\n"
    return schemas | {f"{FOLDER}/asyncapi.yaml": head + described, "docs/topics.md": topic_table()}


def write(root: Path) -> list[Path]:
    """Write every generated file below `root`; returns their paths."""
    return [_write(root / path, text) for path, text in documents().items()]


def release(root: Path, version: str) -> list[Path]:
    """Keep today's schemas as those of `version`, below `root`.

    Raises ValueError for something other than MAJOR.MINOR.PATCH, and for a version that is kept already: what
    was released stays as it was.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError("a release is MAJOR.MINOR.PATCH, such as 0.2.0")
    folder = root / FOLDER / "released" / version
    if folder.exists():
        raise ValueError(f"the schemas of {version} are kept already and never change")
    return [
        _write(folder / f"{name}.schema.json", _json_text(schema)) for name, schema in event_schemas().items()
    ]


def last_released(released: Path = RELEASED) -> dict[str, Schema]:
    """The schemas of the highest released version, by event type; empty before the first release."""
    versions = [folder for folder in released.iterdir() if _VERSION.fullmatch(folder.name)]
    if not versions:
        return {}
    newest = max(versions, key=lambda folder: tuple(int(part) for part in folder.name.split(".")))
    return {
        file.name.removesuffix(".schema.json"): json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(newest.glob("*.schema.json"))
    }


def _json_text(schema: Schema) -> str:
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
