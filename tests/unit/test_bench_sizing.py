"""What is derived from measured figures: the serial part, and the sizes for an operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.scale import serial_part
from tests.bench.sizing import COPIES, YEAR_SECONDS, Costs, read_costs, size, table

DOCS = Path(__file__).parents[2] / "docs"

COSTS = Costs(
    rate=2000.0,
    cpu_us={
        "intake": 30.0,
        "routing": 150.0,
        "sla": 60.0,
        "analytics": 120.0,
        "mongod": 210.0,
        "Kafka": 60.0,
    },
    topic_bytes={"cqm.feedback.v1": 1000.0, "cqm.assignments.v1": 100.0},
    database_bytes={"routing": 600.0, "analytics": 900.0},
)


def amdahl(one: float, serial: float, replicas: int) -> float:
    return one * replicas / (1 + serial * (replicas - 1))


@pytest.mark.parametrize("serial", [0.0, 0.05, 0.5])
def test_the_serial_part_is_found_again(serial: float) -> None:
    one, found = serial_part({n: amdahl(900.0, serial, n) for n in (1, 2, 3, 4)})
    assert one == pytest.approx(900.0)
    assert found == pytest.approx(serial, abs=1e-9)


def test_more_than_n_times_as_much_is_no_serial_part() -> None:
    assert serial_part({1: 100.0, 2: 210.0, 3: 330.0})[1] == 0.0


def test_a_small_installation_has_two_of_each_so_that_one_may_die() -> None:
    assert set(size(COSTS, 10).replicas.values()) == {2}


def test_replicas_grow_with_the_time_that_a_feedback_takes() -> None:
    # 10,000/s x 150 us = 1.5 cores, each 60 % busy
    assert size(COSTS, 10_000).replicas == {"intake": 2, "routing": 3, "sla": 2, "analytics": 2}
    assert size(COSTS, 10_000).mongod_cores == pytest.approx(3.5)


def test_there_are_never_fewer_partitions_than_replicas() -> None:
    assert size(COSTS, 10_000).partitions == 12
    assert size(COSTS, 100_000).partitions == size(COSTS, 100_000).replicas["routing"] == 25


def test_what_is_kept_for_days_is_not_counted_for_a_year() -> None:
    found = size(COSTS, 1000)
    days = 1000.0 * YEAR_SECONDS + 100.0 * 14 * 86_400
    assert found.kafka_tb == pytest.approx(COPIES * 1000 * days / 1e12)
    assert found.mongod_tb == pytest.approx(COPIES * 1000 * 1500.0 * YEAR_SECONDS / 1e12)


def test_the_table_has_a_line_for_each_rate_and_a_cell_for_each_head() -> None:
    lines = table(COSTS, (10, 1000)).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| 1,000 | 2 |")


def test_the_table_of_the_document_is_that_of_the_costs_beside_it() -> None:
    assert table(read_costs(DOCS / "scaling.json")) in (DOCS / "scaling.md").read_text(encoding="utf-8")
