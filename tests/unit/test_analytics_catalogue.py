"""The catalogue, its page, and what facts count: three views of the same figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.analytics.domain import cases, feedback, targets
from services.analytics.domain.catalogue import KPIS, Kpi
from services.analytics.domain.page import page
from services.analytics.domain.tallies import TALLIES
from tests.support.analytics import NOON, case_changed, finished, rating
from tests.support.analytics import feedback as said

DOCS = Path(__file__).parents[2] / "docs" / "kpis.md"


def test_the_page_is_what_the_catalogue_says() -> None:
    assert DOCS.read_text() == page(), "python -m services.analytics.domain.page > docs/kpis.md"


@pytest.mark.parametrize("kpi", KPIS.values(), ids=list(KPIS))
def test_every_kpi_is_defined_in_both_languages(kpi: Kpi) -> None:
    assert set(kpi.definition) == {"zh", "en"} and all(kpi.definition.values())


def test_a_figure_is_made_of_columns_that_its_tallies_have() -> None:
    for kpi in KPIS.values():
        for name, counters in kpi.counters.items():
            for part in kpi.parts:
                assert counters <= set(TALLIES[kpi.tally(name, part)].counters), kpi.name


def test_a_kpi_offers_the_dimensions_of_its_tallies() -> None:
    for kpi in KPIS.values():
        for tally in kpi.tallies:
            assert set(kpi.dimensions) - {kpi.part} == set(TALLIES[tally].dimensions), kpi.name


def test_every_kpi_of_the_interface_is_there() -> None:
    wanted = (
        "nps csat ces ces_easy_share response_rate first_response_time resolution_time handling_time "
        "first_contact_resolution reopen_rate sla_attainment complaint_rate return_rate repair_rate "
        "churn_rate retention_rate repurchase_rate backlog backlog_age recovery_rate "
        "escalation_rate transfer_rate feedback_volume case_volume defects department_efficiency"
    )
    assert set(wanted.split()) <= set(KPIS)


def test_what_real_facts_count_fits_the_columns() -> None:
    kinds = [
        feedback.take(
            [said("f", rating=rating("nps", 9, 0, 10)), said("g", rating=rating("ces", 5, 1, 7))],
            feedback.Known({}, {}),
            round,
        ),
        cases.take([case_changed("c", status="resolved", resolved_at=NOON)], cases.Known({}, {}, {})),
        targets.take([finished("c")], targets.Known({}, {}), round),
    ]
    for outcome in kinds:
        for row in outcome.rows:
            tally = TALLIES[row.measure.k]
            assert set(row.measure.c) <= set(tally.counters) and set(row.measure.s) <= set(tally.spans)
            assert set(row.labels) >= set(tally.dimensions), tally.name
