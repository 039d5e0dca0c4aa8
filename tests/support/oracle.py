"""What must be true after any fault, as pure checks: they get what was seen and say what is wrong.

tests/support/witness.py collects what was seen; tests/unit/test_oracle.py plants violations, so that the
oracle is known to be able to fail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID


class SeenCase(NamedTuple):
    """A case of routing: `weight` is what its priority weighs while it is open and has an owner, else 0."""

    version: int
    department: str
    owner: str
    weight: int
    feedback: tuple[UUID, ...]


class Link(NamedTuple):
    """A line of a case's history."""

    version: int
    previous: str
    hash: str


class Told(NamedTuple):
    """An event on a topic: its id, and what makes it this event and no other (`about`)."""

    id: UUID
    about: tuple[object, ...]


class Step(NamedTuple):
    """An event about time: it may not be decided (`at`) or on Kafka (`published`) before `due`."""

    told: Told
    due: datetime
    at: datetime
    published: datetime


@dataclass
class Seen:
    """All that one run left behind. `sent` contains what was acknowledged and what may have been stored."""

    sent: set[UUID] = field(default_factory=set)
    acknowledged: set[UUID] = field(default_factory=set)
    answered: set[tuple[UUID, int]] = field(default_factory=set)
    outcomes: dict[UUID, str] = field(default_factory=dict)
    facts: set[UUID] = field(default_factory=set)
    cases: dict[UUID, SeenCase] = field(default_factory=dict)
    history: dict[UUID, list[Link]] = field(default_factory=dict)
    changes: list[Told] = field(default_factory=list)
    case_facts: dict[UUID, int] = field(default_factory=dict)
    clocks: dict[UUID, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    breaches: list[Step] = field(default_factory=list)
    finished: list[Told] = field(default_factory=list)
    kept_steps: list[UUID] = field(default_factory=list)
    obeyed: list[UUID] = field(default_factory=list)
    pools: dict[tuple[str, str], int] = field(default_factory=dict)
    kept: dict[Any, int] = field(default_factory=dict)
    recomputed: dict[Any, int] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)
    unsaid: int = 0


def violations(seen: Seen) -> list[str]:
    """Every promise that was broken, in words; empty when all were kept."""
    checks = (
        _feedback, _one_case, _versions, _told_once, _followed, _answers,
        _escalations, _loads, _figures, _rest,
    )  # fmt: skip
    return [broken for check in checks for broken in check(seen)]


def _feedback(seen: Seen) -> Iterator[str]:
    yield from _differ("acknowledged, no outcome in routing", seen.acknowledged - seen.outcomes.keys())
    yield from _differ("acknowledged, no fact in analytics", seen.acknowledged - seen.facts)
    yield from _differ("outcome of a feedback that nobody sent", seen.outcomes.keys() - seen.sent)
    yield from _differ("fact of a feedback that nobody sent", seen.facts - seen.sent)


def _one_case(seen: Seen) -> Iterator[str]:
    listed = Counter(feedback for case in seen.cases.values() for feedback in case.feedback)
    yield from _differ("feedback in more than one case", {one for one, count in listed.items() if count > 1})
    joined = {one for one, state in seen.outcomes.items() if state in ("case", "joined")}
    yield from _differ("said to be in a case, which does not list it", joined - listed.keys())
    yield from _differ("listed by a case, with another outcome", listed.keys() - joined)


def _versions(seen: Seen) -> Iterator[str]:
    yield from _differ("history of a case that is not stored", seen.history.keys() - seen.cases.keys())
    for identity, case in seen.cases.items():
        links = sorted(seen.history.get(identity, []))
        found = [link.version for link in links]
        if found != list(range(1, case.version + 1)):
            yield f"history of case {identity} has versions {found}, the case is at {case.version}"
        previous = ""
        for link in links:
            if link.previous != previous:
                yield f"history of case {identity}: version {link.version} does not follow the one before"
            previous = link.hash


def _told_once(seen: Seen) -> Iterator[str]:
    """The same event may be on Kafka again (the same id); another event about the same thing may not."""
    yield from _doubled("changes", seen.changes)
    told = {one.about for one in seen.changes}
    stored = {(identity, link.version) for identity, links in seen.history.items() for link in links}
    yield from _differ("version that was never told", stored - told)
    yield from _differ("version that was told and is not stored", told - stored)


def _followed(seen: Seen) -> Iterator[str]:
    versions = {identity: case.version for identity, case in seen.cases.items()}
    for who, found in (("analytics", seen.case_facts), ("sla", seen.clocks)):
        behind = {one for one in versions.keys() | found.keys() if versions.get(one) != found.get(one)}
        yield from _differ(f"{who} has another version of the case than routing", behind)


def _answers(seen: Seen) -> Iterator[str]:
    stored = {(identity, link.version) for identity, links in seen.history.items() for link in links}
    yield from _differ("action that was answered 200 and is not in the history", seen.answered - stored)


def _escalations(seen: Seen) -> Iterator[str]:
    yield from _doubled("escalations", [step.told for step in seen.steps])
    yield from _doubled("breaches", [step.told for step in seen.breaches])
    yield from _doubled("verdicts", seen.finished)
    for step in (*seen.steps, *seen.breaches):
        if min(step.at, step.published) < step.due:
            yield f"{step.told.about} was said at {step.at:%T.%f}, due {step.due:%T.%f}: early"
    told, kept = {step.told.id for step in seen.steps}, set(seen.kept_steps)
    yield from _differ("escalation on Kafka that sla did not keep", told - kept)
    yield from _differ("escalation kept by sla that never reached Kafka", kept - told)
    if len(kept) < len(seen.kept_steps):
        yield f"{len(seen.kept_steps) - len(kept)} escalations were kept twice by sla"
    again = {one for one, count in Counter(seen.obeyed).items() if count > 1}
    yield from _differ("escalation obeyed more than once", again)


def _loads(seen: Seen) -> Iterator[str]:
    due: Counter[tuple[str, str]] = Counter()
    for case in seen.cases.values():
        due[case.department, case.owner] += case.weight
    for seat in sorted(due.keys() | seen.pools.keys()):
        if due[seat] != seen.pools.get(seat, 0):
            yield f"the load of {seat} is {seen.pools.get(seat, 0)}, its open cases weigh {due[seat]}"


def _figures(seen: Seen) -> Iterator[str]:
    wrong = {key for key in seen.kept | seen.recomputed if seen.kept.get(key) != seen.recomputed.get(key)}
    yield from _differ("count that differs from its facts", wrong)


def _rest(seen: Seen) -> Iterator[str]:
    yield from _differ("dead letter", set(seen.dead_letters))
    if seen.unsaid:
        yield f"{seen.unsaid} actions whose events were never said"


def _doubled(what: str, events: Iterable[Told]) -> Iterator[str]:
    ids: defaultdict[tuple[object, ...], set[UUID]] = defaultdict(set)
    about: defaultdict[UUID, set[tuple[object, ...]]] = defaultdict(set)
    for event in events:
        ids[event.about].add(event.id)
        about[event.id].add(event.about)
    yield from _differ(f"{what}: different events about", _several(ids))
    yield from _differ(f"{what}: one id, different events", _several(about))


def _several(found: Mapping[Any, set[Any]]) -> set[Any]:
    return {key for key, some in found.items() if len(some) > 1}


def _differ(what: str, wrong: Set[Any]) -> Iterator[str]:
    some = sorted(map(str, wrong))
    if some:
        yield f"{len(some)} x {what}: {', '.join(some[:3])}"
