"""docs/kpis.md, made from the catalogue: `python -m services.analytics.domain.page > docs/kpis.md`."""

from __future__ import annotations

from services.analytics.domain.catalogue import KPIS, Kpi

_HEAD = """\
# KPIs

Made from `services/analytics/domain/catalogue.py` (`python -m services.analytics.domain.page`); a test keeps
the two equal. `GET /v1/kpis` answers the same catalogue.

Every figure says `n`, and its value is null at n = 0. A figure is numerator / denominator (NPS: times 100);
a count is its numerator alone. An empty value of a dimension, `""`, means "not given".

## How to ask
`GET /v1/kpis/{name}` with

| parameter | meaning |
|---|---|
| `from`, `to` | RFC 3339 with an offset, or a date (midnight in `zone`); `to` exclusive; default: all |
| `grain` | `hour`, `day`, `week` (from Monday), `month`, `all` (the default); at most 10,000 points |
| `zone` | IANA name; `CQM_REPORTING_ZONE` (UTC) without it; a day has its 23, 24 or 25 hours |
| `by` | up to two dimensions: `by=department` or `by=department,channel` |
| `filter` | `filter=department:logistics`, repeated: of one dimension any, of several all must hold |
| `stat`, `clock` | times only: `p50` (default), `p90`, `p95`, `p99`, `mean`; `business` (default), `wall` |
| `target` | sla_attainment only: `first_response`, `update`, `resolution` |

The first point of a series starts at `from`, also in the middle of a day. `as_of` is the latest event time
(the time a feedback was received, a case changed, a clock stopped) that has been counted from the KPI's
topic by any replica; events of a partition that lags behind may still be missing.

Hourly rollups answer whole UTC hours with one dimension (`target` is free). Two dimensions, times that are
not whole hours, and zones with half-hour offsets are counted from the facts, up to `CQM_FACTS_PER_ANSWER`
(200,000) facts between `from` and `to`; both ways give the same figure.

## The figures
"""


def page() -> str:
    """The whole file."""
    return _HEAD + "\n".join(_section(kpi) for kpi in KPIS.values())


def _section(kpi: Kpi) -> str:
    lines = [f"### {kpi.name}", kpi.definition["en"], "", kpi.definition["zh"], ""]
    lines.append(f"- unit: {kpi.unit}; better: {kpi.direction}")
    lines.append(f"- dimensions: {', '.join(kpi.dimensions)}")
    if kpi.statistics:
        lines.append(f"- statistics: {', '.join(kpi.statistics)}; clocks: {', '.join(kpi.clocks)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
