"""Import mappings: a row in, the body of POST /v1/feedback out."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from shared.mapping import MappingError, RowError, load_mapping
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
  attributes.shop.code: shop
"""
ROW = {"stars": "4", "at": "02.03.2026 10:00", "topic": "Late", "how": "W", "shop": " B1 "}


@pytest.fixture
def mapping(tmp_path):
    def of(old: str = "", new: str = ""):
        assert old in BASE
        file = tmp_path / "shop.yaml"
        file.write_text(BASE.replace(old, new, 1), encoding="utf-8")
        return load_mapping(str(file), MAPPINGS)

    return of


def test_a_row_becomes_the_body_of_a_feedback(mapping):
    assert mapping().apply(ROW) == {
        "source": "shop",
        "kind": "survey",
        "rating": {"metric": "csat", "scale_min": 1, "scale_max": 5, "score": 4},
        "occurred_at": "2026-03-02T10:00:00+01:00",
        "category": "logistics.late",
        "channel": "web",
        "attributes": {"shop.code": "B1"},
    }


def test_empty_cells_are_left_out_unless_there_is_a_default(mapping):
    body = mapping().apply(dict.fromkeys(ROW, ""))
    assert body.keys() == {"source", "kind", "rating", "category"}
    assert body["category"] == "other"
    assert "score" not in body["rating"]


def test_a_default_takes_what_the_map_does_not_name(mapping):
    body = mapping().apply(ROW | {"topic": "Fire"})
    assert (body["category"], body["severity"]) == ("other", "critical")


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("stars", "many", "not a number"),
        ("stars", "nan", "not a number"),
        ("stars", "1e999", "not a number"),
        ("at", "2026-03-02", "not a time"),
        ("how", "secret", "not in the map"),
        ("shop", None, "no such column"),
    ],
)
def test_a_row_that_cannot_be_mapped_names_the_column_and_not_the_value(mapping, column, cell, reason):
    with pytest.raises(RowError) as caught:
        mapping().apply(ROW | {column: cell})
    assert caught.value.column == column
    assert reason in caught.value.reason
    assert cell is None or cell not in str(caught.value)


def test_missing_columns_are_found_before_the_first_row(mapping):
    mapping().check_columns([*ROW, "more"])
    with pytest.raises(MappingError, match="no column shop, stars"):
        mapping().check_columns(["at", "topic", "how"])


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("rating.score: stars", "rating.scor: stars", 4, "did you mean rating.score"),
        ("attributes.shop.code", "owner", 9, "unknown feedback field"),
        ("kind: survey", "kind: surveys", 2, "kind is one of complaint"),
        ("kind: survey, ", "", 3, "kind is required"),
        ("  rating.score: stars\n", "", 3, "one of text, subject"),
        ("kind: survey", "kind: survey, channel: web", 7, "under set, too"),
        ("W: web", "W: wep", 7, "channel is one of"),
        ("zone: Europe/Berlin", "zone: Berlin", 5, "time zone database"),
        (", zone: Europe/Berlin", "", 5, "needs a zone"),
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
    row = dict.fromkeys(mapping.columns, "") | {"created_date": text}
    assert mapping.apply(row)["occurred_at"] == out


def test_every_shipped_request_finds_a_department_with_room_for_nearly_all():
    mapping, policy = load_mapping("nyc311", MAPPINGS), load_policy(ROOT / "deploy" / "policy" / "demo")
    with (ROOT / "deploy" / "demo" / "nyc311.csv").open(encoding="utf-8", newline="") as file:
        bodies = [mapping.apply(row) for row in csv.DictReader(file)]
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
