"""Cases and policies for tests of promised times. Days are those of the week of 2 March 2026 in Shanghai."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.sla.domain.clock import Clock, ClockStep
from services.sla.domain.escalation import Roster, fire
from services.sla.domain.following import follow
from services.sla.domain.promise import Promises
from shared.events import Case, EscalationRaised, Event, Hold
from shared.policy import Policy, load_policy

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CASE = UUID("0190a000-0000-7000-8000-00000000000c")

ORGANISATION = """
organisation: {name: Demo, time_zone: Asia/Shanghai}
calendars:
  office: {time_zone: Asia/Shanghai, weekly: {mon-fri: ["09:00-18:00"]}}
  long: {time_zone: Asia/Shanghai, weekly: {mon-fri: ["08:00-18:00"]}}
  always: {time_zone: UTC, weekly: {mon-sun: ["00:00-24:00"]}}
departments:
  service: {name: Service, head: zhou, supervisor: wu, calendar: officeOLA}
  second: {name: Second, head: wu, supervisor: zhou, calendar: officeOLA}
  alone: {name: Alone, calendar: office}
people:
  zhou:
    {name: Zhou, department: service, roles: [agent, quality_manager],
     away: [{from: 2026-03-03, to: 2026-03-03}]}
  wu: {name: Wu, department: service}
  chen: {name: Chen, department: service}
"""

OLA = ", ola: {P1: 2h, P2: 4h, P3: 1bd, P4: 2bd}"
"""What `service` and `second` owe where the promises have steps for it."""
ROUTING = "routing: [{name: all, assign: {department: service}}]\n"

STANDARD = """
sla:
  - name: standard
    when: "true"
    targets:
      first_response: {P1: 30m, P2: 2h, P3: 8h, P4: 1bd}
      resolution: {P1: 8h, P2: 2bd, P3: 5bd, P4: 10bd}
    escalate:
      first_response:
        - {at: 75%, do: remind_owner}
        - {at: 100%, do: notify_supervisor}
      resolution:
        - {before: 1h, do: remind_owner}
        - {at: 100%, do: [notify_supervisor, raise_priority]}
        - {after: 2h, do: reassign}
        - {after: 1bd, do: notify_head, repeat: 1bd, times: 3}
"""


WHOLE = """
sla:
  - name: whole
    when: "true"
    targets:
      first_response: {P1: 30m, P2: 2h, P3: 8h, P4: 1bd}
      update: {P1: 1h, P2: 3h, P3: 1bd, P4: 2bd}
      resolution: {P1: 8h, P2: 2bd, P3: 5bd, P4: 10bd}
    escalate:
      first_response: [{at: 100%, do: notify_supervisor}]
      update: [{before: 1h, do: remind_owner}]
      resolution: [{at: 100%, do: [notify_supervisor, raise_priority]}]
      ola: [{at: 50%, do: remind_owner}, {at: 100%, do: notify_head}]
"""
"""All four targets."""


@lru_cache
def policy(sla: str = STANDARD) -> Policy:
    """The organisation above with these promises."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        ola = OLA if "ola:" in sla else ""
        file.write_text(ORGANISATION.replace("OLA", ola) + sla + ROUTING)
        return load_policy(file)


def at(moment: str, week: int = 0) -> datetime:
    """`"fri 17:50"` of the week of 2 March 2026, or `week` weeks later."""
    day, _, clock = moment.partition(" ")
    date = datetime(2026, 3, 2, tzinfo=SHANGHAI) + timedelta(days=DAYS.index(day), weeks=week)
    return datetime.fromisoformat(f"{date.date()}T{clock}").replace(tzinfo=SHANGHAI)


def case(version: int = 1, **given: Any) -> Case:
    """A case that was opened on Monday at 09:00 and assigned to chen of service, with P2 unless said."""
    fields: dict[str, Any] = {
        "id": CASE,
        "reference": "7KQ2-9FMD-4TXA",
        "status": "assigned",
        "priority": "P2",
        "severity": "medium",
        "urgency": "medium",
        "kind": "complaint",
        "channel": "web",
        "department": "service",
        "owner": "chen",
        "opened_at": at("mon 09:00"),
        "updated_at": at("mon 09:00"),
    }
    return Case(version=version, **fields | given)


def hold(start: str, end: str | None = None, status: Any = "pending_customer", week: int = 0) -> Hold:
    return Hold(status=status, start=at(start, week), end=at(end, week) if end else None)


@dataclass
class Watched:
    """One case with its clock: `sees` a snapshot, or time goes on `until` a moment; `said` keeps all."""

    sla: str = STANDARD
    clock: Clock | None = None

    def __post_init__(self) -> None:
        self.said: list[Event] = []

    def sees(self, snapshot: Case, now: datetime | None = None) -> Clock:
        if self.clock is not None and self.clock.case_version >= snapshot.version:
            return self.clock
        moment = now or snapshot.updated_at
        self.clock, events = follow(self.clock, snapshot, 3, Promises(policy(self.sla)), moment)
        self.said += events
        return self.clock

    def until(self, now: datetime) -> list[Event]:
        """What the sweep says at `now`."""
        assert self.clock is not None
        if self.clock.next_at is None or self.clock.next_at > now:
            return []
        self.clock, events = fire(self.clock, now, Roster(policy(self.sla)))
        self.said += events
        return list(events)

    @property
    def steps(self) -> list[ClockStep]:
        assert self.clock is not None
        return [step for target in self.clock.targets.values() for step in target.steps]


def spoken(events: list[Event]) -> list[str]:
    """Events in short: `resolution breached`, `resolution notify_head 2`."""
    lines = []
    for event in events:
        what = event.action if isinstance(event, EscalationRaised) else event.type.split(".")[2]
        again = f" {event.repetition}" if getattr(event, "repetition", 0) else ""
        lines.append(f"{event.target} {what}{again}")  # type: ignore[attr-defined]  # all events of sla have one
    return lines
