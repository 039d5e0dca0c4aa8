"""The catalogue, its page, and what facts count: three views of the same figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.analytics.domain import cases, feedback, targets
from services.analytics.domain.cases import Known
from services.analytics.domain.catalogue import KPIS, Kpi
from services.analytics.domain.facts import Outcome
from services.analytics.domain.page import page
from tests.support.analytics import case_changed, finished, rating
from tests.support.analytics import feedback as said

DOCS = Path(__file__).parents[2] / "docs" / "kpis.md"


def counted() -> dict[str, tuple[set[str], set[str]]]:
    """Per KPI the dimensions and the counters that real facts have."""
    outcomes: list[Outcome] = [
        feedback.take(
            [said("f", rating=rating("nps", 9, 0, 10)), said("g", rating=rating("csat", 5, 1, 5))], {}
        ),
        cases.take([case_changed("c")], Known({}, {})),
        targets.take([finished("c")], {}, round),
    ]
    found: dict[str, tuple[set[str], set[str]]] = {}
    for outcome in outcomes:
        for facts in outcome.new.values():
            for fact in facts:
                for kpi, measure in fact.m.items():
                    found[kpi] = (set(fact.d), set(measure.c))
    return found


def test_the_page_is_what_the_catalogue_says() -> None:
    assert DOCS.read_text() == page(), "python -m services.analytics.domain.page > docs/kpis.md"


@pytest.mark.parametrize("kpi", KPIS.values(), ids=list(KPIS))
def test_every_kpi_is_defined_in_both_languages(kpi: Kpi) -> None:
    assert set(kpi.definition) == {"zh", "en"} and all(kpi.definition.values())


def test_facts_count_for_all_kpis_and_for_no_other() -> None:
    assert set(counted()) == set(KPIS)


@pytest.mark.parametrize("kpi", KPIS.values(), ids=list(KPIS))
def test_a_kpi_offers_the_dimensions_of_its_facts(kpi: Kpi) -> None:
    dimensions, _ = counted()[kpi.name]
    assert set(kpi.dimensions) | {"target"} == dimensions | {"target"}


@pytest.mark.parametrize("name", ["feedback_volume", "case_volume", "backlog", "nps", "csat"])
def test_a_kpi_sums_counters_that_its_facts_have(name: str) -> None:
    _, counters = counted()[name]
    assert set(KPIS[name].numerator) | set(KPIS[name].denominator or {}) <= counters
