"""Each benchmark starts by itself, as its first line says to start it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from shared.settings import DEMO_POLICY
from tests.bench.tutorial.measure import MODULES

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    file.stem for file in (ROOT / "tests" / "bench").glob("*.py") if "import typer" in file.read_text()
)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_says_how_it_is_used(name: str) -> None:
    module = "tests.bench" if name == "__main__" else f"tests.bench.{name}"
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize("name", sorted(MODULES.values()))
def test_the_tutorial_way_of_a_stage_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"CQM_KAFKA": "127.0.0.1:1", "CQM_MONGO": "mongodb://127.0.0.1:1", "CQM_POLICY": str(DEMO_POLICY)}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    import_module(name)
