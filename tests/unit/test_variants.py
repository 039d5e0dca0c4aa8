"""Mutants and the next version are the source with lines replaced: the lines have to be there."""

from __future__ import annotations

import ast

import pytest

from tests.support.mutants import ALL
from tests.support.next_version import PATCHES
from tests.support.variants import Patch, patched


@pytest.mark.parametrize("name", [*ALL, "next version"])
def test_every_patch_fits_the_source_and_leaves_python(name: str) -> None:
    """The fault matrix, which plays them, is not run with each change."""
    for file, text in patched(ALL.get(name, PATCHES)).items():
        ast.parse(text, file)


def test_a_patch_that_fits_nowhere_or_twice_is_told() -> None:
    for old in ("no such line", "import"):
        with pytest.raises(AssertionError, match=r"shared/crash\.py has this"):
            patched([Patch("shared/crash.py", old, "")])
