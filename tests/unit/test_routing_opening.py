"""Which feedback opens a case, joins one, or is only recorded (docs/domain.md 1 and 2), as sentences."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from msgspec import structs

from services.routing.domain.arriving import Known, decide_feedback
from services.routing.domain.case_file import CaseFile
from services.routing.domain.changes import Changes, Outcome
from services.routing.domain.opening import EVIDENCE_LIMIT, may_have_opened
from shared import ids
from shared.events import AssignmentRequested, CaseChanged, Customer, FeedbackReceived, Product, Rating
from shared.handler import Batch, Cause, Decision, Partition, Received
from shared.policy import Policy, load_policy
from shared.settings import DEMO_POLICY
from tests.support.cases import NOW
from tests.support.seals import unsealed

PARTITION = Partition("cqm.feedback.v1", 0)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(DEMO_POLICY)


def feedback(text: str = "快递箱子压坏了", **fields: Any) -> FeedbackReceived:
    external = uuid4().hex
    given: dict[str, Any] = {
        "id": ids.signal_id("feedback", "shop", external), "source": "shop", "external_id": external,
        "kind": "complaint", "channel": "web", "language": "zh", "occurred_at": NOW, "received_at": NOW,
        "customer": Customer(id="C-9"), "fingerprint": external,
    }  # fmt: skip
    return FeedbackReceived(text=text, **given | fields)


def decided(policy: Policy, *feedbacks: FeedbackReceived, known: Known | None = None) -> Decision[Changes]:
    records = [Received(one, Cause(PARTITION), offset) for offset, one in enumerate(feedbacks)]
    return decide_feedback(Batch(records, NOW), known or Known({}, [], unsealed), policy)


def states(decision: Decision[Changes]) -> list[str]:
    return [outcome.state for outcome in decision.changes.outcomes]


def test_a_complaint_opens_a_case_with_the_words_the_rule_and_the_policy_that_decided(policy: Policy) -> None:
    decision = decided(policy, feedback())
    (file,) = decision.changes.files.values()
    assert file.case.department == "logistics" and file.case.category == "logistics.damage"
    assert "“压坏”" in file.case.reason and f"规则“{file.case.rule}”" in file.case.reason
    assert file.case.policy_version == policy.version and file.case.accountable
    kinds = [type(emit.event).__name__ for emit in decision.events]
    assert kinds == ["CaseChanged", "AssignmentRequested"]


def test_the_event_names_everybody_who_is_to_be_informed_or_consulted(policy: Policy) -> None:
    (told,) = [
        emit.event for emit in decided(policy, feedback()).events if isinstance(emit.event, CaseChanged)
    ]
    assert (told.case.accountable, told.case.consulted, told.case.informed) == (
        "wang", ("quality",), ("zheng",),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["quality_report", "inspection"])
@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ("supplier_id == 'SUP-7'", {"supplier_id": "SUP-7"}),
        ("product.batch.startsWith('2026-02')", {"product": Product(model="CUP-2", batch="2026-02-A")}),
    ],
)
def test_a_rule_may_assign_by_supplier_or_by_batch(
    tmp_path: Path, policy: Policy, kind: str, condition: str, fields: dict[str, Any]
) -> None:
    content = json.loads(policy.content)
    content["cases"]["open_when"] = "kind in ['quality_report', 'inspection']"
    rule = {"name": "watched", "when": condition, "assign": {"department": "quality"}}
    content["routing"].insert(0, rule)
    (tmp_path / "policy.yaml").write_text(json.dumps(content))
    watching = load_policy(tmp_path)
    opened, other = (
        decided(watching, feedback("3 % fail", kind=kind, language="en", **said)).changes.files.values()
        for said in (fields, {})
    )
    assert [(file.case.rule, file.case.department, file.case.kind) for file in opened] == [
        ("watched", "quality", kind)
    ]
    assert [file.case.rule == "watched" for file in other] == [False]


def test_a_case_tells_an_english_customers_agent_in_english(policy: Policy) -> None:
    (file,) = decided(policy, feedback("no heat", language="en")).changes.files.values()
    assert "rule 'heat'; category housing.heat by 'no heat'" in file.case.reason


def test_the_history_keeps_the_details_of_the_decision(policy: Policy) -> None:
    (entry,) = decided(policy, feedback("箱子压坏了，没有延误")).changes.entries
    assert entry.change.data == {
        "category_by": "words", "words": ["压坏"], "denied": ["延误"], "severity_by": "logistics.damage",
        "urgency_by": "default", "consulted": ["quality"], "informed": ["zheng"],
    }  # fmt: skip


def test_the_lowest_score_there_is_raises_the_severity(policy: Policy) -> None:
    worst = Rating(metric="csat", score=1, scale_min=1, scale_max=5)
    (file,) = decided(policy, feedback(rating=worst)).changes.files.values()
    assert file.case.severity == "critical" and "打了最低分" in file.case.reason


def test_a_case_opens_when_the_customer_spoke_though_it_arrived_later(policy: Policy) -> None:
    earlier = NOW - timedelta(days=700)
    (file,) = decided(policy, feedback(occurred_at=earlier)).changes.files.values()
    assert (file.case.opened_at, file.case.updated_at, file.case.unanswered_since) == (earlier, NOW, earlier)


@pytest.mark.parametrize(
    ("rating", "state"),
    [
        (Rating(metric="nps", score=6, scale_min=0, scale_max=10), "case"),
        (Rating(metric="nps", score=7, scale_min=0, scale_max=10), "recorded"),
        (Rating(metric="csat", score=2, scale_min=1, scale_max=5), "case"),
        (Rating(metric="csat", score=4, scale_min=1, scale_max=5), "recorded"),
        (Rating(metric="ces", score=1, scale_min=1, scale_max=7), "case"),
    ],
)
def test_a_survey_opens_a_case_at_the_unhappy_end_of_its_scale(
    policy: Policy, rating: Rating, state: str
) -> None:
    assert states(decided(policy, feedback("", kind="survey", rating=rating))) == [state]


def test_a_second_feedback_about_the_same_matter_joins_even_within_one_batch(policy: Policy) -> None:
    decision = decided(policy, feedback(), feedback(), feedback())
    assert states(decision) == ["case", "joined", "joined"]
    (file,) = decision.changes.files.values()
    assert file.case.version == 3 and len(file.case.feedback_ids) == 3
    (told,) = [emit.event for emit in decision.events if isinstance(emit.event, CaseChanged)]
    assert told.case == file.case and [change.type for change in told.earlier] == ["opened", "joined"]
    assert (
        [version for version, _ in told.versions()]
        == [1, 2, 3]
        == [entry.version for entry in decision.changes.entries]
    )


@pytest.mark.parametrize(
    "other",
    [
        {"customer": Customer(id="C-10")},
        {"customer": Customer()},
        {"product": Product(model="M2")},
        {"category": "logistics.late"},
        {"occurred_at": NOW - timedelta(days=8)},
    ],
)
def test_another_customer_product_category_or_week_is_another_case(
    policy: Policy, other: dict[str, Any]
) -> None:
    assert states(decided(policy, feedback(), feedback(**other))) == ["case", "case"]


def test_two_feedbacks_without_a_customer_never_join(policy: Policy) -> None:
    assert (
        states(decided(policy, feedback(customer=Customer()), feedback(customer=Customer()))) == ["case"] * 2
    )


def test_a_case_full_of_evidence_is_not_joined_any_more(policy: Policy) -> None:
    (file,) = decided(policy, feedback()).changes.files.values()
    full = structs.replace(file.case, feedback_ids=tuple(uuid4() for _ in range(EVIDENCE_LIMIT)))
    known = Known({}, [structs.replace(file, case=full)], unsealed)
    assert states(decided(policy, feedback(), known=known)) == ["case"]


def test_what_a_batch_may_join_was_opened_from_a_year_before_it_until_the_window_of_joining_after_it(
    policy: Policy,
) -> None:
    week, year = timedelta(days=7), timedelta(days=366)
    batch = [feedback(occurred_at=NOW), feedback(occurred_at=NOW - week)]
    assert may_have_opened(batch, policy) == (NOW - week - year, NOW + week)
    (file,) = decided(policy, feedback(occurred_at=NOW + week)).changes.files.values()
    assert states(decided(policy, feedback(), known=Known({}, [file], unsealed))) == ["joined"]
    (file,) = decided(policy, feedback(occurred_at=NOW + week + timedelta(seconds=1))).changes.files.values()
    assert states(decided(policy, feedback(), known=Known({}, [file], unsealed))) == ["case"]


def test_the_same_feedback_again_does_nothing(policy: Policy) -> None:
    one = feedback()
    assert states(decided(policy, one, one)) == ["case"]
    known = Known({one.id: Outcome(one.id, "case", one.fingerprint)}, [], unsealed)
    decision = decided(policy, one, known=known)
    assert (decision.changes.outcomes, list(decision.events), list(decision.refused)) == ([], [], [])


def test_the_same_identity_with_another_content_is_refused_and_the_first_one_stays(policy: Policy) -> None:
    one = feedback()
    decision = decided(policy, one, structs.replace(one, fingerprint="other"))
    assert states(decision) == ["case"]
    (refusal,) = decision.refused
    assert (refusal.offset, refusal.error.reason) == (1, "conflict")
    assert TopicPartition(*refusal.partition) == refusal.partition


def test_a_given_category_that_the_policy_does_not_know_is_kept_and_goes_by_the_rules(policy: Policy) -> None:
    (file,) = decided(policy, feedback(category="unheard.of")).changes.files.values()
    assert file.case.category == "unheard.of" and file.case.department in policy.departments
    assert "unheard.of 为来件自带" in file.case.reason


def test_a_vip_is_one_priority_higher(policy: Policy) -> None:
    plain, vip = (priority_for(policy, tier) for tier in ("", "vip"))
    assert vip == max(1, plain - 1)


def priority_for(policy: Policy, tier: str) -> int:
    decision = decided(policy, feedback(customer=Customer(id="C", tier=tier), severity="low"))
    (file,) = decision.changes.files.values()
    return int(file.case.priority[1])


def opened(policy: Policy, **fields: Any) -> CaseFile:
    """A case about a broken box, as it stands after `fields` were put into it."""
    (file,) = decided(policy, feedback()).changes.files.values()
    return CaseFile(structs.replace(file.case, **fields), file.books)


def asked(decision: Decision[Changes]) -> list[str]:
    return [emit.event.reason for emit in decision.events if isinstance(emit.event, AssignmentRequested)]


def test_graver_evidence_raises_severity_and_priority_and_the_pool_counts_anew(policy: Policy) -> None:
    known = Known(
        {}, [opened(policy, severity="low", priority="P4", status="assigned", owner="chen")], unsealed
    )
    decision = decided(policy, feedback(severity="critical", urgency="high"), known=known)
    (file,) = decision.changes.files.values()
    assert (file.case.severity, file.case.urgency, file.case.priority) == ("critical", "high", "P1")
    (entry,) = decision.changes.entries
    assert entry.change.data["severity"] == ["low", "critical"] and asked(decision) == ["escalated"]


def test_milder_evidence_changes_neither(policy: Policy) -> None:
    known = Known({}, [opened(policy, severity="critical", urgency="high", priority="P1")], unsealed)
    decision = decided(policy, feedback(severity="low"), known=known)
    (file,) = decision.changes.files.values()
    assert (file.case.severity, file.case.priority, asked(decision)) == ("critical", "P1", [])
    assert decision.changes.entries[0].change.data == {}


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_what_is_said_after_the_end_reopens_the_case_within_the_window(policy: Policy, status: Any) -> None:
    ended = opened(policy, status=status, owner="chen", resolved_at=NOW, closed_at=NOW)
    decision = decided(
        policy, feedback(occurred_at=NOW + timedelta(days=29)), known=Known({}, [ended], unsealed)
    )
    (file,) = decision.changes.files.values()
    assert (file.case.status, file.case.reopened, file.case.owner) == ("reopened", 1, "")
    assert len(file.case.feedback_ids) == 2 and file.books.prefer == "chen"
    assert states(decision) == ["joined"] and asked(decision) == ["reopened"]


def test_what_is_said_after_the_window_opens_a_case_that_is_linked(policy: Policy) -> None:
    ended = opened(policy, status="closed", resolved_at=NOW, closed_at=NOW)
    decision = decided(
        policy, feedback(occurred_at=NOW + timedelta(days=31)), known=Known({}, [ended], unsealed)
    )
    (file,) = decision.changes.files.values()
    assert (file.case.version, file.case.linked_to) == (1, ended.case.id) and asked(decision) == ["opened"]


def test_what_was_said_before_the_resolution_is_evidence_and_reopens_nothing(policy: Policy) -> None:
    ended = opened(policy, status="resolved", resolved_at=NOW + timedelta(days=2))
    decision = decided(
        policy, feedback(occurred_at=NOW + timedelta(days=1)), known=Known({}, [ended], unsealed)
    )
    (file,) = decision.changes.files.values()
    assert (file.case.status, file.case.version) == ("resolved", 2) and asked(decision) == []


def test_what_was_said_before_the_case_was_opened_is_another_matter_once_it_has_ended(policy: Policy) -> None:
    ended = opened(policy, status="closed", resolved_at=NOW, closed_at=NOW)
    decision = decided(
        policy, feedback(occurred_at=NOW - timedelta(days=1)), known=Known({}, [ended], unsealed)
    )
    assert states(decision) == ["case"]
    (file,) = decision.changes.files.values()
    assert file.case.linked_to is None
