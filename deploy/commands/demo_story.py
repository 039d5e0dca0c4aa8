"""One case that nobody answers: reminded, breached, raised, reassigned, notified, each at its second.

Nothing of it is played: the lines are the steps that sla says have fired, and the case's own history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from deploy.commands.api import Api
from deploy.commands.demo_reading import until
from deploy.commands.terminal import USAGE, Failure

STORY_SECONDS = 25.0
"""From the arrival: steps that come later are not waited for."""
TARGET = "first_response"
_ASKED = frozenset({"raise_priority", "reassign"})
"""What sla asks of routing; its answer stands in the case's history."""


class Line(NamedTuple):
    """Something that happened to the case; `due` is when it was to happen, None where nothing said so."""

    at: datetime
    what: str
    who: str
    due: datetime | None = None


@dataclass(frozen=True)
class Story:
    """What the services tell of one case: `clock` and `steps` are sla's, `history` is routing's."""

    clock: Any
    steps: list[Any]
    history: list[Any]

    @property
    def target(self) -> Any:
        """The promise that is broken; None where the policy in force makes none."""
        return self.clock["targets"].get(TARGET)

    @property
    def began(self) -> datetime:
        return _moment(self.target["started_at"] if self.target else self.history[0]["at"])

    def is_told(self, within: float = STORY_SECONDS) -> bool:
        """Whether all has happened that sla has planned for the first `within` seconds of the case."""
        if self.target is None:
            return True
        end = self.began + timedelta(seconds=within)
        planned = [step for step in self.target["steps"] if step["at"] and _moment(step["at"]) <= end]
        if any(step["fired_at"] is None for step in planned):
            return False
        asked = {step["action"] for step in planned} & _ASKED
        obeyed = {entry["type"] for entry in self.history if entry["data"].get("escalation")}
        return len(obeyed) >= len(asked) and self.history[-1]["type"] != "released"

    def lines(self) -> list[Line]:
        """In the order of time; a breach before the steps of the same moment."""
        found = [_step(step) for step in self.steps if step["target"] == TARGET]
        if self.target and self.target["state"] == "breached":
            due = _moment(self.target["due_at"])
            found.insert(0, Line(due, "breached", "", due))
        return sorted([*found, *_changes(self.history)], key=lambda line: line.at)


def _step(step: Any) -> Line:
    return Line(_moment(step["at"]), step["action"], step["recipient"], _moment(step["step_at"]))


def _changes(history: Iterable[Any]) -> Iterator[Line]:
    """Who got it, a higher priority, and who has it then."""
    what = "assigned"
    for entry in history:
        data, at = entry["data"], _moment(entry["at"])
        if entry["type"] == "prioritised":
            yield Line(at, "prioritised", f"{data['from']} -> {data['to']}")
        elif entry["type"] == "assigned":
            yield Line(at, what, data["owner"])
            what = "reassigned"


async def story(api: Api, case_id: str, within: float = STORY_SECONDS) -> Story | None:
    """The story of a case, when all of it has happened or the time is up; None where it has no clock."""

    async def told() -> Story | None:
        try:
            clock = await api.get("sla", f"/v1/clocks/{case_id}")
        except Failure as failure:
            if failure.code != USAGE:
                raise
            return None  # routing has the case and sla not yet
        steps = await api.pages("sla", "/v1/escalations", {"case_id": case_id}, 200)
        history = await api.get("routing", f"/v1/cases/{case_id}/timeline")
        return Story(clock, steps, history["items"])

    return await until(within, told, lambda found: found is not None and found.is_told())


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)
