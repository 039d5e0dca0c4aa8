"""Decisions in words, in Chinese and English: `Case.reason`, the data of its history, and single phrases.

Names of people, departments and categories are those of the policy; whatever a sender wrote is not repeated,
but for a category that was given and the policy's own words that were found.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from shared.policy.decision import Graded, Judgement, Reading
from shared.policy.durations import Business, Wall
from shared.policy.policy import Raising

Reader = Literal["zh", "en"]

LEVELS = {"critical": "危急", "high": "高", "medium": "中", "low": "低"}
_UNITS = ((86_400, "天", "day"), (3_600, "小时", "hour"), (60, "分钟", "minute"), (1, "秒", "second"))


def reader_of(language: str) -> Reader:
    """Whom a decision is told to, by the language of the feedback."""
    return "zh" if language == "zh" else "en"


def reason(reading: Reading, judgement: Judgement, to: Reader) -> str:
    """Why a case is where it is, in one sentence: the rule's own reason first."""
    rule, grades = _around_category(judgement, to)
    return f"{rule}{category(reading, to)}{grades}"


@lru_cache(maxsize=2048)
def _around_category(judgement: Judgement, to: Reader) -> tuple[str, str]:
    rule = judgement.rule
    because = rule.because.in_language(to) if rule.because else ""
    parts = (severity(judgement, to), urgency(judgement, to), priority(judgement, to))
    if to == "zh":
        return f"{because}{'：' if because else ''}规则“{rule.name}”；", "；" + "；".join(parts)
    return f"{because}{': ' if because else ''}rule '{rule.name}'; ", "; " + "; ".join(parts)


def details(reading: Reading, judgement: Judgement) -> dict[str, Any]:
    """The same for programs: what is empty is left out."""
    found = reading.found
    data: dict[str, Any] = {"category_by": reading.by}
    if found.words:
        data["words"] = list(found.words)
    if found.denied:
        data["denied"] = list(found.denied)
    return data | _details(judgement)


@lru_cache(maxsize=2048)
def _details(judgement: Judgement) -> dict[str, Any]:
    raised = {
        "severity": judgement.severity.raised,
        "urgency": judgement.urgency.raised,
        "priority": judgement.raised,
    }
    data: dict[str, Any] = {
        "severity_by": _by(judgement.severity),
        "urgency_by": _by(judgement.urgency),
        "raised": {what: [one.condition.text for one in by] for what, by in raised.items() if by},
        "consulted": list(judgement.raci.consulted),
        "informed": list(judgement.raci.informed),
    }
    return {name: value for name, value in data.items() if value}


def category(reading: Reading, to: Reader, name: str = "") -> str:
    """Which category, with its name for people where there is one, and how it came to be."""
    found = reading.found
    if to == "zh":
        denied = f"（{_quoted(found.denied, to)}被否定，不计）" if found.denied else ""
        said = f"类别 {reading.category}{f'（{name}）' if name else ''}"
        how = {
            "given": f"{said}{'' if name else ' '}为来件自带",
            "words": f"{said}，依据{_quoted(found.words, to)}",
            "none": "没有找到类别词",
        }
        return how[reading.by] + denied
    denied = f" ({_quoted(found.denied, to)} denied, not counted)" if found.denied else ""
    said = f"category {reading.category}{f' ({name})' if name else ''}"
    how = {
        "given": f"{said} as given",
        "words": f"{said} by {_quoted(found.words, to)}",
        "none": "no category word found",
    }
    return how[reading.by] + denied


def severity(judgement: Judgement, to: Reader) -> str:
    return _graded("严重度" if to == "zh" else "severity", judgement.severity, to)


def urgency(judgement: Judgement, to: Reader) -> str:
    return _graded("紧迫度" if to == "zh" else "urgency", judgement.urgency, to)


def priority(judgement: Judgement, to: Reader) -> str:
    raised = _raised(judgement.raised, to)
    return f"优先级 {judgement.priority}{raised}" if to == "zh" else f"priority {judgement.priority}{raised}"


def span(time: Business | Wall, to: Reader, *, whole_days: bool = True) -> str:
    """A time in its largest whole unit. A business day is one of its calendar; other days have 24 hours.

    Without `whole_days` they are said in hours: where a calendar works 8 hours a day, 2d are 48 of them.
    """
    if isinstance(time, Business) and time.days:
        return _counted(time.days, "个工作日", "business day", to)
    units = _UNITS if whole_days else _UNITS[1:]
    size, zh, en = next(unit for unit in units if time.seconds % unit[0] == 0)
    return _counted(time.seconds // size, zh, en, to)


def _counted(count: int, zh: str, en: str, to: Reader) -> str:
    return f"{count} {zh}" if to == "zh" else f"{count} {en}{'' if count == 1 else 's'}"


def _by(graded: Graded[Any]) -> str:
    return graded.category if graded.by == "category" else graded.by


def _graded(what: str, graded: Graded[Any], to: Reader) -> str:
    raised = _raised(graded.raised, to)
    if to == "zh":
        by = {"given": "来件自带", "category": f"按类别 {graded.category}", "default": "默认"}
        return f"{what}{LEVELS[graded.value]}（{by[graded.by]}）{raised}"
    by = {"given": "given", "category": f"of category {graded.category}", "default": "by default"}
    return f"{what} {graded.value} ({by[graded.by]}){raised}"


def _raised(raised: Iterable[Raising], to: Reader) -> str:
    whys = [one.because.in_language(to) if one.because else one.condition.text for one in raised]
    if not whys:
        return ""
    return f"（上调：{'、'.join(whys)}）" if to == "zh" else f" (raised: {', '.join(whys)})"


def _quoted(words: Iterable[str], to: Reader) -> str:
    return "".join(f"“{word}”" for word in words) if to == "zh" else ", ".join(f"'{word}'" for word in words)
