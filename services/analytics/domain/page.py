"""docs/kpis.md, made from the catalogue: `python -m services.analytics.domain.page > docs/kpis.md`."""

from __future__ import annotations

from services.analytics.domain.catalogue import KPIS, Kpi
from services.analytics.domain.tallies import PAIRS

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
| `grain` | `hour`, `day`, `week` (of the policy), `month`, `all` (the default); at most 10,000 points |
| `zone` | IANA name; `CQM_REPORTING_ZONE` (UTC) without it; a day has its 23, 24 or 25 hours |
| `by` | up to two dimensions: `by=department` or `by=department,channel` |
| `filter` | `filter=department:logistics`, repeated: of one dimension any, of several all must hold |
| `stat`, `clock` | times only: `p50` (default), `p90`, `p95`, `p99`, `mean`; `business` (default), `wall` |
| `target` | sla_attainment only: `first_response`, `update`, `resolution` |
| `scale` | ces and ces_easy_share only: `1-7` (default), `1-5`, `1-10`, `0-10` |

The first point of a series starts at `from`, also in the middle of a day; `from` and `to` are whole seconds.
A point that is `provisional` may still change because its definition looks so many days ahead.

`as_of` is the moment up to which every partition of the KPI's topics is in: what Kafka held then is counted,
later events may be in part. An idle or empty partition does not hold it back; one that is more than five
minutes behind is as far as the latest event counted of it. It is null while that cannot be said, right after
a start. `cqm_analytics_freshness_seconds` is its age over all topics.

## What is fast, and what is bounded
Kept ready, and read within milliseconds over any span: every figure by no dimension or one, and by the pairs
{pairs} (by or filtered; `target` and `scale` are free). Sums are kept by half an hour, so hours and days of
all zones but those with quarter hours are kept ready too. Any other combination, and the days at which
something other than half an hour begins, are counted line by line, up to `CQM_FACTS_PER_ANSWER` (2,000,000)
lines; beyond it the answer is 422 with what to narrow. Both ways give the same figure.

Percentiles come from bins 2 % wide that add up exactly: they differ from the exact ones by 1 % at most.
Counts, sums and means are exact; a value is rounded once, to the nearest double.

## The figures
"""


def page() -> str:
    """The whole file."""
    return _HEAD.replace("{pairs}", ", ".join(" x ".join(pair) for pair in PAIRS)) + "\n".join(
        _section(kpi) for kpi in KPIS.values()
    )


def _section(kpi: Kpi) -> str:
    lines = [f"### {kpi.name}", kpi.definition["en"], "", kpi.definition["zh"], ""]
    lines.append(f"- unit: {kpi.unit}; better: {kpi.direction}")
    lines.append(f"- dimensions: {', '.join(kpi.dimensions)}")
    if kpi.statistics:
        lines.append(f"- statistics: {', '.join(kpi.statistics)}; clocks: {', '.join(kpi.clocks)}")
    if kpi.window:
        lines.append(f"- provisional for {kpi.window.days} days")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
