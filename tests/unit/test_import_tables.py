"""Files as tables: encodings, layouts, rows that go wrong, and going on in the middle."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from services.intake.domain.imports import Mark, Options, WrongOption
from services.intake.imports import csv_table, text, workbook
from services.intake.imports import sheet as sheet_rows
from services.intake.imports.layout import find_layout, open_table
from services.intake.imports.table import Line, Unreadable
from services.intake.imports.text import Detector, NotText

WANTED = ("id", "words")


def encoding_of(content: bytes, given: str = "", piece: int = 7) -> str:
    detector = Detector(given)
    for start in range(0, len(content), piece):
        detector.feed(content[start : start + piece])
    return detector.finish()


def rows_of(content: bytes, options: Options | None = None, after: Mark | None = None) -> list[Line]:
    file, encoding = io.BytesIO(content), encoding_of(content)
    layout, start = find_layout(file, encoding, options or Options(), WANTED)
    return list(open_table(file, layout, len(content)).rows(after or start))


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"", "utf-8"),
        (b"a", "utf-8"),
        (b"plain", "utf-8"),
        ("plain, then 中文".encode(), "utf-8"),
        ("plain, then 中文".encode("gb18030"), "gb18030"),
        ("𠀀 beyond the first plane".encode("gb18030"), "gb18030"),
        ("\ufeffmarked".encode(), "utf-8"),
        ("\ufeff中".encode("utf-16-le"), "utf-16-le"),
        ("\ufeff中".encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_the_encoding_is_the_one_that_the_whole_file_is_in(content: bytes, encoding: str) -> None:
    for piece in (1, 2, 3, 100):
        assert encoding_of(content, piece=piece) == encoding


def test_a_late_byte_decides() -> None:
    assert encoding_of(b"plain " * 1000 + "中".encode()) == "utf-8"
    assert encoding_of(b"plain " * 1000 + "中".encode("gb18030")) == "gb18030"
    with pytest.raises(NotText, match=r"not UTF-8 \(byte 6,000\) and not GB18030 \(byte 6,000\)"):
        encoding_of(b"plain " * 1000 + b"\xff\xff")


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("utf8_first", [True, False])
def test_two_files_that_were_put_together_are_refused(size: int, utf8_first: bool) -> None:
    """As GB18030, which it is throughout, half of the words would be others."""
    some, others = "1,箱子坏了\n2,late\n".encode(), "3,箱子坏了\n".encode("gbk")
    content = some + others if utf8_first else others + some
    with pytest.raises(NotText, match=r"has lines in UTF-8 .* and in GB18030"):
        encoding_of(content, piece=size)
    assert encoding_of(content, "gb18030", size) == "gb18030"


@pytest.mark.parametrize("words", ["联通", "郑州市中原区", "é", "涓", "鈥", "客户：谢谢！"])
def test_words_in_gbk_alone_are_no_mixture(words: str) -> None:
    assert encoding_of(f"id,words\n1,{words}\n2,物流太慢\n".encode("gb18030"), piece=7) == "gb18030"


def test_a_given_encoding_is_held_to() -> None:
    assert encoding_of("中".encode("gb18030"), "gb18030") == "gb18030"
    assert (
        encoding_of("\ufeff中".encode("utf-16-be"), Options.checked("utf-16", "", "").encoding) == "utf-16-be"
    )
    with pytest.raises(NotText, match=r"^is not UTF-8 \(byte 2\)$"):
        encoding_of(b"ab\xff", "utf-8")
    with pytest.raises(NotText, match="not UTF-16-LE"):
        encoding_of(b"abc", "utf-16-le")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [(("latin-1", "", ""), "encoding"), (("utf-7", "", ""), "encoding"),
     (("\0", "", ""), "encoding"), (("", "::", ""), "delimiter"),
     (("", "\n", ""), "delimiter"), (("", ";", ";"), "quote"), (("", "", "''"), "quote")],
)  # fmt: skip
def test_an_option_that_cannot_be_is_named(given: tuple[str, str, str], wrong: str) -> None:
    with pytest.raises(WrongOption) as caught:
        Options.checked(*given)
    assert caught.value.option == wrong


def test_options_have_names_that_people_use() -> None:
    assert Options.checked("GBK", "tab", "none") == Options("gb18030", "\t", "none")
    assert Options.checked("utf8", "\\t", "'") == Options("utf-8", "\t", "'")


@pytest.mark.parametrize(
    ("content", "options", "cells"),
    [
        (b"id,words\n1,a", Options(), ["1", "a"]),
        (b"id;words\n1;a,b", Options(), ["1", "a,b"]),
        (b"'id';'words'\n'1';'a;b'", Options(), ["1", "a;b"]),
        (b"id,words\n1,'a'", Options(quote="'"), ["1", "a"]),
        (b'id,words\n1,"a', Options(quote="none"), ["1", '"a']),
        (b'id#words\n1#"a#b"', Options(delimiter="#"), ["1", "a#b"]),
        (b'id,words\r\n1,"two\r\nlines ""said"""', Options(), ["1", 'two\r\nlines "said"']),
        (b"id,words\r1,a", Options(), ["1", "a"]),
        (b'\xef\xbb\xbf"id","words"\n1,a', Options(), ["1", "a"]),
    ],
)
def test_layouts_are_found_or_given(content: bytes, options: Options, cells: list[str]) -> None:
    assert [list(line.cells) for line in rows_of(content, options)] == [cells]


def test_rows_are_numbered_as_a_spreadsheet_does() -> None:
    rows = rows_of(b'id,words\n\n1,"two\nlines"\n2,b\n')
    assert [(line.number, list(line.cells)) for line in rows] == [
        (2, []), (3, ["1", "two\nlines"]), (4, ["2", "b"])
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), [(b"\xef\xbb\xbf", "is empty"), (b"\n1,2", "no header row")])
def test_a_file_without_a_table_says_so(content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        rows_of(content)


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Everything that is large becomes small, so that small texts come to all the edges."""
    patch.setattr(text, "BLOCK_BYTES", 16)
    patch.setattr(csv_table, "MAX_ROW", 20)
    patch.setattr(csv_table, "_HELD_BYTES", 80)
    patch.setattr(csv_table, "MAX_CELL", 8)
    patch.setattr(csv_table, "_SHOWN", 4)


PIECES = ["1,a\n", '2,"b', "中文", '"', "\n", "\r\n", "\r", ",", "x" * 9, "y" * 30, "z" * 90]


@settings(max_examples=100, deadline=None)
@given(
    body=st.lists(st.sampled_from(PIECES)),
    encoding=st.sampled_from(["utf-8", "gb18030", "utf-16"]),
    block=st.integers(4, 64),
    data=st.data(),
)
def test_rows_are_the_same_however_the_text_arrives_and_wherever_reading_goes_on(
    body: list[str], encoding: str, block: int, data: st.DataObject
) -> None:
    content = ("id,words\n" + "".join(body)).encode(encoding)
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        found = encoding_of(content)
        layout, start = find_layout(io.BytesIO(content), found, Options(delimiter=",", quote='"'), WANTED)
        table = open_table(io.BytesIO(content), layout, len(content))
        marks, rows = [start], []
        for line in table.rows(start):
            rows.append(line)
            marks.append(table.mark())
        at = data.draw(st.integers(0, len(rows)))
        patch.setattr(text, "BLOCK_BYTES", block)
        again = list(open_table(io.BytesIO(content), layout, len(content)).rows(marks[at]))
    assert [(line.number, list(line.cells)) for line in again] == [
        (line.number, list(line.cells)) for line in rows[at:]
    ]
    assert [line.number for line in rows] == list(range(2, len(rows) + 2))


class Counted:
    """Lines for a reader, and how many characters of them it has taken."""

    read = 0

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    def __iter__(self) -> Counted:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        Counted.read += len(line)
        return line


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    reader = csv.reader
    monkeypatch.setattr(Counted, "read", 0)
    monkeypatch.setattr(csv, "reader", lambda lines, **how: reader(Counted(lines), **how))
    monkeypatch.setattr(csv_table, "MAX_ROW", 1000)
    monkeypatch.setattr(csv_table, "_HELD_BYTES", 4000)
    monkeypatch.setattr(csv_table, "MAX_IN_VAIN", 20_000)
    return Counted


def test_a_file_of_quotes_that_open_in_each_line_is_not_read_again_from_each(counted: type[Counted]) -> None:
    """Read from outside a quote each line opens one, from inside it closes one and opens the next."""
    content = b"id,words\n" + b'x","y\n' * 2000
    with pytest.raises(Unreadable, match=r"too many quotes that are opened and not closed: .* at row"):
        rows_of(content, Options(delimiter=",", quote='"'))
    assert counted.read <= 20_000 + 2 * len(content)


def test_no_more_is_read_of_a_row_than_a_row_may_have(counted: type[Counted]) -> None:
    content = b'id,words\n1,"never closed\n' + b"2,late\n" * 1000
    rows = rows_of(content, Options(delimiter=",", quote='"'))
    assert (rows[0].cells, rows[0].fault) == (['1,"never closed'], csv_table._TOO_LONG)
    assert [line.fault for line in rows[1:]] == [""] * 1000
    assert counted.read <= len(content) + 1000 + 100


def test_stray_quotes_cost_no_more_than_the_file_again(counted: type[Counted]) -> None:
    """Each is read up to the next one, so a long file may have any number of them."""
    content = b"id,words\n" + (b'1,"stray\n' + b"2,late\n" * 100) * 100
    rows = rows_of(content, Options(delimiter=",", quote='"'))
    assert sum(not line.fault for line in rows) == 100 * 100
    assert sum(bool(line.fault) for line in rows) == 100
    assert counted.read <= 2 * len(content) + 1000


def archive(**parts: bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name.replace("__", "/") + ".xml", content)
    return file


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"xl__sharedStrings": b" <a/>" * (2 << 20)}, "compressed more than 200 times"),
        ({"a": b"<a/>"}, "is not a workbook that can be read"),
    ],
)
def test_an_archive_that_is_no_workbook_or_a_bomb_stays_closed(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        workbook.find_layout(archive(**parts))


def test_limits_of_a_workbook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_UNBROKEN", 1000)
    monkeypatch.setattr(workbook, "MAX_OTHER_BYTES", 5000)
    monkeypatch.setattr(workbook, "MAX_MEMBERS", 2)
    monkeypatch.setattr(workbook, "_PIECE", 64)
    text = bytes(range(33, 60)) * 40
    with pytest.raises(Unreadable, match="a text over the limit of 1000 bytes"):
        workbook.check_archive(archive(a=b"<a>" + text + b"</a>"))
    with pytest.raises(Unreadable, match="over the limit of 5000 bytes"):
        workbook.check_archive(archive(a=b"<a/>" * 1300))
    with pytest.raises(Unreadable, match="more than 2 parts"):
        workbook.check_archive(archive(a=b"<a/>", b=b"<b/>", c=b"<c/>"))


def sheet(change: Callable[[bytes], bytes]) -> io.BytesIO:
    """A workbook with a header and one row, whose sheet was changed afterwards."""
    book, saved, changed = Workbook(), io.BytesIO(), io.BytesIO()
    for row in (WANTED, ("1", "late")):
        book.active.append(row)
    book.save(saved)
    with zipfile.ZipFile(saved) as parts, zipfile.ZipFile(changed, "w") as made:
        for name in parts.namelist():
            content = parts.read(name)
            made.writestr(name, change(content) if name.startswith("xl/worksheets/") else content)
    return changed


def rows_of_sheet(file: io.BytesIO) -> list[Line]:
    layout, start = workbook.find_layout(file)
    return [line for line in workbook.XlsxTable(file, layout).rows(start) if line.cells]


@pytest.mark.parametrize("said", [b"A1", b"A1:B1", b"A1:XFD1048576", b"A1:B2"])
def test_a_row_beyond_what_a_sheet_says_of_its_size_is_read(said: bytes) -> None:
    """Some programs write A1 whatever follows; the rows behind were lost without a word."""
    file = sheet(lambda content: content.replace(b'ref="A1:B2"', b'ref="%b"' % said))
    assert [(line.number, line.cells) for line in rows_of_sheet(file)] == [(2, ["1", "late"])]


def test_a_row_of_a_number_that_no_sheet_has_is_an_error_and_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_rows, "MAX_ROWS", 1000)
    file = sheet(lambda content: content.replace(b'<row r="2"', b'<row r="9999999999"'))
    with pytest.raises(Unreadable, match="a sheet has at most 1,000 rows"):
        rows_of_sheet(file)


def cell(place: str, words: str) -> str:
    named = f' r="{place}"' if place else ""
    return f'<c{named} t="inlineStr"><is><t>{words}</t></is></c>'


def row(number: str, *cells: tuple[str, str]) -> str:
    named = f' r="{number}"' if number else ""
    return f"<row{named}>{''.join(cell(*one) for one in cells)}</row>"


def sheet_of(*parts: str) -> io.BytesIO:
    """A workbook whose sheet has a header and then these pieces of XML."""

    def with_them(content: bytes) -> bytes:
        end = content.index(b'<row r="2"')
        return content[:end] + "".join(parts).encode() + b"</sheetData></worksheet>"

    return sheet(with_them)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([row("-1", ("A2", "1"))], "row -1 stands after row 1"),
        ([row("0", ("A2", "1"))], "row 0 stands after row 1"),
        ([row("1", ("A1", "1"))], "row 1 stands after row 1"),
        ([row("2", ("A2", "1")), row("2", ("A2", "2"))], "row 2 stands after row 2 in the sheet"),
        ([row("5", ("A5", "1")), row("3", ("A3", "2"))], "row 3 stands after row 5 in the sheet"),
        ([row("2", ("A2", "1")), row("1", ("A1", "2")), row("", ("", "3"))], "row 1 stands after row 2"),
        ([row("2"), "</sheetData><sheetData>", row("2", ("A2", "2"))], "row 2 stands after row 2"),
        ([row("two", ("A2", "1"))], "cannot be read after row 1"),
        ([row("1048577", ("A1048577", "1"))], "a sheet has at most 1,048,576 rows"),
        ([row("2", ("2A", "1"))], "cannot be read after row 1"),
        (['<row r="2">', row("3", ("A3", "1")), "</row>"], "a row that does not stand in its data"),
        (["</sheetData>", row("3"), "<sheetData>"], "a row that does not stand in its data"),
        ([cell("A2", "1")], "a cell that stands in no row"),
    ],
)
def test_a_row_whose_number_does_not_rise_is_an_error_and_never_lost(parts: list[str], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        rows_of_sheet(sheet_of(*parts))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([("A2", "1"), ("A2", "2")], "cell A2 stands after A2"),
        ([("B2", "1"), ("A2", "2")], "cell A2 stands after B2"),
        ([("C2", "1"), ("", "2"), ("D2", "3")], "cell D2 stands after D2"),
        ([("A3", "1"), ("B3", "2")], "a cell says that it is of row 3"),
        ([("XFE2", "1")], "a cell stands beyond the last column (16,384)"),
    ],
)
def test_a_row_whose_cells_do_not_rise_is_refused_and_the_next_is_read(
    cells: list[tuple[str, str]], reason: str
) -> None:
    found = rows_of_sheet(sheet_of(row("2", *cells), row("3", ("A3", "9"))))
    assert [(line.number, line.cells, line.fault) for line in found] == [
        (2, [words for _, words in cells], reason),
        (3, ["9"], ""),
    ]


def test_rows_and_cells_without_numbers_follow_those_before() -> None:
    file = sheet_of(row("", ("", "1"), ("", "late")), row("7", ("B7", "x")), row("", ("C8", "y"), ("", "z")))
    assert [(line.number, line.cells, line.fault) for line in rows_of_sheet(file)] == [
        (2, ["1", "late"], ""),
        (7, ["", "x"], ""),
        (8, ["", "", "y", "z"], ""),
    ]


def test_what_goes_on_in_the_middle_of_a_sheet_counts_alike() -> None:
    file = sheet_of(*(row(str(n), (f"A{n}", str(n))) for n in (2, 5, 6, 9)))
    layout, _ = workbook.find_layout(file)
    table = workbook.XlsxTable(file, layout)
    assert [line.number for line in table.rows(Mark(5))] == [6, 9]
    assert (table.mark(), table.share()) == (Mark(9), 1.0)


def test_a_header_is_row_1() -> None:
    with pytest.raises(Unreadable, match="no header row"):
        rows_of_sheet(sheet(lambda content: content.replace(b'<row r="1"', b'<row r="1"/><row r="2"')))
    with pytest.raises(Unreadable, match="the header row cannot be read: cell A1 stands after A1"):
        rows_of_sheet(sheet(lambda content: content.replace(b'r="B1"', b'r="A1"')))


def test_a_row_of_empty_cells_without_end_is_an_error_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_rows, "MAX_ELEMENTS", 1000)
    many = [row(str(n), (f"A{n}", "1")) for n in range(2, 500)]
    assert len(rows_of_sheet(sheet_of(*many))) == 498
    with pytest.raises(Unreadable, match="more than 1,000 elements of XML"):
        rows_of_sheet(sheet_of("<row>", "<c/>" * 1001, "</row>"))


def test_a_row_of_long_cells_without_end_is_an_error_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_rows, "MAX_UNENDED_BYTES", 400_000, raising=False)
    long = [row(str(n), (f"A{n}", "x" * 50_000)) for n in range(2, 22)]
    assert len(rows_of_sheet(sheet_of(*long))) == 20
    with pytest.raises(Unreadable, match="more than 400,000 bytes of XML"):
        rows_of_sheet(sheet_of("<row>", *[cell("", "x" * 50_000)] * 20, "</row>"))


def relations_of(part: str) -> str:
    folder, _, name = part.rpartition("/")
    return f"{folder}/_rels/{name}.rels"


def moved(file: io.BytesIO, old: str, new: str) -> io.BytesIO:
    """The workbook with one part under another name, which the manifest and the relations know."""
    made = io.BytesIO()
    its_own = {relations_of(old): relations_of(new)}
    with zipfile.ZipFile(file) as parts, zipfile.ZipFile(made, "w") as changed:
        for name in parts.namelist():
            content = parts.read(name)
            if name.endswith((".rels", "Types].xml")):
                content = content.replace(old.encode(), new.encode())
            changed.writestr(its_own.get(name) or name.replace(old, new), content)
    return made


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("xl/workbook.xml", "xl/worksheets/book.xml"),
        ("xl/workbook.xml", "xl/mysharedStrings.xml"),
    ],
)
def test_a_part_that_is_read_whole_has_no_name_of_a_part_that_may_be_larger(old: str, new: str) -> None:
    file = sheet(lambda content: content)
    assert len(rows_of_sheet(file)) == 1
    with pytest.raises(Unreadable, match="under the name of another"):
        rows_of_sheet(moved(file, old, new))


@pytest.mark.parametrize("place", ["xl/worksheets/strings.xml", "xl/sharedStrings.xml"])
def test_shared_strings_do_not_stand_among_the_sheets(place: str) -> None:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = f'<Override PartName="/{place}" ContentType="{kind}"/></Types>'
    made = io.BytesIO()
    with zipfile.ZipFile(sheet(lambda content: content)) as parts, zipfile.ZipFile(made, "w") as changed:
        for name in parts.namelist():
            content = parts.read(name)
            if name == "[Content_Types].xml":
                content = content.replace(b"</Types>", override.encode())
            changed.writestr(name, content)
        changed.writestr(place, f'<sst xmlns="{main}"><si><t>shared</t></si></sst>')
    if place.startswith("xl/worksheets/"):
        with pytest.raises(Unreadable, match="under the name of another"):
            rows_of_sheet(made)
    else:
        assert len(rows_of_sheet(made)) == 1


def test_parts_of_a_workbook_have_a_limit_of_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_TAGS", 100)
    monkeypatch.setattr(workbook, "MAX_STRING_TAGS", 200)
    workbook.check_archive(archive(sharedStrings=b"<a/>" * 200, xl__worksheets__a=b"<a/>" * 300))
    for name, limit in (("sharedStrings", 200), ("styles", 100)):
        with pytest.raises(Unreadable, match=f"more than {limit} tags"):
            workbook.check_archive(archive(**{name: b"<a/>" * 201}))


def test_entities_that_multiply_are_refused_by_the_parser() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE t [<!ENTITY e0 "{"x" * 100}">{levels}]><t>&e11;</t>'.encode()
    with pytest.raises(Unreadable):
        workbook.find_layout(archive(xl__workbook=bomb, **{"[Content_Types]": bomb}))
