"""An afternoon told again from its histories: each line is done to the model, which may refuse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import ids
from shared.events import FeedbackReceived
from tests.support.afternoon import Afternoon
from tests.support.office import Office

Line = dict[str, Any]
ACTIONS = {
    said: action
    for action, said in (
        ("acknowledge", "acknowledged"), ("start", "started"), ("reply", "replied"), ("note", "noted"),
        ("hold", "held"), ("resume", "resumed"), ("prioritise", "prioritised"), ("resolve", "resolved"),
        ("reopen", "reopened"), ("cancel", "cancelled"), ("close", "closed"),
        ("customer_message", "customer_message"), ("transfer", "transferred"),
    )
}  # fmt: skip


def retell(
    office: Office, said: Mapping[UUID, FeedbackReceived], histories: Mapping[str, list[Line]]
) -> Afternoon:
    """The model after all lines, in the order of their times, of each case in the order of its versions.

    Raises Refused, or AssertionError, for a line that the rules do not allow.
    """
    model = Afternoon(office)
    taken_in = {
        line["data"]["merged"]: line["version"]
        for of in histories.values() for line in of if "merged" in line["data"]
    }  # fmt: skip
    lines = [(line["at"], line["version"], case, line) for case, of in histories.items() for line in of]
    left = sorted(lines, key=lambda one: (datetime.fromisoformat(one[0]), one[1], one[2]))
    while left:
        later = [one for one in left if not _tell(model, said, UUID(one[2]), one[3], taken_in)]
        assert len(later) < len(left), f"nothing leads to {left[0][3]}"
        left = later
    return model


def _tell(
    model: Afternoon,
    said: Mapping[UUID, FeedbackReceived],
    case: UUID,
    line: Line,
    taken_in: Mapping[str, int],
) -> bool:
    """Whether it is told; what comes before it in another case may be still to come."""
    one, data, at = model.cases.get(case), line["data"], datetime.fromisoformat(line["at"])
    if "merged" in data:
        return one is not None and one["version"] >= line["version"]  # told with the merge
    if line["version"] != (one["version"] if one else 0) + 1:
        return False
    if line["type"] == "opened" or (data.get("feedback_id") and line["type"] in ("joined", "reopened")):
        facts = facts_of(said[UUID(data["feedback_id"])])
        if line["type"] == "opened":
            model.open(facts, at, set())
        else:
            model.go_on(case, facts, at)
    elif line["type"] == "merged":
        return _merge(model, case, UUID(data["into"]), taken_in[str(case)], at)
    elif line["actor"] == "routing":
        _by_itself(model, one or {}, line, at)
    else:
        _act(model, case, line, at)
    assert model.cases[case]["status"] == line["to"]
    return True


def _merge(model: Afternoon, case: UUID, into: UUID, version: int, at: datetime) -> bool:
    if into not in model.cases or model.cases[into]["version"] != version - 1:
        return False
    model.act(case, "merge", at, into=into)
    return True


def _by_itself(model: Afternoon, one: dict[str, Any], line: Line, at: datetime) -> None:
    model.settle(one, one["department"])
    if line["type"] == "assigned":
        assert model.could(one, line["data"]["owner"], one["department"], at)
        model.give(one, line["data"]["owner"], at)
    elif line["type"] == "transferred":
        assert model.backup_for(one, one["department"], at) == line["data"]["to"]
        model.hand_over(one, at)
    else:
        assert line["type"] == "queued"
        model.queue(one, at)


def _act(model: Afternoon, case: UUID, line: Line, at: datetime) -> None:
    data = line["data"]
    if line["type"] == "assigned":
        model.cases[case]["counted"] = None
        return model.give(model.cases[case], data["owner"], at)
    given: dict[str, dict[str, Any]] = {
        "replied": {"text": "x", "public": data.get("public")},
        "held": {"waits_for": line["to"].removeprefix("pending_"), "reason": "x"},
        "transferred": {"department": data.get("to"), "reason": "x"},
        "prioritised": {
            "severity": data.get("severity_to"), "urgency": data.get("urgency_to"), "reason": "x",
        },
        "resolved": {"text": "x", "cause_code": data.get("cause_code")},
        "closed": {"satisfied": data.get("satisfied")},
        "noted": {"text": "x"}, "customer_message": {"text": "x"}, "reopened": {"reason": "x"},
        "cancelled": {"reason": "x"},
    }  # fmt: skip
    model.act(case, ACTIONS[line["type"]], at, **given.get(line["type"], {}))


def facts_of(said: FeedbackReceived) -> dict[str, Any]:
    """A feedback as the model hears it."""
    return {
        "id": said.id, "case": ids.document_id(said.received_at, said.id), "at": said.occurred_at,
        "customer": said.customer.id, "category": said.category, "severity": said.severity,
        "urgency": said.urgency, "language": said.language, "gold": said.customer.tier == "gold",
    }  # fmt: skip
