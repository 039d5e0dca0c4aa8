"""What is committed under shared/contracts and docs/topics.md is what the code says, and only grows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared import contracts
from shared.contracts.json_schema import event_schemas
from shared.events import EVENTS

ROOT = Path(__file__).parents[2]
AGAIN = "run `make docs`"


def test_the_committed_contracts_are_those_of_the_code(tmp_path: Path) -> None:
    written = [path.relative_to(tmp_path) for path in contracts.write(tmp_path)]
    assert len(written) == len(EVENTS) + 2
    for path in written:
        assert (ROOT / path).is_file(), f"{path} is missing: {AGAIN}"
        committed = (ROOT / path).read_text(encoding="utf-8")
        assert committed == (tmp_path / path).read_text(encoding="utf-8"), f"{path} is out of date: {AGAIN}"


def test_no_schema_is_left_of_an_event_that_is_gone() -> None:
    committed = {path.name for path in (ROOT / "shared/contracts").glob("cqm.*.schema.json")}
    assert committed == {f"{event.type}.schema.json" for event in EVENTS}


def test_the_contracts_only_grow_since_the_last_release() -> None:
    released = contracts.last_released()
    assert released, "there is a release to compare with"
    assert [str(one) for one in contracts.breaks_of_all(released, event_schemas())] == []


def test_the_last_release_is_the_highest_version_not_the_last_name(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "drafts"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "cqm.x.v1.schema.json").write_text(json.dumps({"title": version}))
    assert contracts.last_released(tmp_path) == {"cqm.x.v1": {"title": "0.10.0"}}


def test_a_release_keeps_the_schemas_once_and_for_all(tmp_path: Path) -> None:
    assert len(contracts.release(tmp_path, "0.2.0")) == len(EVENTS)
    assert contracts.last_released(tmp_path / "shared/contracts/released") == event_schemas()
    with pytest.raises(ValueError, match="never change"):
        contracts.release(tmp_path, "0.2.0")
    with pytest.raises(ValueError, match=r"MAJOR\.MINOR\.PATCH"):
        contracts.release(tmp_path, "../0.2.0")
