"""Import mappings: a row in, the body of POST /v1/feedback out."""

import csv
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mapping import MappingError, RowError, load_mapping, mapping_of
from shared.mapping_cells import Moment, converted, converter
from shared.mapping_spec import Column
from shared.policy import Values, load_policy

ROOT = Path(__file__).parent.parent.parent
MAPPINGS = ROOT / "deploy" / "mappings"
BASE = """source: shop
set: {kind: survey, rating.metric: csat, rating.scale_min: 1, rating.scale_max: 5}
fields:
  rating.score: stars
  occurred_at: {column: at, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
  category: {column: topic, map: {Late: logistics.late}, default: other}
  channel: {column: how, map: {W: web}}
  severity: {column: topic, map: {Fire: critical}, default: ""}
  attributes.shop-code: shop
"""
ROW = {"stars": "4", "at": "02.03.2026 10:00", "topic": "Late", "how": "W", "shop": " B1 "}


@pytest.fixture
def mapping():
    def of(old: str = "", new: str = ""):
        assert old in BASE
        return mapping_of(BASE.replace(old, new, 1).encode(), "shop.yaml")

    return of


def applied(mapping, row):
    return mapping.for_header(list(row))(list(row.values()))


def test_a_row_becomes_the_body_of_a_feedback(mapping):
    assert applied(mapping(), ROW) == {
        "source": "shop",
        "kind": "survey",
        "rating": {"metric": "csat", "scale_min": 1, "scale_max": 5, "score": 4},
        "occurred_at": "2026-03-02T09:00:00+00:00",
        "category": "logistics.late",
        "channel": "web",
        "attributes": {"shop-code": "B1"},
    }


def test_empty_cells_are_left_out_unless_there_is_a_default(mapping):
    body = applied(mapping(), dict.fromkeys(ROW, ""))
    assert body.keys() == {"source", "kind", "rating", "category"}
    assert body["category"] == "other"
    assert "score" not in body["rating"]


def test_a_default_takes_what_the_map_does_not_name(mapping):
    body = applied(mapping(), ROW | {"topic": "Fire"})
    assert (body["category"], body["severity"]) == ("other", "critical")


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("stars", "many", "not a number"),
        ("stars", "nan", "not a number"),
        ("stars", "1e999", "not a number"),
        ("at", "2026-03-02", "not a time"),
        ("how", "secret", "not in the map"),
    ],
)
def test_a_row_that_cannot_be_mapped_names_the_column_and_not_the_value(mapping, column, cell, reason):
    with pytest.raises(RowError) as caught:
        applied(mapping(), ROW | {column: cell})
    assert caught.value.column == column
    assert reason in caught.value.reason
    assert cell not in str(caught.value)


def test_a_short_row_names_the_column_that_it_lacks(mapping):
    with pytest.raises(RowError, match="column shop: the row has no such column"):
        mapping().for_header(list(ROW))(list(ROW.values())[:-1])


def test_the_first_of_several_formats_that_fits_is_taken(mapping):
    formats = mapping('format: "%d.%m.%Y %H:%M"', 'format: ["%d.%m.%Y %H:%M", "%Y-%m-%d", "%m/%d/%Y"]')
    for text in ("02.03.2026 00:00", "2026-03-02", "03/02/2026"):
        assert applied(formats, ROW | {"at": text})["occurred_at"] == "2026-03-01T23:00:00+00:00"
    with pytest.raises(RowError, match="not a time in the format"):
        applied(formats, ROW | {"at": "2 March"})


def test_a_moment_of_a_spreadsheet_needs_no_format(mapping):
    nine = Moment.of(datetime.fromisoformat("2026-07-02T09:00:00"))
    assert applied(mapping(), ROW | {"at": nine})["occurred_at"] == "2026-07-02T07:00:00+00:00"
    assert applied(mapping(), ROW | {"shop": nine})["attributes"] == {"shop-code": "2026-07-02T09:00:00"}
    day = Moment.of(datetime.fromisoformat("2026-07-02"))
    assert applied(mapping(), ROW | {"shop": day})["attributes"] == {"shop-code": "2026-07-02"}


def test_missing_columns_are_found_before_the_first_row(mapping):
    mapping().check_columns([*ROW, "more"])
    with pytest.raises(MappingError, match="no column shop, stars"):
        mapping().check_columns(["at", "topic", "how"])
    with pytest.raises(MappingError, match="two columns of the name shop"):
        mapping().for_header([*ROW, "shop"])


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("rating.score: stars", "rating.scor: stars", 4, "did you mean rating.score"),
        ("attributes.shop-code", "owner", 9, "unknown feedback field"),
        ("attributes.shop-code", "attributes.shop.code", 9, "an attribute has 1 to 64"),
        ("kind: survey", "kind: surveys", 2, "kind is one of complaint"),
        ("kind: survey, ", "", 3, "kind is required"),
        ("  rating.score: stars\n", "", 3, "one of text, subject"),
        ("kind: survey", "kind: survey, channel: web", 7, "under set, too"),
        ("W: web", "W: wep", 7, "channel is one of"),
        ("zone: Europe/Berlin", "zone: Berlin", 5, "time zone database"),
        (", zone: Europe/Berlin", "", 5, "needs a zone"),
        ('"%d.%m.%Y %H:%M", zone: Europe/Berlin', '["%Y-%m-%d %z", "%Y"]', 5, "needs a zone"),
        ('"%d.%m.%Y %H:%M"', "[]", 5, "at least 1 item"),
        ("%d.%m.%Y %H:%M", "%d/%d/%Y", 5, "redefinition of group name 'd'"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %", 5, "stray %"),
        ("%d.%m.%Y %H:%M", "%-d.%m.%Y", 5, "'-' is a bad directive"),
        ('"%d.%m.%Y %H:%M"', '["%Y", "%G"]', 5, "ISO year directive"),
        ("column: how, map", "column: how, maps", 7, "unknown key"),
        ("fields:", "field:", 1, "is missing"),
        ("source: shop", "source: [shop", 2, "not YAML"),
    ],
)
def test_a_wrong_mapping_is_refused_with_file_and_line(mapping, old, new, line, reason):
    with pytest.raises(MappingError) as caught:
        mapping(old, new)
    assert any(
        said.startswith(f"shop.yaml:{line}:") and reason in said for said in str(caught.value).splitlines()
    )


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(MappingError, match=r"mappings by name: .*nyc311"):
        load_mapping("nope", MAPPINGS)


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("2024-04-16T03:03:15.000", "2024-04-16T03:03:15-04:00"),
        ("2024-11-03T01:30:00.250", "2024-11-03T01:30:00.250000-04:00"),
        ("2024-1-6T3:03:15.5", "2024-01-06T03:03:15.500000-05:00"),
        ("1850-01-01T00:00:00.000", "1850-01-01T04:56:02+00:00"),
    ],
)
def test_local_times_get_their_offset(text, out):
    mapping = load_mapping("nyc311", MAPPINGS)
    row = dict.fromkeys(mapping.columns, "") | {"created_date": text, "due_date": text}
    body = applied(mapping, row)
    assert body["attributes"]["due_at"] == out
    assert body["occurred_at"] == datetime.fromisoformat(out).astimezone(UTC).isoformat()


def test_every_shipped_request_finds_a_department_with_room_for_nearly_all():
    mapping, policy = load_mapping("nyc311", MAPPINGS), load_policy(ROOT / "deploy" / "policy" / "demo")
    with (ROOT / "deploy" / "demo" / "nyc311.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    apply = mapping.for_header(header)
    bodies = [apply(row) for row in rows]
    assert len({body["external_id"] for body in bodies}) == 1000
    load: Counter[str] = Counter()
    for body in bodies:
        category = policy.categories[body["category"]]
        priority = policy.priority(body.get("severity") or category.severity or "medium", "medium")
        flat = {key: value for key, value in body.items() if isinstance(value, str)}
        rule = policy.routing[policy.rules.index(Values(flat))]
        load[rule.assign.department] += policy.load[priority]
    assert load["service"] == 0
    room = Counter()
    for person in policy.people.values():
        room[person.department] += person.capacity
    waiting = sum(max(load[department] - room[department], 0) for department in load)
    assert 0 < waiting <= 60


DIRECTIVES = [
    "%d",
    "%Y",
    "%m",
    "%H",
    "%z",
    "%G",
    "%V",
    "%u",
    "%j",
    "%",
    "%%",
    "(",
    "[",
    "\\",
    ".",
    " ",
    "\n",
    "年",
]


@given(
    st.lists(st.sampled_from(DIRECTIVES), max_size=8).map("".join),
    st.sampled_from(["", "1", "12", "2026-03-02", "%"]),
)
def test_any_format_is_refused_when_it_is_read_or_does_nothing_but_fit_or_not(format_, cell):
    try:
        column = Column(column="at", format=format_, zone="UTC")
    except ValueError:
        return
    with suppress(RowError):
        converted("at", converter("occurred_at", column), cell, None)
