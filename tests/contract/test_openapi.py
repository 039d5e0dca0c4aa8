"""The committed OpenAPI is that of the services, and it is sound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.openapi import FOLDER, openapi
from tests.contract.wired import apps

METHODS = {"get", "post", "put", "patch", "delete"}


def operations(name: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, item in apps()[name].openapi()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_committed_files_are_those_of_the_services() -> None:
    written = openapi()
    assert {path.name for path in FOLDER.iterdir()} == written.keys(), "run `make docs`"
    for name, text in written.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name} is out of date: run `make docs`"


@pytest.mark.parametrize("name", apps())
def test_every_reference_leads_somewhere(name: str) -> None:
    document = apps()[name].openapi()

    def check(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                target: Any = document
                for part in reference.removeprefix("#/").split("/"):
                    target = target[part]
            for content in node.values():
                check(content)
        elif isinstance(node, list):
            for content in node:
                check(content)

    check(json.loads(json.dumps(document)))


@pytest.mark.parametrize("name", apps())
def test_every_operation_has_its_own_id_and_says_what_it_does(name: str) -> None:
    found = operations(name)
    assert len({operation["operationId"] for _, operation in found}) == len(found)
    assert [where for where, operation in found if not operation.get("summary")] == []


@pytest.mark.parametrize("name", apps())
def test_every_service_answers_the_probes_and_only_versioned_paths_besides(name: str) -> None:
    """Forms are pages for people: their addresses stand on posters and in letters, without a version."""
    paths = apps()[name].openapi()["paths"].keys()
    assert paths >= {"/livez", "/readyz"}
    assert [path for path in paths - {"/livez", "/readyz"} if not path.startswith(("/v1/", "/forms/"))] == []
