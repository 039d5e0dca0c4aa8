"""OpenAPI of the four services under shared/contracts/openapi: `python -m tests.contract.openapi` writes it.

It lives here because shared/ must not import the services.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.contract.wired import apps

FOLDER = Path(__file__).parents[2] / "shared/contracts/openapi"


def openapi() -> dict[str, str]:
    """The files by name: keys sorted, so that the order of routes and fields is no difference."""
    return {
        f"{name}.json": json.dumps(app.openapi(), ensure_ascii=False, sort_keys=True, indent=1) + "\n"
        for name, app in apps().items()
    }


def write(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in openapi().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
