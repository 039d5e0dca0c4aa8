"""Which feedback opens a case, joins one, or is only recorded (docs/domain.md 1 and 2), as sentences."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from msgspec import structs

from services.routing.domain.opening import EVIDENCE_LIMIT
from services.routing.handlers import Known, decide_feedback
from services.routing.store import Changes, Outcome
from shared import ids
from shared.events import CaseChanged, Customer, FeedbackReceived, Product, Rating
from shared.handler import Batch, Cause, Decision, Partition, Received
from shared.policy import Policy, load_policy
from shared.settings import DEMO_POLICY
from tests.support.cases import NOW

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
    return decide_feedback(Batch(records, NOW), known or Known({}, []), policy)


def states(decision: Decision[Changes]) -> list[str]:
    return [outcome.state for outcome in decision.changes.outcomes]


def test_a_complaint_opens_a_case_with_the_words_the_rule_and_the_policy_that_decided(policy: Policy) -> None:
    decision = decided(policy, feedback())
    (file,) = decision.changes.files.values()
    assert file.case.department == "logistics" and file.case.category == "logistics.damage"
    assert "'压坏'" in file.case.reason and file.case.rule in file.case.reason
    assert file.case.policy_version == policy.version and file.case.accountable
    kinds = [type(emit.event).__name__ for emit in decision.events]
    assert kinds == ["CaseChanged", "AssignmentRequested"]


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
    versions = [emit.event.case.version for emit in decision.events if isinstance(emit.event, CaseChanged)]
    assert versions == [1, 2, 3] == [entry.version for entry in decision.changes.entries]


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
    known = Known({}, [structs.replace(file, case=full)])
    assert states(decided(policy, feedback(), known=known)) == ["case"]


def test_the_same_feedback_again_does_nothing(policy: Policy) -> None:
    one = feedback()
    assert states(decided(policy, one, one)) == ["case"]
    known = Known({one.id: Outcome(one.id, "case", one.fingerprint)}, [])
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
    assert "as given" in file.case.reason


def test_a_vip_is_one_priority_higher(policy: Policy) -> None:
    plain, vip = (priority_for(policy, tier) for tier in ("", "vip"))
    assert vip == max(1, plain - 1)


def priority_for(policy: Policy, tier: str) -> int:
    decision = decided(policy, feedback(customer=Customer(id="C", tier=tier), severity="low"))
    (file,) = decision.changes.files.values()
    return int(file.case.priority[1])
