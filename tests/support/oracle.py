"""What must be true after any fault, as pure checks: they get what was seen and say what is wrong.

tests/support/witness.py collects what was seen; tests/unit/test_oracle.py plants violations, so that the
oracle is known to be able to fail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

Kind = Literal["lost", "doubled", "early", "wrong"]


class Broken(NamedTuple):
    """A promise that was broken: how, how often, and what it was in words."""

    kind: Kind
    count: int
    words: str


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


class Changed(NamedTuple):
    """An event about a case: its id, and the versions that it tells."""

    id: UUID
    case: UUID
    versions: tuple[int, ...]


class Step(NamedTuple):
    """An event about time: it may not be decided (`at`) or on Kafka (`published`) before `due`."""

    told: Told
    due: datetime
    at: datetime
    published: datetime


@dataclass
class Seen:
    """All that one run left behind. `sent` contains what was acknowledged and what may have been stored;
    `poison` are the keys of records that nobody can read, `readers` the consumer groups that have to say so,
    `letters` the (group, key) that were said. Of events whose type only a later version knows, `later` are
    the (service, id) to deal with, `later_met` those that were done or kept as a dead letter.
    """

    sent: set[UUID] = field(default_factory=set)
    acknowledged: set[UUID] = field(default_factory=set)
    refused: set[UUID] = field(default_factory=set)
    poison: set[bytes] = field(default_factory=set)
    readers: tuple[str, ...] = ()
    letters: set[tuple[str, bytes]] = field(default_factory=set)
    later: set[tuple[str, UUID]] = field(default_factory=set)
    later_met: set[tuple[str, UUID]] = field(default_factory=set)
    answered: set[tuple[UUID, int]] = field(default_factory=set)
    outcomes: dict[UUID, str] = field(default_factory=dict)
    facts: set[UUID] = field(default_factory=set)
    cases: dict[UUID, SeenCase] = field(default_factory=dict)
    history: dict[UUID, list[Link]] = field(default_factory=dict)
    changes: list[Changed] = field(default_factory=list)
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


def violations(seen: Seen) -> list[Broken]:
    """Every promise that was broken; empty when all were kept."""
    checks = (
        _feedback, _one_case, _versions, _told_once, _followed, _answers,
        _escalations, _loads, _figures, _letters, _later, _rest,
    )  # fmt: skip
    return [broken for check in checks for broken in check(seen)]


def _feedback(seen: Seen) -> Iterator[Broken]:
    yield from _differ(
        "lost", "acknowledged, no outcome in routing", seen.acknowledged - seen.outcomes.keys()
    )
    yield from _differ("lost", "acknowledged, no fact in analytics", seen.acknowledged - seen.facts)
    yield from _differ("wrong", "outcome of a feedback that nobody sent", seen.outcomes.keys() - seen.sent)
    yield from _differ("wrong", "fact of a feedback that nobody sent", seen.facts - seen.sent)
    yield from _differ("wrong", "refused and stored", seen.refused & (seen.facts | seen.outcomes.keys()))


def _one_case(seen: Seen) -> Iterator[Broken]:
    listed = Counter(feedback for case in seen.cases.values() for feedback in case.feedback)
    several = {one for one, count in listed.items() if count > 1}
    yield from _differ("doubled", "feedback in more than one case", several)
    joined = {one for one, state in seen.outcomes.items() if state in ("case", "joined")}
    yield from _differ("lost", "said to be in a case, which does not list it", joined - listed.keys())
    yield from _differ("wrong", "listed by a case, with another outcome", listed.keys() - joined)


def _versions(seen: Seen) -> Iterator[Broken]:
    yield from _differ(
        "wrong", "history of a case that is not stored", seen.history.keys() - seen.cases.keys()
    )
    for identity, case in seen.cases.items():
        links = sorted(seen.history.get(identity, []))
        found = [link.version for link in links]
        if found != list(range(1, case.version + 1)):
            kind: Kind = "doubled" if len(set(found)) < len(found) else "lost"
            words = f"history of case {identity} has versions {found}, the case is at {case.version}"
            yield Broken(kind, 1, words)
        previous = ""
        for link in links:
            if link.previous != previous:
                words = f"history of case {identity}: version {link.version} does not follow the one before"
                yield Broken("wrong", 1, words)
            previous = link.hash


def _told_once(seen: Seen) -> Iterator[Broken]:
    """The same event may be on Kafka again (the same id); another event about the same thing may not."""
    versions = [Told(one.id, (one.case, version)) for one in seen.changes for version in one.versions]
    yield from _in_two("changes", versions)
    yield from _in_one("changes", (Told(one.id, (one.case, *one.versions)) for one in seen.changes))
    told = {one.about for one in versions}
    stored = {(identity, link.version) for identity, links in seen.history.items() for link in links}
    yield from _differ("lost", "version that was never told", stored - told)
    yield from _differ("wrong", "version that was told and is not stored", told - stored)


def _followed(seen: Seen) -> Iterator[Broken]:
    versions = {identity: case.version for identity, case in seen.cases.items()}
    for who, found in (("analytics", seen.case_facts), ("sla", seen.clocks)):
        behind = {one for one in versions.keys() | found.keys() if versions.get(one) != found.get(one)}
        yield from _differ("lost", f"{who} has another version of the case than routing", behind)


def _answers(seen: Seen) -> Iterator[Broken]:
    stored = {(identity, link.version) for identity, links in seen.history.items() for link in links}
    yield from _differ(
        "lost", "action that was answered 200 and is not in the history", seen.answered - stored
    )


def _escalations(seen: Seen) -> Iterator[Broken]:
    yield from _doubled("escalations", [step.told for step in seen.steps])
    yield from _doubled("breaches", [step.told for step in seen.breaches])
    yield from _doubled("verdicts", seen.finished)
    for step in (*seen.steps, *seen.breaches):
        if min(step.at, step.published) < step.due:
            words = f"{step.told.about} was said at {step.at:%T.%f}, due {step.due:%T.%f}: early"
            yield Broken("early", 1, words)
    told, kept = {step.told.id for step in seen.steps}, set(seen.kept_steps)
    yield from _differ("wrong", "escalation on Kafka that sla did not keep", told - kept)
    yield from _differ("lost", "escalation kept by sla that never reached Kafka", kept - told)
    if twice := len(seen.kept_steps) - len(kept):
        yield Broken("doubled", twice, f"{twice} escalations were kept twice by sla")
    again = {one for one, count in Counter(seen.obeyed).items() if count > 1}
    yield from _differ("doubled", "escalation obeyed more than once", again)


def _loads(seen: Seen) -> Iterator[Broken]:
    due: Counter[tuple[str, str]] = Counter()
    for case in seen.cases.values():
        due[case.department, case.owner] += case.weight
    for seat in sorted(due.keys() | seen.pools.keys()):
        if due[seat] != seen.pools.get(seat, 0):
            words = f"the load of {seat} is {seen.pools.get(seat, 0)}, its open cases weigh {due[seat]}"
            yield Broken("wrong", 1, words)


def _figures(seen: Seen) -> Iterator[Broken]:
    wrong = {key for key in seen.kept | seen.recomputed if seen.kept.get(key) != seen.recomputed.get(key)}
    yield from _differ("wrong", "count that differs from its facts", wrong)


def _letters(seen: Seen) -> Iterator[Broken]:
    """Each reader has a letter of each record that nobody can read; it may stand there twice, as any event
    may. A letter of any other record is in `dead_letters`."""
    expected = {(group, key) for group in seen.readers for key in seen.poison}
    yield from _differ("lost", "poison without a dead letter", expected - seen.letters)


def _later(seen: Seen) -> Iterator[Broken]:
    """An event of a later version is done by who knows it, and a dead letter of who does not."""
    unmet, unheard = seen.later - seen.later_met, seen.later_met - seen.later
    yield from _differ("lost", "event of a later version, neither done nor a dead letter", unmet)
    yield from _differ("wrong", "dead letter of a later version that nobody said", unheard)


def _rest(seen: Seen) -> Iterator[Broken]:
    yield from _differ("wrong", "dead letter", set(seen.dead_letters))
    if seen.unsaid:
        yield Broken("lost", seen.unsaid, f"{seen.unsaid} actions whose events were never said")


def _doubled(what: str, events: Sequence[Told]) -> Iterator[Broken]:
    yield from _in_two(what, events)
    yield from _in_one(what, events)


def _in_two(what: str, events: Iterable[Told]) -> Iterator[Broken]:
    ids: defaultdict[tuple[object, ...], set[UUID]] = defaultdict(set)
    for event in events:
        ids[event.about].add(event.id)
    yield from _differ("doubled", f"{what}: different events about", _several(ids))


def _in_one(what: str, events: Iterable[Told]) -> Iterator[Broken]:
    about: defaultdict[UUID, set[tuple[object, ...]]] = defaultdict(set)
    for event in events:
        about[event.id].add(event.about)
    yield from _differ("wrong", f"{what}: one id, different events", _several(about))


def _several(found: Mapping[Any, set[Any]]) -> set[Any]:
    return {key for key, some in found.items() if len(some) > 1}


def _differ(kind: Kind, what: str, wrong: Set[Any]) -> Iterator[Broken]:
    some = sorted(map(str, wrong))
    if some:
        yield Broken(kind, len(some), f"{len(some)} x {what}: {', '.join(some[:3])}")
