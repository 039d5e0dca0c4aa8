"""`cqm form`: lint, signed links, QR codes; and the secret that `cqm up` makes for them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from deploy.cli import build
from deploy.commands.terminal import FINDING, OK, USAGE, Failure
from deploy.local.folder import DataFolder
from deploy.local.plan import Plan, service_env
from shared.forms import Link, Signer
from tests.support.forms import SECRET, SHIPPED

ADDRESS = "https://cqm.example.org/feedback"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    for name in ("CQM_URL", "CQM_URL_INTAKE", "CQM_FORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CQM_PUBLIC_URL", ADDRESS)
    monkeypatch.setenv("CQM_SECRET", SECRET)
    yield monkeypatch


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(build(), ["form", *arguments])
    if isinstance(done.exception, Failure):
        return done.exception.code, done.exception.message
    return done.exit_code, done.output


def test_the_shipped_forms_pass() -> None:
    assert run("check", str(SHIPPED)) == (OK, "2 forms well, 0 refused\n")


def test_a_finding_has_its_file_and_line_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("title: t\nthanks: t\nset: {kind: rumour}\nfields: {}\n")
    code, said = run("check", str(tmp_path))
    assert code == FINDING and "bad.yaml:3: error: set.kind" in said
    code, said = run("check", str(tmp_path), "--json")
    assert code == FINDING and {finding["line"] for finding in json.loads(said)} >= {3}


def test_a_link_says_who_opens_it_and_is_signed() -> None:
    code, said = run("link", "complaint", "--customer", "C-9", "--order", "O-1", "--touchpoint", "delivery")
    parts = urlsplit(said.strip())
    assert (code, f"{parts.scheme}://{parts.netloc}{parts.path}") == (OK, f"{ADDRESS}/forms/complaint")
    (token,) = parse_qs(parts.query)["link"]
    assert Signer(SECRET).link(token, 1e12) == Link("complaint", "C-9", "O-1", "delivery")


def test_a_link_may_end_and_name_a_language() -> None:
    _, said = run("link", "satisfaction", "--customer", "C-9", "--days", "1", "--lang", "zh")
    query = parse_qs(urlsplit(said.strip()).query)
    link = Signer(SECRET).link(query["link"][0], 0)
    assert query["lang"] == ["zh"] and link is not None and link.until > 0


@pytest.mark.parametrize("days", ["1e12", "nan", "inf", "0", "-1", "3650.1"])
@pytest.mark.parametrize("command", ["link", "qr"])
def test_days_that_no_link_lasts_are_wrong_usage_and_the_limit_is_named(command: str, days: str) -> None:
    code, said = run(command, "complaint", "--customer", "C-9", "--days", days)
    assert (code, said) == (USAGE, "--days is a number from 0.001 to 3650")


def test_a_code_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    code, said = run("qr", "complaint", "--svg", str(tmp_path))
    assert (code, said) == (FINDING, f"{tmp_path} cannot be written: Is a directory")


def test_a_link_that_is_to_end_has_to_say_something() -> None:
    code, said = run("link", "complaint", "--days", "7")
    assert code == USAGE and said.startswith("--days needs --customer")


def test_a_link_that_says_nothing_needs_no_signature(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("CQM_SECRET")
    assert run("link", "complaint") == (OK, f"{ADDRESS}/forms/complaint\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["link", "nope"], "there is no form nope; there are complaint, satisfaction"),
        (["link", "complaint", "--lang", "de"], "--lang is zh or en"),
        (["link", "complaint", "--touchpoint", "mars"], "--touchpoint is none"),
        (["link", "complaint", "--customer", "x" * 201], "at most 200"),
        (["link", "complaint", "--order", "a\nb"], "one line"),
        (["check", "/nowhere.yaml"], "there is no /nowhere.yaml"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(arguments: list[str], why: str) -> None:
    code, said = run(*arguments)
    assert code == USAGE and why in said


@pytest.mark.parametrize(("secret", "why"), [("", "no secret to sign with"), ("short", "at least 16")])
def test_nothing_is_signed_without_a_secret(environment: pytest.MonkeyPatch, secret: str, why: str) -> None:
    environment.setenv("CQM_SECRET", secret)
    code, said = run("link", "complaint", "--customer", "C-9")
    assert code == USAGE and why in said


def test_links_are_signed_with_the_secret_of_the_data_folder(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("CQM_SECRET")
    secret = DataFolder(tmp_path).create().secret()
    _, said = run("link", "complaint", "--customer", "C-9", "--data-dir", str(tmp_path))
    (token,) = parse_qs(urlsplit(said.strip()).query)["link"]
    assert Signer(secret).link(token, 0) == Link("complaint", "C-9")


def test_a_code_is_drawn_or_written(tmp_path: Path) -> None:
    code, said = run("qr", "complaint")
    assert code == OK and said.endswith(f"{ADDRESS}/forms/complaint\n") and "█" in said
    file = tmp_path / "code.svg"
    assert run("qr", "complaint", "--svg", str(file))[0] == OK
    assert ElementTree.parse(file).getroot().tag.endswith("svg")


def test_the_secret_of_a_folder_stays_and_is_the_owners_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path).create()
    assert not folder.has_secret
    secret = folder.secret()
    assert len(secret) >= 32 and folder.secret() == secret
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize(("users", "expected"), [({}, "made"), ({"CQM_SECRET": ""}, "made"), (
    {"CQM_SECRET": "the user's own"}, "the user's own")])  # fmt: skip
def test_services_get_the_users_secret_else_the_folders(users: dict[str, str], expected: str) -> None:
    env = service_env(Plan(data_dir="/d"), "k", "m", 1, users, secret="made")
    assert env["CQM_SECRET"] == expected
