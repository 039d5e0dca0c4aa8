"""The oracle of the fault tests can fail: each planted violation is found, and a clean run has none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from tests.support.journal import Journal, read_journal
from tests.support.oracle import Changed, Link, Seen, SeenCase, Step, Told, violations

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY = ("opened", "department", "service", 984_000, "n")


def an_id(name: str) -> UUID:
    return uuid5(UUID(int=0), name)


CASE, PRAISE, COMPLAINT, OTHER, WRONG = map(an_id, ("case", "praise", "complaint", "other", "wrong"))
POISON, READERS = b"poison", ("routing", "analytics")


def escalation(name: str = "step", *, at: datetime = NOON, published: datetime = NOON) -> Step:
    told = Told(an_id(name), (CASE, "first_response", 0, 1, 0))
    return Step(told, NOON, at, published)


def clean() -> Seen:
    """Two feedback, one case at version 3 with an owner, one escalation, said twice as is allowed."""
    first, second = Changed(an_id("v1"), CASE, (1,)), Changed(an_id("v2"), CASE, (2, 3))
    return Seen(
        sent={PRAISE, COMPLAINT},
        acknowledged={PRAISE, COMPLAINT},
        refused={WRONG},
        poison={POISON},
        readers=READERS,
        letters={(group, POISON) for group in READERS},
        later={("sla", OTHER), ("analytics", OTHER)},
        later_met={("sla", OTHER), ("analytics", OTHER)},
        answered={(CASE, 2)},
        outcomes={PRAISE: "recorded", COMPLAINT: "case"},
        facts={PRAISE, COMPLAINT},
        cases={CASE: SeenCase(3, "logistics", "chen", 3, (COMPLAINT,))},
        history={CASE: [Link(1, "", "a"), Link(2, "a", "b"), Link(3, "b", "c")]},
        changes=[first, second, second],
        case_facts={CASE: 3},
        clocks={CASE: 3},
        steps=[escalation(), escalation()],
        breaches=[Step(Told(an_id("breach"), (CASE, "first_response", 0)), NOON, NOON, NOON)],
        finished=[Told(an_id("finished"), (CASE, "first_response", 0))],
        kept_steps=[an_id("step")],
        obeyed=[an_id("step")],
        pools={("logistics", "chen"): 3, ("logistics", "zhao"): 0},
        kept={KEY: 1},
        recomputed={KEY: 1},
    )


PLANTED: dict[str, Callable[[Seen], object]] = {
    "acknowledged, no outcome": lambda seen: seen.outcomes.pop(PRAISE),
    "acknowledged, no fact": lambda seen: seen.facts.discard(PRAISE),
    "outcome of a feedback that nobody sent": lambda seen: seen.outcomes.update({OTHER: "recorded"}),
    "fact of a feedback that nobody sent": lambda seen: seen.facts.add(OTHER),
    "refused and stored": lambda seen: seen.facts.add(WRONG),
    "poison without a dead letter": lambda seen: seen.letters.remove(("routing", POISON)),
    "more than one case": lambda seen: seen.cases.update({OTHER: SeenCase(0, "", "", 0, (COMPLAINT,))}),
    "which does not list it": lambda seen: seen.outcomes.update({PRAISE: "joined"}),
    "with another outcome": lambda seen: seen.outcomes.update({COMPLAINT: "recorded"}),
    "has versions [1, 2]": lambda seen: seen.history[CASE].pop(),
    "has versions [1, 2, 3, 3]": lambda seen: seen.history[CASE].append(Link(3, "b", "c")),
    "does not follow": lambda seen: seen.history.update({CASE: [Link(1, "", "a"), Link(2, "x", "b")]}),
    "history of a case that is not stored": lambda seen: seen.history.update({OTHER: []}),
    "changes: different events": lambda seen: seen.changes.append(Changed(OTHER, CASE, (2,))),
    "changes: one id": lambda seen: seen.changes.append(Changed(an_id("v2"), CASE, (3,))),
    "never told": lambda seen: seen.changes.pop(0),
    "told and is not stored": lambda seen: seen.changes.append(Changed(OTHER, CASE, (4,))),
    "analytics has another version": lambda seen: seen.case_facts.update({CASE: 1}),
    "sla has another version": lambda seen: seen.clocks.clear(),
    "answered 200": lambda seen: seen.answered.add((CASE, 4)),
    "escalations: different events": lambda seen: seen.steps.append(escalation("again")),
    "decided early": lambda seen: seen.steps.append(escalation(at=NOON - timedelta(milliseconds=1))),
    "published early": lambda seen: seen.steps.append(escalation(published=NOON - timedelta(seconds=1))),
    "did not keep": lambda seen: seen.kept_steps.clear(),
    "never reached Kafka": lambda seen: seen.kept_steps.append(OTHER),
    "kept twice": lambda seen: seen.kept_steps.append(an_id("step")),
    "obeyed more than once": lambda seen: seen.obeyed.append(an_id("step")),
    "breaches: different events": lambda seen: seen.breaches.append(
        Step(Told(OTHER, (CASE, "first_response", 0)), NOON, NOON, NOON)
    ),
    "verdicts: different events": lambda seen: seen.finished.append(Told(OTHER, (CASE, "first_response", 0))),
    "the load of": lambda seen: seen.pools.update({("logistics", "chen"): 6}),
    "its open cases weigh 0": lambda seen: seen.pools.update({("logistics", "zhao"): 1}),
    "count that differs": lambda seen: seen.kept.update({KEY: 2}),
    "dead letter": lambda seen: seen.dead_letters.append("why"),
    "neither done nor a dead letter": lambda seen: seen.later_met.remove(("sla", OTHER)),
    "later version that nobody said": lambda seen: seen.later.clear(),
    "never said": lambda seen: setattr(seen, "unsaid", 1),
}


def test_a_run_that_kept_every_promise_is_clean_with_events_said_twice() -> None:
    assert violations(clean()) == []


@pytest.mark.parametrize("found", PLANTED)
def test_a_planted_violation_is_found(found: str) -> None:
    seen = clean()
    PLANTED[found](seen)
    words = found.split()[-1] if found.endswith("early") else found
    assert any(words in broken.words for broken in violations(seen)), violations(seen)


def test_a_journal_says_what_its_client_knew_though_the_last_line_was_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.note("sent", [PRAISE, COMPLAINT])
    journal.note("unknown", [PRAISE])
    journal.note("ok", [COMPLAINT])
    journal.note("refused", [WRONG])
    journal.close()
    with journal.path.open("a") as file:
        file.write(f"ok {OTHER}"[:20])
    known = read_journal(journal.path)
    assert (known.sent, known.ok, known.unknown) == ({PRAISE, COMPLAINT}, {COMPLAINT}, {PRAISE})
    assert known.refused == {WRONG}
