"""`cqm sla preview`: a calendar drawn before it is used."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deploy.cli import build
from deploy.commands.sla import bar
from deploy.commands.terminal import USAGE, Failure

HOUR = 3600


def preview(*arguments: str) -> str:
    result = CliRunner().invoke(build(), ["sla", "preview", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_day_is_48_characters_and_a_part_of_half_an_hour_is_lighter() -> None:
    assert bar(()) == " " * 48
    assert bar(((0, 24 * HOUR),)) == "█" * 48
    assert bar(((9 * HOUR, 9 * HOUR + 900), (10 * HOUR, 11 * HOUR)))[18:22] == "▒ ██"


def test_a_make_up_saturday_and_the_spring_festival_are_drawn_with_their_reasons() -> None:
    days = json.loads(preview("office", "--from", "2026-02-13", "--days", "5", "--json"))["office"]["days"]
    assert [(day["rule"], day["seconds"] / HOUR) for day in days] == [
        ("weekly", 8), ("make-up", 8), ("weekly", 0), ("public holiday", 0), ("public holiday", 0),
    ]  # fmt: skip
    drawn = preview("office", "--from", "2026-02-13")
    assert len([line for line in drawn.splitlines() if "2026-02-" in line]) == 14
    assert "██████··██████████" in drawn and "public holiday" in drawn


def test_a_day_of_a_clock_change_has_its_real_hours() -> None:
    days = json.loads(preview("always", "--from", "2026-03-08", "--days", "1", "--json"))["always"]["days"]
    assert days[0]["seconds"] == 24 * HOUR  # UTC


def test_a_due_from_now_is_told_in_local_time_and_utc() -> None:
    due = json.loads(preview("office", "--due", "2bd", "--json"))["office"]["due"]
    assert due["due"].endswith("Z") and due["local"].endswith("+0800")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["moon"], "no such calendar"),
        (["office", "--from", "2026-02-30"], "--from is a day"),
        (["office", "--from", "9999-01-01"], "--from is a day"),
        (["office", "--due", "soon"], "--due"),
        (["office", "--due", "9999bd"], "--due"),
        (["office", "--policy", "/nowhere"], "there is no policy"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments: list[str], said: str) -> None:
    with pytest.raises(Failure, match=said) as caught:
        CliRunner().invoke(build(), ["sla", "preview", *arguments], catch_exceptions=False)
    assert caught.value.code == USAGE
