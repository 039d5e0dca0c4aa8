"""`cqm import` against an intake of the test's own making: every row is accounted for, whatever happens."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.commands import sending
from deploy.commands.csv_table import opened_table
from deploy.commands.feeding import batches, feed
from deploy.commands.rejects import Rejected, RejectsFile, safe
from deploy.commands.resume import Bookmark, Position, key_of
from deploy.commands.sending import Sender
from deploy.commands.terminal import Failure
from shared.mapping import load_mapping

MAPPING = """\
source: shop
set: {kind: complaint}
fields:
  external_id: id
  text: words
  occurred_at: {column: at, format: "%Y-%m-%d", zone: UTC}
"""
Answer = Callable[[list[dict[str, Any]]], httpx.Response]


@pytest.fixture
def mapping_file(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(MAPPING)
    return file


def table_of(tmp_path: Path, content: bytes | str) -> Path:
    file = tmp_path / "data.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def take_all(bodies: list[dict[str, Any]]) -> httpx.Response:
    return httpx.Response(202, json={"accepted": len(bodies), "rejected": 0, "items": []})


async def imported(
    tmp_path: Path, mapping_file: Path, file: Path, answer: Answer = take_all, start: Position | None = None
) -> tuple[Position, list[dict[str, Any]]]:
    """The import of a file; where it ended, and all that intake was sent."""
    sent: list[dict[str, Any]] = []

    def intake(request: httpx.Request) -> httpx.Response:
        bodies = [json.loads(body) for body in request.content.split(b"\n")]
        sent.extend(bodies)
        return answer(bodies)

    mapping = load_mapping(str(mapping_file), tmp_path)
    begin = start or Position()
    with opened_table(file, mapping.columns) as table:
        rejects = RejectsFile(tmp_path / "rejects.csv", table.header, begin.rejects_bytes)
        async with httpx.AsyncClient(transport=httpx.MockTransport(intake)) as client:
            sender = Sender(client, "http://intake", lambda why: None)
            source = batches(table, mapping, begin.rows)
            position = await feed(source, sender, lambda *_: None, begin, rejects=rejects)
        rejects.close()
    return position, sent


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "pause", lambda attempt: 0.0)


def rejected_rows(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_the_delimiter_is_the_one_by_which_the_columns_are_there(
    tmp_path: Path, mapping_file: Path, delimiter: str
) -> None:
    rows = [["id", "words", "at"], ["1", "late, again; really", "2026-03-02"]]
    text = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    position, sent = await imported(tmp_path, mapping_file, table_of(tmp_path, "\ufeff" + text))
    assert position == Position(rows=1, accepted=1)
    assert sent[0]["text"] == "late, again; really"
    assert sent[0]["occurred_at"] == "2026-03-02T00:00:00+00:00"


async def test_rows_that_cannot_be_mapped_are_told_by_row_and_column(
    tmp_path: Path, mapping_file: Path
) -> None:
    file = table_of(tmp_path, 'id,words,at\n1,"a\nb",2026-03-02\n\n2,b,yesterday\n3,c\n4,d,2026-03-02,x\n')
    position, sent = await imported(tmp_path, mapping_file, file)
    assert [body["external_id"] for body in sent] == ["1"]
    assert position == Position(rows=5, accepted=1, rejected=3, rejects_bytes=position.rejects_bytes)
    told = [(row["rejected_row"], row["rejected_column"]) for row in rejected_rows(tmp_path)]
    assert told == [("4", "at"), ("5", "at"), ("6", "")]


async def test_rows_that_intake_refuses_are_written_with_pointer_and_reason(
    tmp_path: Path, mapping_file: Path
) -> None:
    def refuse_second(bodies: list[dict[str, Any]]) -> httpx.Response:
        errors = [{"pointer": "/text", "message": "is too long", "limit": 5}]
        item = {"index": 1, "problem": {"detail": "It does not fit.", "errors": errors}}
        return httpx.Response(207, json={"accepted": 1, "rejected": 1, "items": [item]})

    file = table_of(tmp_path, "id,words,at\n1,a,2026-03-02\n2,=cmd(),2026-03-02\n")
    position, _ = await imported(tmp_path, mapping_file, file, refuse_second)
    assert (position.accepted, position.rejected) == (1, 1)
    assert rejected_rows(tmp_path) == [
        {
            "id": "2", "words": "'=cmd()", "at": "2026-03-02", "rejected_row": "3",
            "rejected_column": "/text", "rejected_reason": "/text is too long (limit 5)",
        }
    ]  # fmt: skip


async def test_a_batch_is_sent_again_until_intake_has_answered(tmp_path: Path, mapping_file: Path) -> None:
    answers = iter([503, 429, 502])

    def busy_at_first(bodies: list[dict[str, Any]]) -> httpx.Response:
        for status in answers:
            if status == 502:
                raise httpx.ConnectError("refused")
            return httpx.Response(status)
        return take_all(bodies)

    file = table_of(tmp_path, "id,words,at\n1,a,2026-03-02\n")
    position, sent = await imported(tmp_path, mapping_file, file, busy_at_first)
    assert position == Position(rows=1, accepted=1)
    assert [body["external_id"] for body in sent] == ["1"] * 4


async def test_a_batch_that_is_refused_as_such_ends_the_import(tmp_path: Path, mapping_file: Path) -> None:
    file = table_of(tmp_path, "id,words,at\n1,a,2026-03-02\n")
    with pytest.raises(Failure, match=r"intake refused a batch \(415\): wrong type"):
        await imported(
            tmp_path,
            mapping_file,
            file,
            lambda _: httpx.Response(415, json={"detail": "wrong type"}),
        )


async def test_an_interrupted_import_goes_on_after_its_last_settled_batch(
    tmp_path: Path, mapping_file: Path
) -> None:
    rows = "".join(f"{n},a,{'2026-03-02' if n % 100 else 'never'}\n" for n in range(1, 2501))
    file = table_of(tmp_path, "id,words,at\n" + rows)
    bookmark, seen = Bookmark(tmp_path, "key"), 0

    def intake(request: httpx.Request) -> httpx.Response:
        nonlocal seen
        seen += 1
        if seen > 1:
            return httpx.Response(400, json={"detail": "enough"})
        return take_all(request.content.split(b"\n"))  # type: ignore[arg-type]

    mapping = load_mapping(str(mapping_file), tmp_path)
    with opened_table(file, mapping.columns) as table, pytest.raises(Failure):
        rejects = RejectsFile(tmp_path / "rejects.csv", table.header)
        async with httpx.AsyncClient(transport=httpx.MockTransport(intake)) as client:
            sender = Sender(client, "http://intake", lambda why: None)
            source = batches(table, mapping, 0)
            await feed(source, sender, lambda *_: None, Position(), rejects=rejects, bookmark=bookmark)
    with (tmp_path / "rejects.csv").open("a") as torn:
        torn.write("written, but not settled\n")

    start = bookmark.load()
    assert (start.rows, start.accepted, start.rejected) == (1000, 990, 10)
    position, sent = await imported(tmp_path, mapping_file, file, start=start)
    assert (position.rows, position.accepted, position.rejected) == (2500, 2475, 25)
    assert sent[0]["external_id"] == "1001"
    assert [row["id"] for row in rejected_rows(tmp_path)] == [str(n) for n in range(100, 2501, 100)]


def test_a_bookmark_belongs_to_content_mapping_and_system(tmp_path: Path, mapping_file: Path) -> None:
    file, renamed, other = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.csv"
    for path, text in ((file, "x"), (renamed, "x"), (other, "y")):
        path.write_text(text)
    rejects = tmp_path / "r.csv"
    key = key_of(file, mapping_file, "here", rejects)
    assert key == key_of(renamed, mapping_file, "here", rejects)
    assert key not in {
        key_of(other, mapping_file, "here", rejects),
        key_of(file, file, "here", rejects),
        key_of(file, mapping_file, "there", rejects),
    }


@pytest.mark.parametrize(
    ("cell", "kept"),
    [("=1+1", False), ("+49 30", False), ("-2+3", False), ("@SUM(A1)", False), ("\t=1", False),
     (" =1", False), ("-73.98", True), ("+1", True), ("1,234.5", True),
     ("破损", True), ("a=b", True), ("", True)],
)  # fmt: skip
def test_a_cell_that_a_spreadsheet_would_run_is_shown_instead(cell: str, kept: bool) -> None:
    assert safe(cell) == (cell if kept else f"'{cell}")


def test_an_earlier_files_rejects_do_not_stay_beside_a_new_import(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("old")
    RejectsFile(path, ["a"]).close()
    assert not path.exists()


def test_a_rejected_row_keeps_its_columns_even_when_it_is_short(tmp_path: Path) -> None:
    rejects = RejectsFile(tmp_path / "rejects.csv", ["a", "b"])
    rejects.write([Rejected(2, "b", "the row has no such column")], [["1"]])
    rejects.close()
    assert rejected_rows(tmp_path)[0]["b"] == ""
    assert rejects.size == (tmp_path / "rejects.csv").stat().st_size


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,words,at\n1,中文,2026-03-02\n".encode("gb18030"), "is not UTF-8"),
        (b"id,words,id,at\n", "two columns of the name id"),
        (b"\n\n", "no header row"),
    ],
)
async def test_a_file_that_cannot_be_read_is_told_with_what_to_do(
    tmp_path: Path, mapping_file: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(Failure, match=reason) as failed:
        await imported(tmp_path, mapping_file, table_of(tmp_path, content))
    assert failed.value.code == 2


async def test_a_fault_in_the_middle_of_a_file_is_told_by_its_row(tmp_path: Path, mapping_file: Path) -> None:
    rows = b"".join(b"%d,a,2026-03-02\n" % n for n in range(2, 20_000))
    file = table_of(tmp_path, b"id,words,at\n" + rows + b"x,\xff,2026-03-02\n")
    with pytest.raises(Failure, match=r"is not UTF-8 \(after row 1\d{4}\)"):
        await imported(tmp_path, mapping_file, file)
