"""docs/metrics.md from the catalogue of metrics: `python -m tests.contract.metrics` writes it.

It lives here because the services declare metrics of their own, and shared/ must not import them.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from shared.observability import CATALOGUE
from tests.contract.wired import apps

FILE = Path(__file__).parents[2] / "docs/metrics.md"
AREAS = {
    "http": "HTTP, in every service",
    "publish": "Publishing, in every service",
    "stream": "Consuming, in every service but intake; `group` is the consumer group (topics.md)",
    "policy": "The policy in force, in routing and sla",
    "intake": "intake",
    "routing": "routing",
    "sla": "sla",
    "analytics": "analytics",
}
_HEAD = """\
# Metrics

<!-- Written by `python -m tests.contract.metrics` from the code; `make docs` writes it anew. -->

Each service shows its own at `/metrics`. Names are `cqm_AREA_NOUN_UNIT`; seconds and bytes are never scaled.
A histogram has `_bucket`, `_sum` and `_count`. Prometheus tells replicas apart by the `instance` it adds."""


def exposed_name(metric: Counter | Gauge | Histogram) -> str:
    """As it stands at /metrics: counters end in `_total` there."""
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def area_of(name: str) -> str:
    return name.split("_")[1]


def table() -> str:
    """The whole document; the services are built first, so that theirs are declared."""
    apps()
    lines = [_HEAD]
    for area, title in AREAS.items():
        own = [metric for metric in CATALOGUE.values() if area_of(exposed_name(metric)) == area]
        if own:
            lines += [f"\n## {title}\n", "| metric | type | labels | meaning |", "|---|---|---|---|"]
            lines += sorted(map(_row, own))
    return "\n".join(lines) + "\n"


def _row(metric: Counter | Gauge | Histogram) -> str:
    (family,) = metric.describe()
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{exposed_name(metric)}` | {family.type} | {labels} | {family.documentation} |"


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
