"""The clocks of a case by a naive replay of what happened to it, minute by minute: an oracle of services/sla.

It keeps its own record of the case and asks tests/support/slow_calendar.py which minutes are worked; with
services/sla it shares the promised spans only. Times are whole minutes since `EPOCH`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from tests.support.slow_calendar import MINUTE, SlowCalendar

EPOCH = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
"""Monday 09:00 in Shanghai, when the case is opened."""
HORIZON = 75 * 1440
DAY = 9 * 60
SPANS = {
    "first_response": {"P1": 30, "P2": 120, "P3": 480, "P4": DAY},
    "update": {"P1": 60, "P2": 180, "P3": DAY, "P4": 2 * DAY},
    "resolution": {"P1": 480, "P2": 2 * DAY, "P3": 5 * DAY, "P4": 10 * DAY},
    "ola": {"P1": 120, "P2": 240, "P3": DAY, "P4": 2 * DAY},
}


@lru_cache
def office() -> list[bool]:
    return SlowCalendar("Asia/Shanghai", {"mon-fri": ["09:00-18:00"]}).minutes(EPOCH, HORIZON)


@dataclass
class Epoch:
    """`priority` is fixed once the breach was said or the clock has stopped."""

    start: int
    stop: int | None = None
    priority: str = ""
    said: bool = False
    cancelled: bool = False
    state: str = ""
    due: int | None = None
    spent: int | None = None


@dataclass
class NaiveCase:
    priority: str = "P2"
    department: str = "service"
    status: str = "open"
    replied: bool = False
    answered_once: bool = False
    asked: bool = True
    pauses: list[list[int | None]] = field(default_factory=list)
    epochs: dict[str, list[Epoch]] = field(
        default_factory=lambda: {
            "first_response": [Epoch(0)], "update": [], "resolution": [Epoch(0)], "ola": [Epoch(0)],
        }
    )  # fmt: skip

    def happens(self, action: str, now: int, value: str = "") -> None:
        getattr(self, f"_{action}")(now, value)

    def sweep(self, now: int) -> None:
        """Somebody looks: breaches that are there now are said, and their promise is kept from then on."""
        for target, epochs in self.epochs.items():
            for epoch in epochs:
                due = self._due(target, epoch)
                is_open = epoch.stop is None and not epoch.cancelled
                if is_open and not epoch.said and due is not None and due <= now:
                    epoch.said, epoch.priority = True, self.priority

    def judged(self) -> dict[tuple[str, int], tuple[str, int | None, int | None]]:
        """(target, epoch) -> state, due, minutes spent (of those that have stopped with a verdict)."""
        found = {}
        for target, epochs in self.epochs.items():
            for number, epoch in enumerate(epochs):
                due = self._due(target, epoch)
                if epoch.cancelled:
                    found[target, number] = ("cancelled", None, None)
                elif epoch.stop is not None:
                    late = due is not None and epoch.stop > due
                    found[target, number] = ("breached" if late else "met", due, self._spent(epoch))
                else:
                    state = "breached" if epoch.said else "paused" if due is None else "running"
                    found[target, number] = (state, due, None)
        return found

    def _due(self, target: str, epoch: Epoch) -> int | None:
        """None while a pause that has not ended stands before it."""
        wanted = SPANS[target][epoch.priority or self.priority]
        for minute in self._at_work(epoch):
            wanted -= 1
            if not wanted:
                return minute + 1
        return None

    def _spent(self, epoch: Epoch) -> int:
        assert epoch.stop is not None
        return sum(minute < epoch.stop for minute in self._at_work(epoch))

    def _at_work(self, epoch: Epoch) -> list[int]:
        """A pause that was in progress when the clock stopped ended then."""
        free = bytearray(HORIZON)
        for begin, end in self.pauses:
            if epoch.stop is not None:
                end = min(epoch.stop if end is None else end, epoch.stop)
            until = HORIZON if end is None else end
            assert begin is not None
            if until > begin:
                free[begin:until] = b"\1" * (until - begin)
        worked = office()
        return [minute for minute in range(epoch.start, HORIZON) if worked[minute] and not free[minute]]

    def _stopped(self, target: str, now: int) -> None:
        for epoch in self.epochs[target]:
            if epoch.stop is None and not epoch.cancelled:
                epoch.stop, epoch.priority = now, epoch.priority or self.priority

    def _reply(self, now: int, value: str) -> None:
        self._stopped("first_response", now)
        self._stopped("update", now)
        self.asked = False

    def _message(self, now: int, value: str) -> None:
        if not self.asked and self.epochs["first_response"][0].stop is not None:
            self.epochs["update"].append(Epoch(now))
        self.asked = True
        self._resume(now, value)

    def _hold(self, now: int, value: str) -> None:
        self.pauses.append([now, None])

    def _resume(self, now: int, value: str) -> None:
        for pause in self.pauses:
            if pause[1] is None:
                pause[1] = now

    def _prioritise(self, now: int, value: str) -> None:
        self.priority = value

    def _transfer(self, now: int, value: str) -> None:
        self._resume(now, value)
        if self.epochs["ola"][-1].stop is None:
            self._stopped("ola", now)
        self.department = value
        self.epochs["ola"].append(Epoch(now))

    def _resolve(self, now: int, value: str) -> None:
        self._resume(now, value)
        for target in self.epochs:
            self._stopped(target, now)
        self.asked, self.status = False, "resolved"
        self.resolved_at = now

    def _reopen(self, now: int, value: str) -> None:
        last = self.epochs["resolution"][-1]
        was_late = last.stop is not None and (due := self._due("resolution", last)) and last.stop > due
        self.pauses.append([self.resolved_at, now])
        self.epochs["resolution"].append(
            Epoch(0, priority=last.priority if was_late else "", said=bool(was_late))
        )
        self.epochs["update"].append(Epoch(now))
        self.asked, self.status = True, "open"

    def _merge(self, now: int, value: str) -> None:
        for epochs in self.epochs.values():
            for epoch in epochs:
                epoch.cancelled = epoch.stop is None
        self.status = "merged"


def moment(minute: int) -> datetime:
    return EPOCH + MINUTE * minute
