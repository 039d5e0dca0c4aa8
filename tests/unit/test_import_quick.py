"""A row's quick way makes what the careful one makes, or leaves the row to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from services.intake.api.signals import Arrival, Received
from services.intake.domain.imports import Layout
from services.intake.domain.signals import Sender
from services.intake.imports.quick import Doubt, QuickRows
from services.intake.imports.rows import RowReader, received
from services.intake.imports.table import CSV, Line, Table
from shared.codec import decode
from shared.mapping import Mapping, RowError, mapping_of
from tests.support.seals import SEALS

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
SENDER = Sender("api", ("import", "content"))
MAPPING = """\
source: shop
set: {kind: complaint, attributes.campaign: 7, customer.tier: gold}
fields:
  external_id: id
  occurred_at: {column: at, format: ["%Y-%m-%dT%H:%M:%S", "%d.%m.%Y"], zone: Asia/Shanghai}
  channel: {column: way, map: {PHONE: phone, NET: api}, default: web}
  language: {column: tongue, map: {deutsch: other, english: en}, default: ""}
  subject: words
  text: prose
  category: {column: words, map: {late: logistics.delay}, default: other}
  severity: {column: grade, map: {bad: high}, default: ""}
  customer.id: who
  customer.name: name
  product.model: model
  attributes.store: store
  attributes.due: {column: due, format: "%d.%m.%Y", zone: Asia/Shanghai}
"""
RATED = """\
source: shop
set: {kind: survey, rating.metric: csat, rating.scale_min: 1, rating.scale_max: 5}
fields: {rating.score: score, text: prose, external_id: {column: id, default: none}}
"""
PLAIN = "source: shop\nfields: {kind: kind, text: prose, occurred_at: at}\n"
CELLS = ["", " ", "a", " b ", "late", "é箱", 'say "no"', "a\nb", "x\x00", "\x7f", "\\", "x" * 201, "x" * 1001]
TIMES = ["2026-03-02T09:00:00", "01.02.2024", "2026-03-02T09:33:00", "2027-01-01T00:00:00", "31.12.1979", "3"]
WORDS = ["PHONE", "NET", "deutsch", "english", "bad", "complaint", "call", "1", "5", "4.0", "6"]
SAID = [*CELLS, *TIMES, *WORDS, "2026-03-02T01:00:00Z", "2026-03-02T09:00:00+08:00"]


class NoTable(Table):
    def __init__(self, header: Sequence[str]) -> None:
        self.layout = Layout(CSV, "utf-8", ",", '"', list(header))


def both(mapping: Mapping, header: list[str], cells: list[str]) -> tuple[Received | None, Received | str]:
    """What the quick way says, None where it is in doubt; what the careful one says, or why it refuses."""
    reader, line = RowReader(NoTable(header), mapping, SENDER, SEALS), Line(7, cells)
    receiver = reader.receiver(NOW)
    try:
        careful: Received | str = received(reader.hear(line, reader.feedback(line), receiver))
    except RowError as error:
        careful = str(error)
    quick = QuickRows(mapping, header, SENDER, NOW)
    made = None
    for _ in range(2):  # made, then remembered
        try:
            made = quick.hear(7, cells, receiver.arrival).receive()
        except Doubt:
            assert made is None
    return made and opened(made), careful if isinstance(careful, str) else opened(careful)


def opened(received: Received) -> Received:
    """With what was said in it: sealing it twice makes two of it."""
    event, _ = decode(received.record.value, received.record.headers)
    value = msgspec.json.encode(SEALS.opened(event))
    return structs.replace(received, record=structs.replace(received.record, value=value))


@settings(deadline=None, max_examples=300)
@given(st.data(), st.sampled_from([MAPPING, RATED, PLAIN]))
def test_the_quick_way_makes_the_same_event_or_none(data: st.DataObject, yaml: str) -> None:
    mapping = mapping_of(yaml.encode(), "some.yaml")
    header = sorted(mapping.columns)
    cells = data.draw(st.lists(st.sampled_from(SAID), min_size=len(header) - 1, max_size=len(header)))
    quick, careful = both(mapping, header, cells)
    assert quick is None or quick == careful


GOOD = {
    "id": "R-1", "at": "2026-03-02T09:00:00", "way": "NET", "tongue": "english", "words": "late",
    "prose": 'He said "no".\nTwice.', "grade": "bad", "who": "C-1", "name": "王", "model": "M",
    "store": "SH-1", "due": "01.02.2024",
}  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [{}, {"tongue": ""}, {"prose": ""}, {"words": ""}, {"id": ""}, {"at": ""}, {"who": "", "name": ""}],
    ids=str,
)
def test_a_row_that_is_right_takes_the_quick_way(changed: dict[str, str]) -> None:
    mapping = mapping_of(MAPPING.encode(), "some.yaml")
    row = GOOD | changed
    quick, careful = both(mapping, list(row), list(row.values()))
    assert quick is not None and quick == careful


def test_ratings_take_the_quick_way_too() -> None:
    mapping = mapping_of(RATED.encode(), "some.yaml")
    for score in ("1", "5", "4.0"):
        quick, careful = both(mapping, ["score", "prose", "id"], [score, "", "1"])
        assert quick is not None and quick == careful


@pytest.mark.parametrize(
    ("yaml", "sender"),
    [
        ("source: shop\nset: {kind: complaint, text: '  '}\nfields: {external_id: id}\n", SENDER),
        ('source: shop\nset: {kind: complaint, order_id: "a\\nb"}\nfields: {text: id}\n', SENDER),
        ("source: shop\nset: {kind: complaint}\nfields: {text: id}\n", Sender("mall", (), fixed=True)),
    ],
)
def test_a_mapping_that_fits_no_row_is_left_to_the_careful_way(yaml: str, sender: Sender) -> None:
    with pytest.raises(Doubt):
        QuickRows(mapping_of(yaml.encode(), "some.yaml"), ["id"], sender, NOW)


def test_a_time_that_lay_ahead_is_not_remembered_as_wrong() -> None:
    mapping = mapping_of(PLAIN.encode(), "some.yaml")
    quick = QuickRows(mapping, ["kind", "prose", "at"], SENDER, NOW)
    row: list[Any] = ["call", "x", "2026-03-02T01:31:00Z"]
    with pytest.raises(Doubt):
        quick.hear(2, row, Arrival("feedback", NOW, SEALS))
    assert quick.hear(2, row, Arrival("feedback", NOW.replace(minute=40), SEALS))
