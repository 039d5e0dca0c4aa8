"""How the demo looks."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from deploy.commands.addresses import Addresses, folder_option
from deploy.commands.demo_reading import Picture
from deploy.commands.demo_story import Story
from deploy.commands.kpi import show_figure
from deploy.commands.terminal import line, out, plain, program, table

FIRST_ESCALATIONS = 5
TEXT = "刚收到的快递箱子压坏了，里面的杯子全碎了，请尽快处理。"
_STEPS = {
    "remind_owner": "reminds the owner",
    "notify_supervisor": "tells the supervisor",
    "notify_head": "tells the head",
    "notify": "tells",
    "reassign": "asks for another owner",
    "raise_priority": "raises the priority",
}
_HAPPENED = {
    "assigned": ("分派", "assigned"),
    "remind_owner": ("提醒负责人", "reminded, its owner"),
    "breached": ("超时", "breached, the promise"),
    "notify_supervisor": ("通知主管", "notified, the supervisor"),
    "raise_priority": ("要求升级", "a higher priority is asked for"),
    "prioritised": ("升级", "raised, its priority"),
    "reassign": ("要求改派", "another owner is asked for"),
    "reassigned": ("改派", "reassigned"),
    "notify_head": ("通知部门经理", "notified, the head"),
    "notify": ("通知", "notified"),
}
"""What can happen to a case that nobody answers, in Chinese and in English."""


def taken(job: dict[str, Any], new: int) -> None:
    """`job`: of the import, as intake tells it."""
    line(f"  {job['accepted']:,} taken, {job['rejected']:,} rejected; {new:,} of them are new to analytics")
    if not new and job["accepted"]:
        line("  The same requests again add nothing: their ids come from source and external_id.")


def owners(picture: Picture) -> None:
    """Per department: cases, who has them, one owner and why."""
    by_department: dict[str, list[Any]] = {}
    for case in picture.cases:
        by_department.setdefault(case["department"], []).append(case)
    line()
    owned = sum(bool(case["owner"]) for case in picture.cases)
    queued = len(picture.cases) - owned
    line(f"{len(picture.cases):,} cases: {owned:,} have an owner, {queued:,} wait in a queue", "bold")
    shown = table("department", "owned", "queued", "for example", "because", right=("owned", "queued"))
    for department, cases in sorted(by_department.items(), key=lambda entry: -len(entry[1])):
        mine = [case for case in cases if case["owner"]]
        example = (mine or cases)[0]
        owner = picture.people.get(example["owner"] or example["holder"] or "", "-")
        shown.add_row(
            _department(picture, department), f"{len(mine):,}", f"{len(cases) - len(mine):,}",
            plain(owner), plain(example["decision"]["reason"]),
        )  # fmt: skip
    out.print(shown)


def _department(picture: Picture, name: str) -> str:
    names = picture.departments.get(name, {}).get("name", {})
    return plain(" ".join(filter(None, (names.get("zh"), names.get("en")))) or name)


def escalated(picture: Picture, escalations: list[Any]) -> None:
    """The requests are of 2024: they are late when they arrive, and the promises of the policy fire."""
    references = {case["id"]: case["reference"] for case in picture.cases}
    late = {escalation["case_id"] for escalation in escalations}
    steps = Counter(_STEPS[escalation["action"]] for escalation in escalations)
    told = ", ".join(f"{step} {count:,} times" for step, count in steps.most_common())
    line()
    line(f"{len(late):,} cases are late and escalated: CQM {told or 'has told nobody yet'}", "bold")
    if not escalations:
        return
    shown = table("case", "target", "due", "step", "to")
    addressed = [escalation for escalation in escalations if escalation["recipient"]]
    for escalation in (addressed or escalations)[:FIRST_ESCALATIONS]:
        shown.add_row(
            references.get(escalation["case_id"], "-"),
            escalation["target"],
            _moment(escalation["due_at"]),
            _STEPS[escalation["action"]],
            _name(picture.people, escalation["recipient"]),
        )
    out.print(shown)


def figure(answer: Any) -> None:
    line()
    show_figure(answer, most_rows=12)


def complaint_begins() -> None:
    line()
    line("Now one complaint, in Chinese:", "bold")
    line(f"  {TEXT}")


def new_complaint() -> dict[str, Any]:
    """A complaint about a broken box that nobody has sent before."""
    return {
        "source": "cqm-demo",
        "external_id": f"demo-{uuid.uuid4()}",
        "kind": "complaint",
        "channel": "web",
        "language": "zh",
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "text": TEXT,
        "urgency": "medium",
        "customer": {"tier": "gold", "region": "Shanghai"},
    }


def complaint(receipt: Any, case: Any, people: dict[str, str], seconds: float) -> None:
    line(f"  taken as {receipt['reference']}")
    if case is None:
        line("  no case was opened for it: the policy in force opens none, or routing is behind (cqm status)")
        return
    who = f"{_name(people, case['owner'])} is its owner" if case["owner"] else "it waits in the queue"
    line(f"  after {seconds:.1f} s: a {case['priority']} case of {case['department']}, {who}", "bold")
    line(f"  rule: {plain(case['decision']['rule'])}")
    line(f"  reason: {plain(case['decision']['reason'])}")


def story(told: Story | None, people: dict[str, str]) -> None:
    """What became of a case that nobody answered, each line with its second."""
    lines = told.lines() if told else []
    if told is None or not any(one.due for one in lines):
        line("  no escalation yet: the policy in force gives it more time")
        return
    promised = told.target["target_seconds"]
    line()
    line(f"Nobody answers it, though the policy promises an answer within {promised} s:", "bold")
    shown = table("after", "due", "", "", "who", right=("after", "due"))
    for one in lines:
        zh, en = _HAPPENED.get(one.what, ("", one.what))
        due = "" if one.due is None else _after(told, one.due)
        shown.add_row(_after(told, one.at), due, zh, en, _name(people, one.who) if one.who else "")
    out.print(shown)


def _after(told: Story, at: datetime) -> str:
    return f"{(at - told.began).total_seconds():.1f} s"


def _moment(at: str) -> str:
    """RFC 3339 to the second."""
    return f"{at[:19]}Z".replace("T", " ")


def _name(people: dict[str, str], identity: str | None) -> str:
    if not identity:
        return "-"
    return plain(f"{people[identity]} ({identity})" if identity in people else identity)


def next_steps(addresses: Addresses) -> None:
    """Links, and commands to paste."""
    line()
    line("Try next", "bold")
    line(f"  {addresses.url('routing')}/v1/cases?department=logistics")
    line(f"  {addresses.url('sla')}/v1/overdue")
    line(f"  {addresses.url('analytics')}/v1/kpis/first_response_time?by=department")
    folder = folder_option(addresses.folder)
    width = len(f"{program()} import FILE.csv --mapping MAPPING.yaml{folder}") + 3
    for command, what in (
        ("kpi feedback_volume --by category", "a figure, in the terminal"),
        ("status", "what is ready, and what waits"),
        ("import FILE.csv --mapping MAPPING.yaml", "data of your own"),
        ("doctor", "what is well, and what is not"),
    ):
        line(f"  {f'{program()} {command}{folder}':<{width}} {what}")
