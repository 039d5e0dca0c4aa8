"""A policy that reads well and that a service cannot go by: the one before stays, no change is missed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

import pytest

from services.sla.domain.escalation import Roster
from shared import policy_in_force, watched_file
from shared.errors import Unavailable
from shared.policy import Policy, load_policy
from shared.policy_in_force import IN_FORCE, REFUSED, PolicyInForce
from tests.support.sla import policy

SMALL = Path(__file__).parents[1] / "data/policy/small.yaml"
TEXT = SMALL.read_text()


def named(name: str) -> str:
    """Another policy."""
    return TEXT.replace("causes: [", f"causes: [{name}, ", 1)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the log says of refusals; looks come one after the other."""
    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0)
    said: list[str] = []
    for module in (watched_file, policy_in_force):
        monkeypatch.setattr(module.log, "critical", lambda event, **_: said.append(event), raising=False)
    return said


def shown() -> set[str]:
    return {sample.labels["version"] for sample in IN_FORCE.collect()[0].samples}


async def test_a_policy_that_cannot_be_put_in_force_is_refused_and_the_next_is_looked_at(
    tmp_path: Path, told: list[str]
) -> None:
    """The failure ended the looking for good: not even the corrected file was read."""
    file = tmp_path / "policy.yaml"
    file.write_text(TEXT)
    in_force = PolicyInForce(tmp_path)
    first = in_force()
    asked: list[str] = []

    async def changed(policy: Policy) -> None:
        asked.append(policy.version)
        match len(asked):
            case 1:
                file.write_text(named("bad"))
            case 2:
                asyncio.get_running_loop().call_soon(asyncio.ensure_future, correct())
                raise ZoneInfoNotFoundError("no such zone")
            case _:
                raise asyncio.CancelledError

    async def correct() -> None:
        assert in_force() is first and shown() == {first.version}
        assert in_force.wrong == "cannot be put in force: ZoneInfoNotFoundError" and told == ["file_refused"]
        assert REFUSED.collect()[0].samples[0].value == 1
        file.write_text(named("corrected"))

    with pytest.raises(asyncio.CancelledError):
        await in_force.keep_fresh(changed)
    assert len(set(asked)) == 3 and in_force.wrong == ""
    assert in_force().version == asked[2] and shown() == {asked[2]}


async def test_where_the_first_one_fails_the_caller_hears_it_and_a_new_run_looks_first(
    tmp_path: Path, told: list[str]
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(TEXT)
    in_force = PolicyInForce(tmp_path)
    asked: list[str] = []

    async def changed(policy: Policy) -> None:
        asked.append(policy.version)
        raise ValueError

    for text in (named("corrected"), TEXT):
        with pytest.raises(ValueError):
            await in_force.keep_fresh(changed)
        file.write_text(text)
    assert len(set(asked)) == 2 and told == []


async def test_a_server_that_is_away_says_nothing_against_a_policy(tmp_path: Path, told: list[str]) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(TEXT)
    in_force = PolicyInForce(tmp_path)
    asked: list[str] = []

    async def changed(policy: Policy) -> None:
        asked.append(policy.version)
        file.write_text(named("new"))
        if len(asked) == 2:
            raise Unavailable("MongoDB")
        if len(asked) == 3:
            raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        await in_force.keep_fresh(changed)
    with pytest.raises(asyncio.CancelledError):
        await in_force.keep_fresh(changed)
    assert asked[0] != asked[1] == asked[2] and told == []


def test_who_is_told_goes_by_one_policy_as_a_whole() -> None:
    """The departments were the new policy's, and the zone of the quiet hours the old one's."""
    roster = Roster(policy())
    before = dict(vars(roster))
    zone = policy().organisation.model_copy(update={"time_zone": "Asia/Shangai"})
    with pytest.raises(ZoneInfoNotFoundError):
        roster.renew(replace(load_policy(SMALL), organisation=zone))
    assert vars(roster) == before
