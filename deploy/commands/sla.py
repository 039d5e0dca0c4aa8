"""`cqm sla preview`: what a calendar of a policy does, drawn, before it is used."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from deploy.commands.terminal import USAGE, AsJson, Failure, line, out, plain, table, write_json

if TYPE_CHECKING:
    from shared.calendar import Calendar
    from shared.policy import Policy

HOUR = 3600
CELL = 1800
"""Seconds of a character: a day is 48 wide."""
_DAY = 24 * HOUR
_SHADES = " ░▒▓█"
_RULER = "".join(f"{hour:<8}" for hour in range(0, 24, 4))


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Promised times.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="sla")

    @group.callback()
    def _group() -> None:
        """Promised times."""

    @group.command()
    def preview(
        calendar: Annotated[
            str | None, typer.Argument(help="A calendar of the policy (default: each of them).")
        ] = None,
        policy: Annotated[
            Path | None, typer.Option(envvar="CQM_POLICY", help="Folder of a policy (default: the demo's).")
        ] = None,
        from_: Annotated[
            str | None, typer.Option("--from", help="First day, 2026-02-14 (default: today there).")
        ] = None,
        days: Annotated[int, typer.Option(min=1, max=366, help="How many days.")] = 14,
        due: Annotated[
            str | None, typer.Option(help="Also when such a target is due, 30m, 8h or 2bd, if begun now.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Draw the working time of the next 14 days. Nothing is changed, and no service is asked."""
        chosen = _chosen(_loaded(policy), calendar)
        first = _day(from_)
        shown = {name: _looked_at(one, first, days, due) for name, one in chosen.items()}
        if as_json:
            write_json(shown)
            return
        for name, one in shown.items():
            _show(name, one)


def _loaded(folder: Path | None) -> Policy:
    from shared.policy import load_policy
    from shared.settings import DEMO_POLICY

    place = folder or DEMO_POLICY
    if not place.exists():
        raise Failure(f"there is no policy {place}", "", USAGE)
    return load_policy(place)


def _chosen(policy: Policy, name: str | None) -> dict[str, Calendar]:
    if name is None:
        return dict(policy.calendars)
    if name not in policy.calendars:
        raise Failure(f"no such calendar; there are {', '.join(policy.calendars)}", "", USAGE)
    return {name: policy.calendars[name]}


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    from shared.calendar import FIRST_YEAR, LAST_YEAR

    try:
        day = date.fromisoformat(text)
        if FIRST_YEAR < day.year < LAST_YEAR - 1:
            return day
        raise ValueError(text)
    except ValueError:
        raise Failure(
            f"--from is a day, 2026-02-14, of the years {FIRST_YEAR + 1} to {LAST_YEAR - 2}", "", USAGE
        ) from None


def _looked_at(calendar: Calendar, first: date | None, days: int, due: str | None) -> dict[str, Any]:
    zone, now = ZoneInfo(calendar.time_zone), datetime.now(UTC)
    begin = first or now.astimezone(zone).date()
    rows = [_row(calendar, zone, begin + timedelta(days=n)) for n in range(days)]
    looked: dict[str, Any] = {
        "time_zone": calendar.time_zone,
        "business_day_seconds": calendar.day_seconds,
        "seconds": sum(row["seconds"] for row in rows),
        "days": rows,
    }
    if due is not None:
        looked["due"] = _due(calendar, zone, now, due)
    return looked


def _row(calendar: Calendar, zone: ZoneInfo, day: date) -> dict[str, Any]:
    """A day as the wall clock shows it; `seconds` are real ones, clock changes counted."""
    rule, hours = calendar.rule_on(day)
    start, end = (datetime.combine(day + timedelta(days=n), datetime.min.time(), zone) for n in (0, 1))
    return {
        "day": day.isoformat(),
        "rule": rule,
        "hours": [f"{_clock(opens)}-{_clock(closes)}" for opens, closes in hours],
        "seconds": calendar.elapsed(start, end),
        "bar": bar(hours),
    }


def _due(calendar: Calendar, zone: ZoneInfo, now: datetime, text: str) -> dict[str, str]:
    from shared.calendar import NoWorkingTime
    from shared.clock import rfc3339
    from shared.policy import Business

    try:
        moment = calendar.due(now, Business._validate(text).on(calendar))
    except (ValueError, NoWorkingTime) as error:
        raise Failure(f"--due: {error}", "", USAGE) from error
    return {"span": text, "begun": rfc3339(now), "due": rfc3339(moment), "local": _local(moment, zone)}


def bar(hours: tuple[tuple[int, int], ...]) -> str:
    """A day from midnight to midnight, a character for half an hour, darker the more of it is worked."""
    cells = []
    for start in range(0, _DAY, CELL):
        worked = sum(max(0, min(closes, start + CELL) - max(opens, start)) for opens, closes in hours)
        cells.append(_SHADES[-(-worked * (len(_SHADES) - 1) // CELL)])
    return "".join(cells)


def _clock(seconds: int) -> str:
    return f"{seconds // HOUR:02}:{seconds % HOUR // 60:02}"


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M:%S %z")


def _show(name: str, looked: dict[str, Any]) -> None:
    hours = looked["seconds"] / HOUR
    line(
        f"{plain(name)}: {looked['time_zone']}, {hours:g} h of work, "
        f"1bd is {looked['business_day_seconds'] / HOUR:g} h",
        "bold",
    )
    shown = table("day", _RULER, "hours", "why", right=("hours",))
    for row in looked["days"]:
        day = date.fromisoformat(row["day"])
        why = "" if row["rule"] == "weekly" else row["rule"]
        shown.add_row(
            f"{day:%a} {day}", row["bar"].replace(" ", "·"), f"{row['seconds'] / HOUR:g}", why,
            style=None if row["seconds"] else "dim",
        )  # fmt: skip
    out.print(shown)
    if "due" in looked:
        line(f"{looked['due']['span']} from now is due {looked['due']['local']} ({looked['due']['due']})")
    line()
