"""From query parameters to a question, with an error for each thing that does not fit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from services.analytics.domain.catalogue import CLOCKS, KPIS, STATISTICS, Kpi, SpanClock, Statistic
from services.analytics.domain.figures import Question
from services.analytics.domain.periods import Grain, TooManyPeriods, starts
from shared.permission import narrowed, sees_colleagues, visible_departments
from shared.principal import Principal
from shared.problem import Fault, Problem

MOST_POINTS = 10_000
MOST_DIMENSIONS = 2
DEPARTMENT, OWNER = "department", "owner"
REPEATABLE = frozenset({"by", "filter"})
_EARLIEST, _LATEST = datetime(1900, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST_MOMENT, LONGEST_ZONE = 40, 64
_PLUS_READ_AS_SPACE = re.compile(r"([0-9T:.-]+) (\d\d:\d\d)", re.ASCII)


class Span(BaseModel):
    """The query parameters that name a period."""

    model_config = ConfigDict(extra="forbid")

    from_: str | None = Field(
        None, alias="from", max_length=LONGEST_MOMENT,
        description="RFC 3339 with an offset, or a date in `zone`",
    )  # fmt: skip
    to: str | None = Field(
        None, max_length=LONGEST_MOMENT, description="RFC 3339 with an offset, or a date in `zone`; exclusive"
    )
    zone: str | None = Field(
        None, max_length=LONGEST_ZONE, description="IANA time zone, such as Asia/Shanghai"
    )


class Parameters(Span):
    """The query parameters of a figure."""

    grain: Grain = "all"
    by: list[str] = Field([], description="up to two dimensions, repeated or comma-separated")
    filter: list[str] = Field([], max_length=50, description="dimension:value, repeated")
    stat: Statistic | None = Field(None, description="of times only; p50 without it")
    clock: SpanClock | None = Field(None, description="of times only; business without it")
    target: Literal["first_response", "update", "resolution", "ola"] | None = Field(
        None, description="of sla_attainment only; without it all that is promised to customers"
    )
    scale: Literal["1-7", "1-5", "1-10", "0-10"] | None = Field(
        None, description="of ces and ces_easy_share only; 1-7 without it"
    )


@dataclass(frozen=True)
class Asked:
    """Checked parameters; `begin` and `end` are None where all there is was asked for."""

    kpi: Kpi
    begin: datetime | None
    end: datetime | None
    grain: Grain
    zone: ZoneInfo
    by: tuple[str, ...]
    where: dict[str, tuple[str, ...]]
    statistic: Statistic
    clock: SpanClock

    @property
    def bounded(self) -> bool:
        return self.begin is not None and self.end is not None

    def question(
        self, extent: tuple[datetime, datetime] | None, now: datetime, first_weekday: int
    ) -> Question:
        """The question over a known span: what was not given reaches as far as there are counts.

        Raises Problem 422 for an empty or reversed span, and for too many points.
        """
        this_hour = now.replace(minute=0, second=0, microsecond=0)
        first, last = extent or (this_hour, this_hour + timedelta(hours=1))
        begin = self.begin or min(first, (self.end or last) - timedelta(hours=1))
        end = self.end or max(last, begin + timedelta(hours=1))
        if begin >= end:
            raise refuse("from", "must be before `to`")
        try:
            moments = starts(begin, end, self.grain, self.zone, MOST_POINTS, first_weekday)
        except TooManyPeriods as error:
            message = "too many points between from and to: take a coarser grain or a shorter span"
            raise refuse("grain", message, MOST_POINTS) from error
        return Question(
            self.kpi, begin, end, self.grain, self.zone, moments,
            self.by, self.where, self.statistic, self.clock,
        )  # fmt: skip


def refuse(parameter: str, message: str, limit: int | str | None = None) -> Problem:
    """422 about one query parameter."""
    return Problem(422, "The query does not fit; see errors.", [Fault(f"?{parameter}", message, limit)])


def asked(kpi: Kpi, given: Parameters, default_zone: ZoneInfo) -> Asked:
    """The checked parameters. Raises Problem 422 that names the parameter and what is allowed."""
    zone = _zone(given.zone) if given.zone is not None else default_zone
    for name, value in (("stat", given.stat), ("clock", given.clock)):
        if value is not None and not kpi.statistics:
            times = ", ".join(one.name for one in KPIS.values() if one.statistics)
            raise refuse(name, f"{kpi.name} is not a time: it has no {name}; times are {times}")
    if given.stat is not None and given.stat not in kpi.statistics:
        raise refuse("stat", f"allowed: {', '.join(kpi.statistics)}")
    if given.clock is not None and given.clock not in kpi.clocks:
        raise refuse("clock", f"allowed: {', '.join(kpi.clocks)}")
    where = _filters(kpi, given.filter)
    for part, wanted in (("target", given.target), ("scale", given.scale)):
        if wanted is not None:
            if part != kpi.part:
                allowed = ", ".join(one.name for one in KPIS.values() if one.part == part)
                raise refuse(part, f"{kpi.name} is not counted by {part}; allowed with {allowed}")
            where[part] = tuple(value for value in where.get(part, (wanted,)) if value == wanted)
    return Asked(
        kpi=kpi,
        begin=_moment("from", given.from_, zone),
        end=_moment("to", given.to, zone),
        grain=given.grain,
        zone=zone,
        by=_dimensions(kpi, given.by),
        where=where,
        statistic=given.stat or STATISTICS[0],
        clock=given.clock or (kpi.clocks or CLOCKS)[0],
    )


def of_departments(wanted: Asked, who: Principal) -> Asked:
    """What was asked, of those departments only whose figures the caller may see.

    Raises Problem 403 for a KPI that is not counted by department, unless the caller may see all.
    """
    if visible_departments(who) is None:
        return wanted
    if DEPARTMENT not in wanted.kpi.dimensions:
        allowed = [kpi.name for kpi in KPIS.values() if DEPARTMENT in kpi.dimensions]
        detail = f"{wanted.kpi.name} is counted for all departments together; the caller sees some."
        raise Problem(403, detail, allowed=allowed)
    departments = narrowed(who, wanted.where.get(DEPARTMENT)) or ()
    return replace(wanted, where=wanted.where | {DEPARTMENT: departments})


def of_owners(wanted: Asked, who: Principal) -> Asked:
    """What was asked about owners, of the caller alone where they may not compare colleagues."""
    if sees_colleagues(who) or (OWNER not in wanted.by and OWNER not in wanted.where):
        return wanted
    owners = tuple(name for name in wanted.where.get(OWNER, (who.name,)) if name == who.name)
    return replace(wanted, where=wanted.where | {OWNER: owners})


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise refuse("zone", "must be an IANA time zone such as Asia/Shanghai or UTC") from error


def _moment(parameter: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    if text is None:
        return None
    try:
        moment = _parsed(text, zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = "must be RFC 3339 with an offset (2026-03-02T09:00:00+08:00) or a date (2026-03-02)"
        raise refuse(parameter, message) from error
    if moment.microsecond:
        raise refuse(parameter, "must be a whole second")
    if not _EARLIEST <= moment <= _LATEST:
        raise refuse(parameter, "must lie in the years 1900 to 2199")
    return moment


def _parsed(text: str, zone: ZoneInfo) -> datetime:
    """A `+` that was not percent-encoded arrives as a space: it is taken for what was meant."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return datetime.combine(date.fromisoformat(text), time(), zone)
    if broken := _PLUS_READ_AS_SPACE.fullmatch(text):
        text = f"{broken[1]}+{broken[2]}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment


def _dimensions(kpi: Kpi, given: list[str]) -> tuple[str, ...]:
    names = tuple(name for part in given for name in part.split(","))
    if len(names) > MOST_DIMENSIONS:
        raise refuse("by", "too many dimensions", MOST_DIMENSIONS)
    if len(set(names)) < len(names):
        raise refuse("by", "names a dimension twice")
    for name in names:
        _known(kpi, "by", name)
    return names


def _filters(kpi: Kpi, given: list[str]) -> dict[str, tuple[str, ...]]:
    where: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise refuse("filter", "must be DIMENSION:VALUE, such as department:logistics")
        _known(kpi, "filter", name)
        if name == kpi.part and value not in kpi.parts:
            raise refuse("filter", f"no {name} of {kpi.name}; allowed: {', '.join(kpi.parts)}")
        where[name] = (*where.get(name, ()), value)
    return where


def _known(kpi: Kpi, parameter: str, name: str) -> None:
    if name not in kpi.dimensions:
        raise refuse(parameter, f"not a dimension of {kpi.name}; allowed: {', '.join(kpi.dimensions)}")
