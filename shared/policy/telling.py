"""An explanation as sentences for a person, in Chinese or English."""

from __future__ import annotations

from collections.abc import Iterable

from shared.policy import wording
from shared.policy.explain import Explanation, Placed
from shared.policy.policy import Policy
from shared.policy.wording import Reader

_TARGETS = {
    "zh": {"first_response": "首次响应", "update": "进展更新", "resolution": "解决"},
    "en": {"first_response": "first response", "update": "update", "resolution": "resolution"},
}
_LANGUAGES = {"zh": {"zh": "中文", "en": "英文"}, "en": {"zh": "Chinese", "en": "English"}}


def sentences(said: Explanation, policy: Policy, to: Reader) -> list[str]:
    """One line for each matter: category, case, priority, place, people, promise, policy."""
    return _in_chinese(said, policy) if to == "zh" else _in_english(said, policy)


def _in_english(said: Explanation, policy: Policy) -> list[str]:
    case = said.case
    lines = [f"{_capital(said.category.why)}."]
    if case is None:
        lines.append(f"It opens no case and is only recorded, since this does not hold: {said.open_when}.")
    else:
        values = [f"{path} is {value}" for path, value in said.values.items()]
        within = wording.span(policy.cases.join.within, "en")
        same = f"; it would join an open one of the last {within} with the same {_listed(said.joins)}"
        lines += [
            f"It opens a case, since {' and '.join(values) or 'it holds'}: {said.open_when}"
            f"{same if said.joins else ''}.",
            _capital(f"{case.severity.why}, {case.urgency.why}: {case.priority.why}."),
            f"Rule '{case.rule}' sends it to {_party(case.department, policy, 'en')}"
            f"{': ' if case.because else ''}{case.because}.",
            _people_in_english(case, policy),
            _promise_in_english(case),
        ]
    return [*lines, f"So says policy {said.policy_version}."]


def _people_in_english(case: Placed, policy: Policy) -> str:
    owner = ["an agent who is free"]
    if case.language in _LANGUAGES["en"]:
        owner.append(f"speaks {_LANGUAGES['en'][case.language]}")
    if case.skills:
        owner.append(f"has the skill {' and '.join(case.skills)}")
    said = (
        f"The owner is {_listed(owner)}; accountable is {_party(case.accountable, policy, 'en') or 'nobody'}"
    )
    if case.consulted:
        said += f"; consulted: {_parties(case.consulted, policy, 'en')}"
    if case.informed:
        said += f"; informed: {_parties(case.informed, policy, 'en')}"
    return f"{said}."


def _promise_in_english(case: Placed) -> str:
    if case.sla is None:
        return "No time is promised: no entry of sla holds."
    times = [f"{_TARGETS['en'][target]} in {time.why}" for target, time in case.sla.targets.items()]
    return f"Promised by '{case.sla.name}', calendar {case.sla.calendar}: {', '.join(times)}."


def _in_chinese(said: Explanation, policy: Policy) -> list[str]:
    case = said.case
    lines = [f"{said.category.why}。"]
    if case is None:
        lines.append(f"不开立工单，仅作记录，因为以下条件不成立：{said.open_when}。")
    else:
        values = [f"{path} 为 {value}" for path, value in said.values.items()]
        within = wording.span(policy.cases.join.within, "zh")
        same = f"；若 {within}内有 {'、'.join(said.joins)} 相同的未结工单，则并入" if said.joins else ""
        lines += [
            f"开立工单，因为 {'，'.join(values) or '条件成立'}：{said.open_when}{same}。",
            f"{case.severity.why}，{case.urgency.why}，故{case.priority.why}。",
            f"规则“{case.rule}”分派给 {_party(case.department, policy, 'zh')}"
            f"{'：' if case.because else ''}{case.because}。",
            _people_in_chinese(case, policy),
            _promise_in_chinese(case),
        ]
    return [*lines, f"依据政策版本 {said.policy_version}。"]


def _people_in_chinese(case: Placed, policy: Policy) -> str:
    wanted = [f"会{_LANGUAGES['zh'][case.language]}"] if case.language in _LANGUAGES["zh"] else []
    wanted += [f"具备技能 {skill}" for skill in case.skills]
    owner = f"负责人须{'、'.join(wanted)}，且有空闲" if wanted else "负责人为有空闲的坐席"
    said = f"{owner}；问责人 {_party(case.accountable, policy, 'zh') or '无'}"
    if case.consulted:
        said += f"；征询 {_parties(case.consulted, policy, 'zh')}"
    if case.informed:
        said += f"；知会 {_parties(case.informed, policy, 'zh')}"
    return f"{said}。"


def _promise_in_chinese(case: Placed) -> str:
    if case.sla is None:
        return "没有时限承诺：没有成立的 sla 条目。"
    times = [f"{_TARGETS['zh'][target]} {time.why}" for target, time in case.sla.targets.items()]
    return f"时限按“{case.sla.name}”，日历 {case.sla.calendar}：{'，'.join(times)}。"


def _party(name: str, policy: Policy, to: Reader) -> str:
    """A department or person by its id and name."""
    if name in policy.departments:
        shown = policy.departments[name].name.in_language(to)
    elif name in policy.people:
        shown = policy.people[name].name
    else:
        return name
    return f"{name}（{shown}）" if to == "zh" else f"{name} ({shown})"


def _parties(names: Iterable[str], policy: Policy, to: Reader) -> str:
    return ("、" if to == "zh" else ", ").join(_party(name, policy, to) for name in names)


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
