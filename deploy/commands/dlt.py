"""`cqm dlt`: records that could not be done, why, and once more (docs/runbook.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deploy.commands.terminal import (
    FINDING,
    OK,
    USAGE,
    AsJson,
    DataDir,
    Failure,
    end,
    line,
    note,
    out,
    plain,
    program,
    run,
    table,
    write_json,
)
from deploy.commands.topics import kafka_of

if TYPE_CHECKING:
    from deploy.commands.letters import Found, Letters

T = TypeVar("T")
_SHOWN_BYTES = 4000

Ids = Annotated[list[str] | None, typer.Option("--id", help="A letter, by its id; repeatable.")]
OfTopic = Annotated[str | None, typer.Option("--topic", help="Records that came from this topic.")]
OfGroup = Annotated[str | None, typer.Option("--group", help="Records that this consumer group gave up.")]
OfReason = Annotated[str | None, typer.Option("--reason", help="Given up for this reason.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Dead letters.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="dlt")
    group.command("list")(show_all)
    group.command("show")(show_one)
    group.command()(replay)


def show_all(
    topic: OfTopic = None,
    group: OfGroup = None,
    reason: OfReason = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that were never replayed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many; JSON has all.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """What no service could do, and why. Exit code 1 when letters wait to be replayed."""
    wanted = _chosen(None, topic, group, reason)
    found = [one for one in _with_letters(data_dir, lambda letters: letters.all()) if wanted(one)]
    shown = [one for one in found if not (waiting and one.replayed)]
    if as_json:
        write_json([one.summary() for one in shown])
    else:
        _show(shown, limit)
    end(FINDING if any(not one.replayed for one in found) else OK)


def show_one(
    id: Annotated[str, typer.Argument(help="GROUP/TOPIC/PARTITION/OFFSET, as `list` shows it.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One letter whole: why, when, and the record as it was."""
    found = _with_letters(data_dir, lambda letters: _whole(letters, id))
    if as_json:
        write_json(_everything(found))
        return
    for name, value in found.summary().items():
        if value not in ("", None):
            line(f"{name:10} {plain(value)}")
    line(f"{'key':10} {plain(_text(found.letter.key))}")
    for header, content in found.letter.headers:
        line(f"{'header':10} {plain(header)}: {plain(_text(content))}")
    text = _text(found.letter.value)
    line()
    line(plain(text[:_SHOWN_BYTES]))
    if len(text) > _SHOWN_BYTES:
        note(f"cut after {_SHOWN_BYTES:,} of {len(text):,} characters; --json has all")


def replay(
    id: Ids = None,
    topic: OfTopic = None,
    group: OfGroup = None,
    reason: OfReason = None,
    everything: Annotated[bool, typer.Option("--all", help="Every letter.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Publish records to their topics again, once their cause is mended. Twice has one effect."""
    if not (id or topic or group or reason or everything):
        raise Failure("say which letters", "--id, --topic, --group, --reason, or --all", USAGE)
    wanted = _chosen(id, topic, group, reason)
    done = _with_letters(data_dir, lambda letters: _replay(letters, wanted, again, set(id or ())))
    if as_json:
        write_json(done)
    else:
        _show_replayed(done)
    end(FINDING if done["gone"] else OK)


def _chosen(
    ids: list[str] | None, topic: str | None, group: str | None, reason: str | None
) -> Callable[[Found], bool]:
    facts = {"topic": topic, "group": group, "reason": reason}
    return lambda found: (
        (not ids or found.letter.id in ids)
        and all(value in (None, found.letter.facts.get(name)) for name, value in facts.items())
    )


def _with_letters(data_dir: Any, work: Callable[[Letters], Coroutine[Any, Any, T]]) -> T:
    from deploy.commands.letters import opened_letters

    bootstrap, security = kafka_of(data_dir)

    async def opened() -> T:
        async with opened_letters(bootstrap, security) as letters:
            return await work(letters)

    return run(opened())


async def _whole(letters: Letters, id: str) -> Found:
    from dataclasses import replace

    from deploy.commands.letters import Gone

    for found in await letters.all():
        if found.letter.id == id:
            try:
                return replace(found, letter=await letters.whole(found.letter))
            except Gone as gone:
                raise Failure(str(gone)) from gone
    raise Failure(f"no dead letter {plain(id)}", f"`{program()} dlt list` shows them")


async def _replay(
    letters: Letters, wanted: Callable[[Found], bool], again: bool, named: set[str]
) -> dict[str, Any]:
    """A letter named by its id has to be there; nothing is published when one is not."""
    from deploy.commands.letters import Gone

    found = await letters.all()
    if unknown := sorted(named - {one.letter.id for one in found}):
        raise Failure(f"no dead letter {plain(unknown[0])}", "nothing was replayed")
    chosen = [one for one in found if wanted(one)]
    done: dict[str, Any] = {"replayed": [], "before": 0, "gone": []}
    for one in chosen:
        if one.replayed and not again:
            done["before"] += 1
            continue
        try:
            await letters.replay(one.letter)
        except Gone as gone:
            done["gone"].append(str(gone))
        else:
            done["replayed"].append(one.letter.id)
    return done


def _everything(found: Found) -> dict[str, Any]:
    letter = found.letter
    headers = [{"name": name, "value": _maybe(content)} for name, content in letter.headers]
    return found.summary() | {"key": _maybe(letter.key), "value": _maybe(letter.value), "headers": headers}


def _maybe(content: bytes | None) -> str | None:
    return None if content is None else _text(content)


def _text(content: bytes | None) -> str:
    """Bytes that are no text as \\x.."""
    return "(null)" if content is None else content.decode("utf-8", "backslashreplace")


def _show(found: list[Found], limit: int) -> None:
    if not found:
        line("no dead letters", "green")
        return
    shown = table("id", "at", "reason", "what is wrong", "replayed")
    for one in found[-limit:]:
        facts = one.letter.facts
        columns = (one.letter.id, facts.get("at", ""), facts["reason"], facts.get("detail", ""))
        shown.add_row(*map(plain, columns), one.replayed or "-")
    out.print(shown)
    if len(found) > limit:
        note(f"the newest {limit:,} of {len(found):,}; --limit shows more")
    counts = Counter(one.letter.facts["reason"] for one in found if not one.replayed)
    told = ", ".join(f"{count} {plain(reason)}" for reason, count in counts.most_common()) or "none"
    line(f"waiting to be replayed: {told}")


def _show_replayed(done: dict[str, Any]) -> None:
    line(f"{len(done['replayed']):,} replayed")
    if done["before"]:
        note(f"{done['before']:,} were replayed before and left alone; --again takes them, too")
    for gone in done["gone"]:
        note(plain(gone), "red")
    if done["replayed"]:
        note(f"a record that fails again has a new letter: `{program()} dlt list --waiting`")
