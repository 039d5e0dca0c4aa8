"""Other versions of the services: a copy of the source with lines replaced, run as processes of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("services", "shared", "deploy")


class Patch(NamedTuple):
    """`old` stands once in the file (a path from the project's root) and becomes `new`."""

    file: str
    old: str
    new: str


def patched(patches: Iterable[Patch]) -> dict[str, str]:
    """The patched files as text. Fails where a patch does not fit the source any more."""
    files: dict[str, str] = {}
    for patch in patches:
        text = files.get(patch.file) or (ROOT / patch.file).read_text()
        assert text.count(patch.old) == 1, f"{patch.file} has this {text.count(patch.old)} times: {patch.old}"
        files[patch.file] = text.replace(patch.old, patch.new)
    return files


def variant(folder: Path, patches: Sequence[Patch], new: Mapping[str, str] | None = None) -> Path:
    """The copy's root, for Cluster.add; `new` are the files that it has besides, by their paths. Fails as
    `patched` does."""
    leave = shutil.ignore_patterns("__pycache__", "docker", "demo.csv")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=leave)
    for path, text in {**patched(patches), **(new or {})}.items():
        (folder / path).write_text(text)
    return folder
