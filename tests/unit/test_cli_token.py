"""`cqm token` and CQM_TOKEN: keys are made, shown once, listed without secrets, and taken away."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.cli import build
from deploy.commands.api import http_client
from deploy.commands.terminal import Failure
from shared.api_keys import Proof, read_keys

runner = CliRunner()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cqm" / "keys.yaml"


def token(file: Path, *arguments: str) -> Result:
    return runner.invoke(build(), ["token", *arguments], env={"CQM_KEYS": str(file)})


def made(file: Path, *arguments: str) -> str:
    result = token(file, "new", "shop", "--scope", "feedback:write", *arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout).strip()


def test_a_new_key_is_shown_once_and_kept_as_its_hash(file: Path) -> None:
    key = made(file, "--source", "shop-cn", "--rate", "50/s", "--burst", "5", "--scope", "imports")
    _, id, secret = key.split("_", 2)
    entry = read_keys(file)[id]
    assert Proof(entry.sha256).matches(secret) and secret not in file.read_text()
    assert (entry.name, entry.source, entry.rate, entry.burst) == ("shop", "shop-cn", "50/s", 5)
    assert entry.scopes == {"feedback:write", "imports"} and entry.expires is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_says_whose_it_is_and_where(file: Path) -> None:
    first = made(file, "--role", "agent", "--role", "supervisor", "--department", "logistics").split("_")[1]
    second = made(file).split("_")[1]
    known = read_keys(file)
    assert (known[first].roles, known[first].departments) == ({"agent", "supervisor"}, {"logistics"})
    assert (known[second].roles, known[second].departments) == (frozenset(), frozenset())
    listed = {entry["id"]: entry for entry in json.loads(token(file, "list", "--json").stdout)}
    assert listed[first]["roles"] == ["agent", "supervisor"] and listed[second]["departments"] == []
    assert "logistics" in token(file, "list").stdout


def test_keys_are_listed_without_what_would_let_anybody_in(file: Path) -> None:
    keys = [made(file), made(file, "--expires", "1h")]
    listed, as_json = token(file, "list"), token(file, "list", "--json")
    for key in keys:
        _, id, secret = key.split("_", 2)
        assert id in listed.stdout and secret not in listed.stdout + as_json.stdout
    assert {entry["id"] for entry in json.loads(as_json.stdout)} == {key.split("_")[1] for key in keys}
    assert "sha256" not in as_json.stdout


def test_a_revoked_key_is_gone_and_the_others_stay(file: Path) -> None:
    first, second = (made(file).split("_")[1] for _ in range(2))
    assert token(file, "revoke", first).exit_code == 0
    assert set(read_keys(file)) == {second}
    again = token(file, "revoke", first)
    assert isinstance(again.exception, Failure) and "there is no key" in again.exception.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("2127-01-31", datetime(2127, 1, 31, tzinfo=UTC)),
        ("2127-01-31T08:00:00+08:00", datetime(2127, 1, 31, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_span_or_a_time(file: Path, text: str, expected: timedelta | datetime) -> None:
    id = made(file, "--expires", text).split("_")[1]
    entry = read_keys(file)[id]
    assert entry.expires is not None
    end = entry.created + expected if isinstance(expected, timedelta) else expected
    assert abs(entry.expires - end) < timedelta(minutes=10)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--scope", "everything"),
        ("--rate", "fast"),
        ("--burst", "0"),
        ("--expires", "soon"),
        ("--expires", "9999d"),
        ("--expires", "0d"),
        ("--expires", "2020-01-01"),
        ("--source", "a\nb"),
        ("--role", "king"),
        ("--department", "a\nb"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage_and_makes_no_key(file: Path, arguments: tuple[str, ...]) -> None:
    result = token(file, "new", "shop", "--scope", "imports", *arguments)
    assert isinstance(result.exception, Failure) and result.exception.code == 2
    assert arguments[0] in result.exception.message
    assert not file.exists()


def test_keys_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = token(tmp_path / "file" / "keys.yaml", "new", "shop", "--scope", "imports")
    assert isinstance(result.exception, Failure) and result.exception.code == 1
    assert "keys.yaml cannot be written: " in result.exception.message


def test_a_role_in_departments_needs_one(file: Path) -> None:
    result = token(file, "new", "chen", "--scope", "cases:read", "--role", "agent")
    assert isinstance(result.exception, Failure) and result.exception.code == 2
    assert "--department: agent is a role in departments" in result.exception.message


def test_without_a_file_it_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CQM_KEYS", raising=False)
    result = runner.invoke(build(), ["token", "list"])
    assert result.exit_code == 2 and "--keys" in result.output


def test_two_who_make_keys_at_the_same_time_both_have_theirs(file: Path) -> None:
    from deploy.commands.token import new

    def make(n: int) -> None:
        new(f"k{n}", file, ["imports"], as_json=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(12)))
    assert {entry.name for entry in read_keys(file).values()} == {f"k{n}" for n in range(12)}


async def test_commands_say_who_calls_by_cqm_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CQM_TOKEN", raising=False)
    async with http_client("http://127.0.0.1:1") as client:
        assert "authorization" not in client.headers
    monkeypatch.setenv("CQM_TOKEN", "cqm_a_b")
    async with http_client("http://127.0.0.1:1") as client:
        assert client.headers["authorization"] == "Bearer cqm_a_b"
