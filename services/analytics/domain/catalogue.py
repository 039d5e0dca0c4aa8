"""The KPIs: the one place that says what each figure means (docs/domain.md 4).

GET /v1/kpis answers it and docs/kpis.md shows it. A figure is numerator / denominator x factor, where both
are sums of counters that facts carry (rollups.py); a KPI with statistics is read from bins of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.analytics.domain import cases, feedback, targets

Statistic = Literal["p50", "p90", "p95", "p99", "mean"]
SpanClock = Literal["business", "wall"]

FEEDBACK_DIMENSIONS = ("channel", "kind", "category", "department", "source", "region", "tier")
CASE_DIMENSIONS = ("channel", "kind", "category", "department", "priority", "source", "region", "tier")
TARGET_DIMENSIONS = ("channel", "kind", "category", "department", "priority", "region", "tier")
STATISTICS: tuple[Statistic, ...] = ("p50", "p90", "p95", "p99", "mean")
CLOCKS: tuple[SpanClock, ...] = ("business", "wall")


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure.

    `numerator` and `denominator` weigh counters; without a denominator the figure is a count. `direction`
    says which way is better. `collection` holds the facts that are counted.
    """

    name: str
    definition: Mapping[str, str]
    unit: Literal["count", "ratio", "points", "seconds"]
    direction: Literal["higher", "lower", "neutral"]
    dimensions: tuple[str, ...]
    collection: str
    numerator: Mapping[str, int]
    denominator: Mapping[str, int] | None = None
    factor: int = 1
    statistics: tuple[Statistic, ...] = ()
    clocks: tuple[SpanClock, ...] = ()
    parts: tuple[str, ...] = field(default=("",))

    def document(self) -> dict[str, object]:
        """The entry of GET /v1/kpis."""
        entry: dict[str, object] = {
            "name": self.name,
            "definition": self.definition,
            "unit": self.unit,
            "dimensions": self.dimensions,
            "direction": self.direction,
        }
        if self.statistics:
            entry |= {"statistics": self.statistics, "clocks": self.clocks}
        return entry


FEEDBACK_VOLUME = Kpi(
    "feedback_volume",
    {
        "en": "Feedback received, counted at the time the customer spoke (occurred_at). The department is "
        "that of the case which the feedback opened or joined; the category is the customer's, else that "
        "case's.",
        "zh": "收到的反馈数量，按客户反馈发生的时间（occurred_at）计。部门取该反馈所开立或并入的案件的部门；"
        "类别取客户所给，未给时取案件的类别。",
    },
    "count",
    "neutral",
    FEEDBACK_DIMENSIONS,
    feedback.COLLECTION,
    {"n": 1},
)
CASE_VOLUME = Kpi(
    "case_volume",
    {
        "en": "Cases opened, whatever became of them, counted at opened_at.",
        "zh": "开立的案件数量（不论后来状态），按开立时间 opened_at 计。",
    },
    "count",
    "neutral",
    CASE_DIMENSIONS,
    cases.COLLECTION,
    {"n": 1},
)
BACKLOG = Kpi(
    "backlog",
    {
        "en": "Cases open now (not resolved, closed, merged or cancelled), counted at the time they were "
        "opened: a series shows how old the backlog is, not how large it was.",
        "zh": "目前未结案件数量（未解决、未关闭、未合并、未取消），按开立时间计："
        "序列反映积压案件的账龄，而非历史积压量。",
    },
    "count",
    "lower",
    CASE_DIMENSIONS,
    cases.COLLECTION,
    {"n": 1},
)
NPS = Kpi(
    "nps",
    {
        "en": "100 x (scores 9-10 minus scores 0-6) / answered; answers on the scale 0-10 only, counted at "
        "occurred_at.",
        "zh": "100 ×（9–10 分人数 − 0–6 分人数）/ 回答人数；仅计 0–10 分制，按 occurred_at 计。",
    },
    "points",
    "higher",
    FEEDBACK_DIMENSIONS,
    feedback.COLLECTION,
    {"promoters": 1, "detractors": -1},
    {"answered": 1},
    factor=100,
)
CSAT = Kpi(
    "csat",
    {
        "en": "Satisfied answers / answered. Satisfied is 4 and 5 on 1-5; on other scales the top 40 % of "
        "the scale's steps, rounded down, at least one step. The scale is stored with the fact. Counted at "
        "occurred_at.",
        "zh": "满意回答数 / 回答数。1–5 分制中 4、5 分为满意；其他分制取最高的 40 % 档位"
        "（向下取整，至少一档）。分制随事实保存，按 occurred_at 计。",
    },
    "ratio",
    "higher",
    FEEDBACK_DIMENSIONS,
    feedback.COLLECTION,
    {"satisfied": 1},
    {"answered": 1},
)
SLA_ATTAINMENT = Kpi(
    "sla_attainment",
    {
        "en": "Met / (met + breached) promises, per target and clock epoch; one that is open and past due "
        "counts as breached. A met promise counts when its clock stopped, a breached one when it was due. "
        "Without `target` all targets count together.",
        "zh": "达标数 /（达标数 + 违约数），按目标与时钟周期计；未完成且已逾期的计为违约。"
        "达标按停钟时间计，违约按到期时间计。未指定 target 时合并所有目标。",
    },
    "ratio",
    "higher",
    ("target", *TARGET_DIMENSIONS),
    targets.COLLECTION,
    {"met": 1},
    {"met": 1, "breached": 1},
    parts=("first_response", "update", "resolution"),
)
FIRST_RESPONSE_TIME = Kpi(
    "first_response_time",
    {
        "en": "First human public reply minus first inbound customer message, less holds, in seconds of the "
        "clock's calendar (business) or on the wall; counted when the reply was given. Percentiles are "
        "exact to 1 %, the mean is exact.",
        "zh": "首次人工公开回复时间减客户首次来信时间，扣除暂停，"
        "按工作日历（business）或自然时间（wall）的秒数计，记在回复发生之时。"
        "百分位误差不超过 1 %，平均值精确。",
    },
    "seconds",
    "lower",
    TARGET_DIMENSIONS,
    targets.COLLECTION,
    {},
    {"n": 1},
    statistics=STATISTICS,
    clocks=CLOCKS,
    parts=("first_response",),
)

KPIS: dict[str, Kpi] = {
    kpi.name: kpi
    for kpi in (FEEDBACK_VOLUME, CASE_VOLUME, BACKLOG, NPS, CSAT, SLA_ATTAINMENT, FIRST_RESPONSE_TIME)
}
