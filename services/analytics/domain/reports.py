"""Reports: KPIs side by side, by department or owner; and the Pareto of a count.

A report has no figures of its own: each of its columns is a KPI with fixed parameters, so whatever it shows
can be asked for, drilled into and recomputed under the name of the KPI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from services.analytics.domain.catalogue import KPIS
from services.analytics.domain.figures import Counted, Key


@dataclass(frozen=True, slots=True)
class Column:
    """A KPI with parameters of its own. `always`: over all time before the end of the period."""

    name: str
    title: Mapping[str, str]
    kpi: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    always: bool = False

    @property
    def is_time(self) -> bool:
        return bool(KPIS[self.kpi].statistics)


def _column(name: str, kpi: str, en: str, zh: str, **given: str) -> Column:
    return Column(name, {"en": en, "zh": zh}, kpi, given, always=kpi == "backlog")


EFFICIENCY: tuple[Column, ...] = (
    _column("opened", "case_volume", "opened", "开立"),
    _column("resolved", "resolved_volume", "resolved", "解决"),
    _column("efficiency", "department_efficiency", "resolved / opened", "解决/开立"),
    _column("backlog", "backlog", "open now", "未结"),
    _column("reopen_rate", "reopen_rate", "reopened", "重开率"),
    _column("transfer_rate", "transfer_rate", "transferred", "转派率"),
    _column("escalation_rate", "escalation_rate", "escalated", "升级率"),
    _column("attainment", "sla_attainment", "SLA attainment", "SLA 达标率"),
    _column("attainment_first_response", "sla_attainment", "first response in time", "首响达标率",
            target="first_response"),
    _column("attainment_resolution", "sla_attainment", "resolved in time", "解决达标率", target="resolution"),
    _column("first_response_p50", "first_response_time", "first response p50", "首响 p50", stat="p50"),
    _column("first_response_p90", "first_response_time", "first response p90", "首响 p90", stat="p90"),
    _column("resolution_p50", "resolution_time", "resolution p50", "解决时长 p50", stat="p50"),
    _column("resolution_p90", "resolution_time", "resolution p90", "解决时长 p90", stat="p90"),
)  # fmt: skip
"""Of departments, and of owners."""
COMMON = tuple(
    name
    for name in KPIS["case_volume"].dimensions
    if all(name in KPIS[column.kpi].dimensions for column in EFFICIENCY)
)
"""The dimensions that all columns are counted by."""
PARETO_BY = ("category", "product_model", "product_batch", "supplier")


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of a Pareto: its count, its share of all, and both summed up to here, the largest first."""

    key: dict[str, str]
    n: int
    share: float
    cumulative: int
    cumulative_share: float


def pareto(counted: Counted, by: str, counter: str) -> list[Bar]:
    """The values by their counts, the largest first, equal ones in the order of their names.

    Shares are rounded once, to the nearest double; the last cumulative share is exactly 1.
    """
    sums: dict[Key, int] = {
        key: sum(periods) for key, periods in zip(counted.keys, counted.sums[counter], strict=True)
    }
    ranked = sorted(((n, key) for key, n in sums.items() if n), key=lambda one: (-one[0], one[1]))
    return list(_bars(ranked, by, sum(n for n, _ in ranked)))


def _bars(ranked: Sequence[tuple[int, Key]], by: str, whole: int) -> Iterator[Bar]:
    gone = 0
    for n, (value,) in ranked:
        gone += n
        yield Bar({by: value}, n, float(Fraction(n, whole)), gone, float(Fraction(gone, whole)))
