"""`cqm token`: API keys made, listed and revoked in the file that CQM_KEYS names (docs/security.md)."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.terminal import USAGE, AsJson, Failure, line, note, out, plain, table, write_json

if TYPE_CHECKING:
    from shared.api_keys import KeyEntry

File = Annotated[
    Path, typer.Option("--keys", envvar="CQM_KEYS", help="The file of keys.", show_default=False)
]
_OPTION = {"scopes": "scope", "roles": "role", "departments": "department"}
"""What may be said several times: field to option."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="API keys.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="token")
    group.command()(new)
    group.command("list")(show)
    group.command()(revoke)


def new(
    name: Annotated[str, typer.Argument(help="Who will use it; what it does is told under this name.")],
    keys: File,
    scope: Annotated[list[str], typer.Option("--scope", help="What it may do; repeatable.")],
    role: Annotated[
        list[str] | None, typer.Option(help="Whose it is (integration without one); repeatable.")
    ] = None,
    department: Annotated[list[str] | None, typer.Option(help="Where its roles hold; repeatable.")] = None,
    source: Annotated[str | None, typer.Option(help="The only source that its signals may name.")] = None,
    rate: Annotated[str | None, typer.Option(help="Requests and items of batches, 50/s, 10/min.")] = None,
    burst: Annotated[int | None, typer.Option(help="How many at once.")] = None,
    expires: Annotated[str | None, typer.Option(help="90d, 12h, or a time of RFC 3339.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once, here, and kept as a hash."""
    from shared.api_keys import digest_of, new_parts

    now, key = datetime.now(UTC), new_parts()
    ends = None if expires is None else _moment(expires, now)
    if ends is not None and ends <= now:
        raise Failure("--expires is over already: nobody could use the key", "", USAGE)
    entry = _entry(
        name=name, sha256=digest_of(key), scopes=scope, roles=role or (), departments=department or (),
        source=source, rate=rate, burst=burst, created=now,
        expires=ends,
    )  # fmt: skip
    with _changing(keys) as known:
        known[key.id] = entry
    if as_json:
        write_json({"id": key.id, "key": str(key), "keys": str(keys)})
        return
    line(str(key))
    note(f"kept as {key.id} in {keys}; it cannot be shown again. Services take it in within a second")


def show(keys: File, as_json: AsJson = False) -> None:
    """List the keys, without what would let anybody in."""
    from shared.api_keys import read_keys

    known = read_keys(keys)
    if as_json:
        write_json([{"id": id, **_told(entry)} for id, entry in known.items()])
        return
    shown = table("id", "name", "roles", "departments", "scopes", "source", "rate", "expires")
    now = datetime.now(UTC)
    for id, entry in known.items():
        expires = "" if entry.expires is None else f"{entry.expires:%Y-%m-%d %H:%M}"
        if entry.expired(now):
            expires += " (over)"
        words = (" ".join(sorted(few)) for few in (entry.roles, entry.departments, entry.scopes))
        shown.add_row(
            id, plain(entry.name), *map(plain, words), plain(entry.source or ""), entry.rate or "", expires
        )
    out.print(shown)


def revoke(
    id: Annotated[str, typer.Argument(help="Of the key, as `cqm token list` shows it.")], keys: File
) -> None:
    """Take a key away; services refuse it within a second."""
    with _changing(keys) as known:
        if known.pop(id, None) is None:
            raise Failure(f"there is no key {id} in {keys}", "`cqm token list` shows them", USAGE)
    note(f"revoked {id}")


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, KeyEntry]]:
    """The keys, to be changed by one command at a time; they are written when the block ends well."""
    from shared.api_keys import read_keys, write_keys

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = dict(read_keys(path)) if path.exists() else {}
            yield known
            write_keys(path, known)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror or error}") from error


def _entry(**given: Any) -> KeyEntry:
    from pydantic import ValidationError

    from shared.api_keys import KeyEntry

    try:
        return KeyEntry.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = first["msg"].removeprefix("Value error, ")
        field = str(first["loc"][0]) if first["loc"] else "departments"
        raise Failure(f"--{_OPTION.get(field, field)}: {reason}", "", USAGE) from error


def _told(entry: KeyEntry) -> dict[str, Any]:
    told = entry.model_dump(mode="json", exclude={"sha256"})
    return told | {name: sorted(told[name]) for name in _OPTION}


def _moment(text: str, now: datetime) -> datetime:
    from shared.policy.durations import Wall

    try:
        if re.fullmatch(Wall.pattern, text):
            return now + timedelta(seconds=Wall.parse(text).seconds)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Failure("--expires is 90d, 12h, or a time such as 2027-01-31T00:00:00Z", "", USAGE) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
