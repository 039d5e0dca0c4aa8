"""What becomes of cases, told a second time: from docs/domain.md 1 and 2, not from the code, in plain dicts.

A test plays the same afternoon to the code and to this model and compares. The model chooses nobody: it says
who may be chosen, and takes over whom the code chose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from tests.support.office import (
    CAUSES,
    CLOSE_AFTER,
    HEIR,
    JOIN_WITHIN,
    MATRIX,
    REOPEN_WITHIN,
    SEVERITIES,
    URGENCIES,
    WEIGHT,
    Office,
    acknowledge_by,
    begins,
    rule_of,
)

Matter = dict[str, Any]
ANY_OPEN = {
    "reply", "customer_message", "note", "assign", "transfer", "prioritise", "resolve", "merge", "cancel"
}  # fmt: skip
LEGAL = {
    "new": ANY_OPEN,
    "reopened": ANY_OPEN,
    "assigned": ANY_OPEN | {"acknowledge", "start", "hold"},
    "acknowledged": ANY_OPEN | {"start", "hold"},
    "in_progress": ANY_OPEN | {"hold"},
    "pending_customer": ANY_OPEN | {"resume"},
    "pending_internal": ANY_OPEN | {"resume"},
    "resolved": {"close", "reopen", "customer_message", "note"},
    "closed": {"reopen", "note"},
    "merged": set[str](),
    "cancelled": set[str](),
}
ENDED = {"resolved", "closed", "merged", "cancelled"}


class Refused(Exception):
    """`why` is "illegal", or the pointer of the field that does not fit."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Afternoon:
    """The cases by id, who was given something when, and what each department counts."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.cases: dict[Any, Matter] = {}
        self.seen: set[Any] = set()
        self.obeyed: set[Any] = set()
        self.given: dict[tuple[str, str], datetime] = {}
        self.away: dict[str, tuple[datetime, datetime]] = {}

    # --- feedback ------------------------------------------------------------------------------------

    def hear(self, said: Mapping[str, Any], now: datetime, joined: Callable[[], Any]) -> None:
        """A complaint arrives. `joined` says which of the cases that could go on went on."""
        if said["id"] in self.seen:
            return
        self.seen.add(said["id"])
        same = {which: one for which, one in self.cases.items() if one["matter"] == _matter(said)}
        near = {which for which, one in same.items() if _is_near(one, said)}
        if near:
            assert joined() in near
            return self.go_on(joined(), said, now)
        ended = [one for one in same.values() if _has_ended_before(one, said)]
        newest = [one for one in ended if one["opened"] == max(one["opened"] for one in ended)]
        coming_back = [one for one in newest if not _is_over(one, said["at"])]
        if joined() in [one["id"] for one in coming_back]:
            return self.go_on(joined(), said, now)
        assert len(coming_back) < len(newest) or not newest, "an ended case had to go on"
        self.open(said, now, {one["id"] for one in newest})

    def go_on(self, which: Any, said: Mapping[str, Any], now: datetime) -> None:
        """A case takes a feedback in: an open one near it in time, one that ended and comes back."""
        one = self.cases[which]
        if _is_near(one, said):
            return self._take_in(one, said, now)
        assert _has_ended_before(one, said) and not _is_over(one, said["at"])
        self._come_back(one, said, now)

    def _take_in(self, one: Matter, said: Mapping[str, Any], now: datetime) -> None:
        """Graver evidence raises, milder lowers nothing."""
        one["raised"] = max(one["raised"], _raised(said))
        for what, scale in (("severity", SEVERITIES), ("urgency", URGENCIES)):
            one[what] = min(one[what], said[what], key=scale.index)
        graver = _priority(one["severity"], one["urgency"], one["raised"])
        _next(one, now, unanswered=one["unanswered"] or said["at"], priority=min(one["priority"], graver))
        one["evidence"].append(said["id"])

    def _come_back(self, one: Matter, said: Mapping[str, Any], now: datetime) -> None:
        unanswered, over = one["unanswered"], said["at"] > one["resolved"]
        self._take_in(one, said, now)
        if over:
            one["version"] -= 1  # both in one
            self._reopen(one, now, "", asked=unanswered or said["at"])
        else:
            one["unanswered"] = unanswered

    def open(self, said: Mapping[str, Any], now: datetime, after: set[Any]) -> None:
        department, skills = rule_of(self.office, said["category"])
        judged, raised = (said["severity"], said["urgency"]), _raised(said)
        self.cases[said["case"]] = {
            "id": said["case"], "matter": _matter(said), "opened": said["at"], "after": after,
            "language": said["language"], "raised": raised, "version": 1, "updated": now,
            "status": "new", "department": department, "skills": skills, "owner": "", "holder": "",
            "accountable": self.head(department), "severity": said["severity"], "urgency": said["urgency"],
            "priority": _priority(*judged, raised), "evidence": [said["id"]], "holds": [],
            "unanswered": said["at"], "assigned": None, "acknowledged": None, "first_reply": None,
            "resolved": None, "closed": None, "reopened": 0, "cause": "", "satisfied": None,
            "merged_into": None, "acknowledge_by": None, "waiting": False, "avoid": "", "prefer": "",
            "passed": (), "counted": None,
        }  # fmt: skip

    def head(self, department: str) -> str:
        there = self.office["departments"][department]
        return str(there.get("head") or there.get("supervisor"))

    # --- people --------------------------------------------------------------------------------------

    def act(self, which: Any, name: str, now: datetime, **said: Any) -> None:
        """One of the fifteen actions. Raises Refused."""
        one = self.cases[which]
        if name not in LEGAL[one["status"]]:
            raise Refused("illegal")
        for text in ("text", "reason"):
            if text in said and not said[text].strip():
                raise Refused(f"/{text}")
        getattr(self, f"_{name}")(one, max(now, one["updated"]), **said)

    def _acknowledge(self, one: Matter, at: datetime) -> None:
        _next(one, at, status="acknowledged", acknowledged=at)

    def _start(self, one: Matter, at: datetime) -> None:
        _next(one, at, status="in_progress", acknowledged=one["acknowledged"] or at)

    def _reply(self, one: Matter, at: datetime, text: str, public: bool) -> None:
        _next(one, at)
        if public:
            one["unanswered"], one["first_reply"] = None, one["first_reply"] or at
            one["acknowledged"] = one["acknowledged"] or (at if one["owner"] else None)
            if one["status"] in ("assigned", "acknowledged"):
                _to(one, "in_progress")

    def _customer_message(self, one: Matter, at: datetime, text: str) -> None:
        if one["status"] == "resolved":
            return self._reopen(one, at, "")
        _next(one, at, unanswered=one["unanswered"] or at)
        if one["status"] == "pending_customer":
            _no_longer_held(one, at)
            _to(one, "in_progress")

    def _note(self, one: Matter, at: datetime, text: str) -> None:
        _next(one, at)

    def _hold(self, one: Matter, at: datetime, waits_for: str, reason: str) -> None:
        _next(one, at, status=f"pending_{waits_for}")
        one["holds"].append([f"pending_{waits_for}", at, None])

    def _resume(self, one: Matter, at: datetime) -> None:
        _no_longer_held(one, at)
        _next(one, at, status="in_progress")

    def _transfer(self, one: Matter, at: datetime, department: str, reason: str) -> None:
        if department == one["department"] or department not in self.office["departments"]:
            raise Refused("/department")
        self._hand_on(one, at, department)

    def _hand_on(self, one: Matter, at: datetime, department: str) -> None:
        _no_longer_held(one, at)
        _next(
            one, at, status="new", owner="", holder="", skills=(), avoid="", prefer="", passed=(),
            department=department, accountable=self.head(department),
        )  # fmt: skip

    def _prioritise(
        self, one: Matter, at: datetime, severity: str | None, urgency: str | None, reason: str
    ) -> None:
        judged = severity or one["severity"], urgency or one["urgency"]
        if judged == (one["severity"], one["urgency"]):
            raise Refused("/severity")
        priority = _priority(*judged, one["raised"])
        _next(one, at, severity=judged[0], urgency=judged[1], priority=priority)

    def _resolve(self, one: Matter, at: datetime, text: str, cause_code: str) -> None:
        if cause_code not in CAUSES:
            raise Refused("/cause_code")
        _no_longer_held(one, at)
        _next(one, at, status="resolved", resolved=at, cause=cause_code, unanswered=None)

    def _reopen(self, one: Matter, at: datetime, reason: str, asked: datetime | None = None) -> None:
        if _is_over(one, at) and asked is None:
            raise Refused("illegal")
        one["holds"].append(["resolved", one["resolved"], at])
        _next(
            one, at, status="reopened", prefer=one["owner"], avoid="", owner="", holder="", resolved=None,
            closed=None, satisfied=None, reopened=one["reopened"] + 1,
            unanswered=asked or one["unanswered"] or at,
        )  # fmt: skip

    def _cancel(self, one: Matter, at: datetime, reason: str) -> None:
        _no_longer_held(one, at)
        _next(one, at, status="cancelled", closed=at)

    def _close(self, one: Matter, at: datetime, satisfied: bool | None) -> None:
        _next(one, at, status="closed", closed=at, satisfied=satisfied)

    def _merge(self, one: Matter, at: datetime, into: Any) -> None:
        other = self.cases.get(into)
        if other is None or other is one or other["status"] in ENDED:
            raise Refused("/into")
        at = max(at, other["updated"])
        _no_longer_held(one, at)
        _next(one, at, status="merged", merged_into=into)
        unanswered = [asked for asked in (one["unanswered"], other["unanswered"]) if asked]
        _next(other, at, unanswered=min(unanswered, default=None))
        other["evidence"] += [more for more in one["evidence"] if more not in other["evidence"]]

    def _assign(self, one: Matter, at: datetime, owner: str) -> None:
        department = one["department"]
        if one["counted"] and one["counted"][0] != department:
            raise Refused("illegal")  # whose pool still counts it lets go first
        room = self.room(department, owner, besides=one)
        if not self.is_there(owner, department, at) or owner == one["owner"] or room < _weight(one):
            raise Refused("/owner")
        self.give(one, owner, at)
        self.settle(one, department)

    # --- time and promises ---------------------------------------------------------------------------

    def look(self, now: datetime) -> None:
        """Who did not acknowledge in time loses the case; what is silent closes."""
        for one in self.cases.values():
            if one["acknowledge_by"] and one["acknowledge_by"] <= now:
                self._release(one, now, avoid=one["owner"], prefer="")
            if one["status"] == "resolved" and one["resolved"] + CLOSE_AFTER <= now:
                _next(one, now, status="closed", closed=max(now, one["updated"]))

    def escalate(self, which: Any, action: str, identity: Any, now: datetime) -> None:
        one = self.cases[which]
        if identity in self.obeyed:
            return
        self.obeyed.add(identity)
        if one["status"] in ENDED:
            return
        if action == "raise_priority" and one["priority"] != "P1":
            _next(one, now, priority=f"P{int(one['priority'][1]) - 1}")
        elif action == "reassign" and one["owner"]:
            backup = self.office["people"].get(one["owner"], {}).get("backup", "")
            self._release(one, now, avoid=one["owner"], prefer=backup)

    def _release(self, one: Matter, now: datetime, **books: str) -> None:
        at = max(now, one["updated"])
        _no_longer_held(one, at)
        _next(one, at, status="new", owner="", holder="", **books)

    # --- a department's turn -------------------------------------------------------------------------

    def turn(
        self, department: str, asked: Collection[Any], now: datetime,
        became: Callable[[Any], tuple[str, str]], *, just_opened: bool = False,
    ) -> None:  # fmt: skip
        """The department looks at what it was asked about, and gives out what waits. `became`: whose case and
        in which department it is now. What waits goes to the backup when people have changed; before that it
        may. `just_opened`: only to give these their owners."""
        mine = [self.cases[one] for one in dict.fromkeys(asked) if one in self.cases]
        if department not in self.office["departments"]:
            return self._dissolve(department, mine, now)
        if not just_opened:
            mine += [
                one for one in self.cases.values() if one not in mine and self._has_left(one, department)
            ]
        for one in mine:
            if self._has_left(one, department):
                self._release(one, now)
            self.settle(one, department)
        others = None in asked
        here = [one for one in self.cases.values() if one in mine or one["waiting"]]
        for one in sorted((one for one in here if self._wants(one, department)), key=_urgency):
            self._place(one, department, now, became, must=others or one in mine)
            self.settle(one, department)

    def _place(
        self,
        one: Matter,
        department: str,
        now: datetime,
        became: Callable[[Any], tuple[str, str]],
        must: bool,
    ) -> None:
        best = self.best(one, department, now)
        owner, where = became(one["id"])
        if best:
            assert owner in best, f"{owner or 'nobody'} was chosen, the rules say {sorted(best)}"
            self.give(one, owner, now)
        elif self.backup_for(one, department, now) and (must or where != department):
            self.hand_over(one, now)
        elif not one["waiting"]:
            self.queue(one, now)

    def hand_over(self, one: Matter, now: datetime) -> None:
        """To the backup department; the accountable stays."""
        backup, passed = (
            self.office["departments"][one["department"]]["backup"],
            (*one["passed"], one["department"]),
        )
        _next(one, now, department=backup, holder="", avoid="", prefer="", passed=passed)

    def queue(self, one: Matter, now: datetime) -> None:
        """It waits, with the supervisor as its holder."""
        _next(one, now, holder=self.office["departments"][one["department"]]["supervisor"])
        one["waiting"] = True

    def _dissolve(self, department: str, mine: list[Matter], now: datetime) -> None:
        here = [one for one in self.cases.values() if one["department"] == department]
        open_here = [one for one in here if one["status"] not in ENDED]
        for one in open_here:
            self._hand_on(one, max(now, one["updated"]), HEIR)
        for one in (*mine, *open_here):
            self.settle(one, department)

    def best(self, one: Matter, department: str, now: datetime) -> set[str]:
        """Those among whom the rules do not choose any more; empty when nobody may have the case."""
        ranks = {
            name: (
                name != one["prefer"], begins(person, now), self.load(department, name),
                self.given.get((department, name), datetime.min.replace(tzinfo=now.tzinfo)),
            )
            for name, person in self.office["people"].items()
            if self.could(one, name, department, now) and self.room(department, name) >= _weight(one)
        }  # fmt: skip
        return {name for name, rank in ranks.items() if rank == min(ranks.values())}

    def could(self, one: Matter, name: str, department: str, now: datetime) -> bool:
        """Skill, language, presence; whom the case was just taken from could not."""
        person = self.office["people"][name]
        speaks = one["language"] in ("other", *person.get("languages", [one["language"]]))
        skilled = set(one["skills"]) <= set(person.get("skills", ()))
        return self.is_there(name, department, now) and speaks and skilled and name != one["avoid"]

    def backup_for(self, one: Matter, department: str, now: datetime) -> str:
        """The department that takes what nobody here could, however idle; each department once."""
        backup = str(self.office["departments"][department].get("backup", ""))
        alone = not any(
            person["capacity"] >= _weight(one) and self.could(one, name, department, now)
            for name, person in self.office["people"].items()
        )
        return backup if alone and backup not in one["passed"] else ""

    def is_there(self, name: str, department: str, now: datetime) -> bool:
        start, end = self.away.get(name, (now, now))
        person = self.office["people"].get(name, {})
        is_away = start <= now < end or start <= begins(person, now) < end
        return person.get("department") == department and not is_away

    def load(self, department: str, name: str) -> int:
        """What the department counts for the person."""
        counted = [one["counted"] for one in self.cases.values() if one["counted"]]
        return sum(weight for where, owner, weight in counted if (where, owner) == (department, name))

    def room(self, department: str, name: str, besides: Matter | None = None) -> int:
        """May be below zero: a raised priority weighs more, and nobody loses a case by that."""
        counted = besides["counted"] if besides else None
        freed = counted[2] if counted and counted[:2] == (department, name) else 0
        capacity = self.office["people"].get(name, {}).get("capacity", 0)
        return int(capacity - self.load(department, name) + freed)

    def settle(self, one: Matter, department: str) -> None:
        """The department counts the case as it is now; what another one counts is the other's to settle."""
        if one["counted"] and one["counted"][0] != department:
            return
        owned = one["owner"] and one["status"] not in ENDED and one["department"] == department
        one["counted"] = (department, one["owner"], _weight(one)) if owned else None

    def _has_left(self, one: Matter, department: str) -> bool:
        people, owner = self.office["people"], one["owner"]
        is_mine = one["department"] == department and one["status"] not in ENDED
        return is_mine and bool(owner) and people.get(owner, {}).get("department") != department

    def _wants(self, one: Matter, department: str) -> bool:
        free = not one["counted"] or one["counted"][0] == department
        ownerless = not one["owner"] and one["status"] not in ENDED
        return ownerless and one["department"] == department and free

    def give(self, one: Matter, owner: str, now: datetime) -> None:
        at = max(now, one["updated"])
        _no_longer_held(one, at)
        _next(one, at, status="assigned", owner=owner, holder=owner, assigned=at, avoid="", prefer="")
        one["acknowledge_by"] = acknowledge_by(self.office["people"][owner], now)
        self.given[one["department"], owner] = now


def _next(one: Matter, at: datetime, **fields: Any) -> None:
    """The case's next version."""
    one |= fields | {"version": one["version"] + 1, "updated": max(at, one["updated"])}
    _to(one, one["status"])


def _to(one: Matter, status: str) -> None:
    one["status"] = status
    if one["owner"] or status in ENDED or ("department" in one and one["holder"] == ""):
        one["waiting"] = False
    if status != "assigned":
        one["acknowledge_by"] = None


def _no_longer_held(one: Matter, at: datetime) -> None:
    for hold in one["holds"]:
        hold[2] = hold[2] or at


def _matter(said: Mapping[str, Any]) -> tuple[str, str]:
    return said["customer"], said["category"]


def _raised(said: Mapping[str, Any]) -> int:
    """By how much the policy raises the priority; nothing is above P1."""
    return int(said["gold"] and MATRIX[said["severity"], said["urgency"]] != "P1")


def _is_near(one: Matter, said: Mapping[str, Any]) -> bool:
    return one["status"] not in ENDED and abs(said["at"] - one["opened"]) <= JOIN_WITHIN


def _has_ended_before(one: Matter, said: Mapping[str, Any]) -> bool:
    return one["status"] in ("resolved", "closed") and one["opened"] <= said["at"]


def _is_over(one: Matter, at: datetime) -> bool:
    """Closed too long ago to be reopened."""
    return one["status"] == "closed" and at - one["closed"] > REOPEN_WITHIN


def _priority(severity: str, urgency: str, raised: int) -> str:
    return f"P{max(1, int(MATRIX[severity, urgency][1]) - int(raised))}"


def _weight(one: Matter) -> int:
    return WEIGHT[one["priority"]]


def _urgency(one: Matter) -> tuple[str, datetime, bytes]:
    return one["priority"], one["opened"], one["id"].bytes
