"""The KPIs: the one place that says what each figure means (docs/domain.md 4).

GET /v1/kpis answers it and docs/kpis.md shows it. A figure is numerator / denominator x factor, where both
are sums of counters (tallies.py), written "tally.counter"; one with statistics is read from bins of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fractions import Fraction
from typing import Literal

from services.analytics.domain import cases, joints
from services.analytics.domain.definitions import DEFINITIONS
from services.analytics.domain.tallies import (
    BUSINESS,
    EVERYTHING,
    OLA,
    SCALES,
    TARGETS,
)

Statistic = Literal["p50", "p90", "p95", "p99", "mean", "max"]
SpanClock = Literal["business", "wall"]
Unit = Literal["count", "ratio", "points", "score", "per_thousand", "seconds"]
Direction = Literal["higher", "lower", "neutral"]
Weights = Mapping[str, int]

STATISTICS: tuple[Statistic, ...] = ("p50", "p90", "p95", "p99", "mean")
CLOCKS: tuple[SpanClock, ...] = ("business", "wall")
RIPE_AFTER = timedelta(days=30)
"""By then most complaints have come, and most of what comes back; a younger cohort is not ripe."""
ALL = ("",)
OPENING = "opening"
"""Stands among counters for the stock at the start of the period."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure.

    `numerator` and `denominator` weigh counters; without a denominator the figure is a count. `spans` name
    the column of seconds per clock of a KPI with `statistics`. `part` is a dimension that is kept in tallies
    of its own, `parts` its values (the tally is called `judged_resolution` where a counter is
    `judged.met`), `default_part` the one that is meant where none is named, `apart` those that are meant
    only where they are named. `stock` is what OPENING sums up
    over all time before the period. `window`: how long after a period its figure may still change for a
    reason of its definition. `now`: it is read from the cases that are open now. `direction` says which way
    is better.
    """

    name: str
    unit: Unit
    direction: Direction
    dimensions: tuple[str, ...]
    numerator: Weights
    denominator: Weights | None = None
    factor: Fraction = Fraction(1)
    statistics: tuple[Statistic, ...] = ()
    clocks: tuple[SpanClock, ...] = ()
    spans: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    parts: tuple[str, ...] = ALL
    default_part: str = ""
    apart: tuple[str, ...] = ()
    stock: Weights = field(default_factory=dict)
    window: timedelta = timedelta()
    now: bool = False
    definition: Mapping[str, str] = field(default_factory=dict)

    @property
    def counters(self) -> dict[str, set[str]]:
        """The counters that the figure is made of, by tally (without its part)."""
        found: dict[str, set[str]] = {}
        for name in (*self.numerator, *(self.denominator or {}), *self.stock):
            tally, _, counter = name.partition(".")
            if name != OPENING:
                found.setdefault(tally, set()).add(counter)
        return found

    def tally(self, name: str, part: str) -> str:
        """The tally that counts a part."""
        return f"{name}_{part}" if part else name

    @property
    def tallies(self) -> list[str]:
        return [self.tally(name, part) for name in self.counters for part in self.parts]

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
        if self.window:
            entry["provisional_days"] = self.window.days
        return entry


def _counted() -> list[Kpi]:
    """Of feedback."""
    return [
        Kpi("feedback_volume", "count", "neutral", EVERYTHING, {"feedback.n": 1}),
        Kpi("defects", "count", "lower", EVERYTHING, {"feedback.defects": 1}),
        Kpi(
            "nps", "points", "higher", EVERYTHING,
            {"feedback.promoters": 1, "feedback.detractors": -1}, {"feedback.nps": 1}, Fraction(100),
        ),
        Kpi("csat", "ratio", "higher", EVERYTHING, {"feedback.satisfied": 1}, {"feedback.csat": 1}),
        Kpi(
            "ces", "score", "higher", ("scale", *EVERYTHING), {"ces.thousandths": 1}, {"ces.n": 1},
            Fraction(1, 1000), part="scale", parts=SCALES, default_part=SCALES[0],
        ),
        Kpi(
            "ces_easy_share", "ratio", "higher", ("scale", *EVERYTHING), {"ces.easy": 1}, {"ces.n": 1},
            part="scale", parts=SCALES, default_part=SCALES[0],
        ),
        Kpi(
            "handling_time", "seconds", "lower", EVERYTHING, {}, {"feedback.handled": 1},
            statistics=STATISTICS, clocks=("wall",), spans={"wall": "feedback.handling"},
        ),
    ]  # fmt: skip


def _of_cases() -> list[Kpi]:
    return [
        Kpi("case_volume", "count", "neutral", EVERYTHING, {"opened.n": 1}),
        Kpi("resolved_volume", "count", "neutral", EVERYTHING, {"resolved.n": 1}),
        Kpi("backlog", "count", "lower", EVERYTHING, {"opened.open": 1}),
        Kpi("backlog_paused", "count", "lower", EVERYTHING, {"opened.paused": 1}),
        Kpi(
            "backlog_age", "seconds", "lower", EVERYTHING, {}, {"opened.open": 1},
            statistics=(*STATISTICS, "max"), clocks=("wall",), spans={"wall": "opened.age"}, now=True,
        ),
        Kpi(
            "first_contact_resolution", "ratio", "higher", EVERYTHING,
            {"first_contact.first": 1}, {"first_contact.n": 1}, window=joints.REPEAT_WITHIN,
        ),
        Kpi(
            "reopen_rate", "ratio", "lower", EVERYTHING, {"resolved.reopened": 1}, {"resolved.n": 1},
            window=cases.REOPENED_WITHIN,
        ),
        Kpi("recovery_rate", "ratio", "higher", EVERYTHING, {"closed.satisfied": 1}, {"closed.rated": 1}),
        Kpi("escalation_rate", "ratio", "lower", EVERYTHING, {"opened.escalated": 1}, {"opened.n": 1}),
        Kpi("transfer_rate", "ratio", "lower", EVERYTHING, {"opened.transferred": 1}, {"opened.n": 1}),
        Kpi("department_efficiency", "ratio", "higher", EVERYTHING, {"resolved.n": 1}, {"opened.n": 1}),
    ]  # fmt: skip


def _promised() -> list[Kpi]:
    """Of targets."""
    return [
        Kpi(
            "sla_attainment", "ratio", "higher", ("target", *EVERYTHING),
            {"judged.met": 1}, {"judged.met": 1, "judged.breached": 1},
            part="target", parts=(*TARGETS, OLA), apart=(OLA,),
        ),
        Kpi(
            "first_response_time", "seconds", "lower", EVERYTHING, {}, {"answered.n": 1},
            statistics=STATISTICS, clocks=CLOCKS,
            spans={clock: f"answered.{clock}" for clock in CLOCKS},
        ),
        Kpi(
            "resolution_time", "seconds", "lower", EVERYTHING, {}, {"finished.n": 1},
            statistics=STATISTICS, clocks=CLOCKS,
            spans={clock: f"finished.{clock}" for clock in CLOCKS},
        ),
    ]  # fmt: skip


def _of_business() -> list[Kpi]:
    active = {"customers.joined": 1, "customers.lost": -1}
    units, young = {"units.shipped": 1}, RIPE_AFTER
    return [
        Kpi(
            "response_rate", "ratio", "higher", BUSINESS, {"surveys.answered": 1}, {"surveys.sent": 1},
            window=joints.ANSWER_WITHIN,
        ),
        Kpi(
            "complaint_rate", "per_thousand", "lower", BUSINESS, {"orders.complaints": 1}, {"orders.n": 1},
            Fraction(1000), window=young,
        ),
        Kpi("return_rate", "ratio", "lower", BUSINESS, {"units.returned": 1}, units, window=young),
        Kpi("repair_rate", "ratio", "lower", BUSINESS, {"units.repaired": 1}, units, window=young),
        Kpi("churn_rate", "ratio", "lower", BUSINESS, {"customers.lost": 1}, {OPENING: 1}, stock=active),
        Kpi(
            "retention_rate", "ratio", "higher", BUSINESS, {OPENING: 1, "customers.lost": -1}, {OPENING: 1},
            stock=active,
        ),
        Kpi(
            "repurchase_rate", "ratio", "higher", BUSINESS, {"buyers.again": 1}, {"buyers.n": 1},
            window=joints.SECOND_ORDER_WITHIN,
        ),
    ]  # fmt: skip


def _all() -> dict[str, Kpi]:
    found = [*_counted(), *_of_cases(), *_promised(), *_of_business()]
    return {kpi.name: replace(kpi, definition=DEFINITIONS[kpi.name]) for kpi in found}


KPIS: dict[str, Kpi] = _all()
