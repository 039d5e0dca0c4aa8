"""The drawing of a benchmark shows what it is given, and says it in words."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from tests.bench.figure import draw

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = {
    "at": "2026-11-28T17:00:00+00:00", "cores": 2, "memory_gb": 24, "load_before": [1.0, 1.2, 1.1],
    "python": "3.11.7", "system": "Linux",
}  # fmt: skip
STAGE = {
    "stage": "routing", "item": "feedback",
    "real": {"rate": 4000.0}, "raw": {"rate": 8000.0}, "tutorial": {"rate": 200.0},
}  # fmt: skip
CHAIN = {"whole": {"rate": 2420.0, "cpu_us": {"routing": 139.0, "mongod": 210.0, "a<b": 1.0}}}


def drawn(**parts: Any) -> ET.Element:
    return ET.fromstring(draw({"machine": MACHINE, "doors": [], "stages": [], "chain": None} | parts))


def words(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def test_a_stage_stands_beside_its_limit_and_the_tutorial_way_on_one_scale() -> None:
    bars = list(drawn(stages=[STAGE]).iter(f"{SVG}rect"))
    assert [bar.get("class") for bar in bars] == ["real", "raw", "tutorial"]
    real, raw, tutorial = (float(bar.get("width", 0)) for bar in bars)
    assert real / raw == 0.5
    assert abs(tutorial - raw / 40) < 1, "to the pixel"


def test_every_figure_is_written_beside_its_bar_and_said_to_who_cannot_see_it() -> None:
    svg = drawn(stages=[STAGE], chain=CHAIN)
    said = svg.findtext(f"{SVG}desc") or ""
    for figure in ("4,000 feedback/s", "8,000 feedback/s", "200 feedback/s", "139 us", "210 us"):
        assert figure in words(svg)
        assert figure in said
    assert svg.get("role") == "img"


def test_the_dearest_process_comes_first_and_its_name_is_no_markup() -> None:
    assert [word for word in words(drawn(chain=CHAIN)) if word in ("mongod", "routing", "a<b")] == [
        "mongod", "routing", "a<b",
    ]  # fmt: skip


def test_date_and_machine_are_in_it() -> None:
    assert "2026-11-28, 2 shared cores, 24 GiB, Python 3.11.7, load before 1, 1.2, 1.1" in words(drawn())


def test_what_was_not_measured_is_left_out() -> None:
    assert not list(drawn().iter(f"{SVG}rect"))
    assert len(list(drawn(stages=[STAGE | {"tutorial": None}]).iter(f"{SVG}rect"))) == 2


def test_nothing_lies_outside_the_drawing() -> None:
    svg = drawn(stages=[STAGE] * 3, chain=CHAIN)
    _, _, width, height = (float(part) for part in svg.get("viewBox", "").split())
    for bar in svg.iter(f"{SVG}rect"):
        assert float(bar.get("x", 0)) + float(bar.get("width", 0)) < width
        assert float(bar.get("y", 0)) + float(bar.get("height", 0)) < height


def test_dark_has_colours_of_its_own() -> None:
    assert "prefers-color-scheme: dark" in (drawn().findtext(f"{SVG}style") or "")
