"""What a clock says. Ids come from what is said, so that a repetition says the same thing again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.sla.domain.clock import Clock, ClockStep, TargetClock
from shared.events import Case, CaseLabels, EscalationRaised, Target, TargetBreached, TargetFinished
from shared.ids import name_id


def labels_of(case: Case, department: str = "") -> CaseLabels:
    """What SLA events repeat of their case, or of its time in an earlier `department`."""
    return CaseLabels(
        department=department or case.department,
        priority=case.priority,
        category=case.category,
        kind=case.kind,
        channel=case.channel,
        owner=case.owner,
        region=case.customer.region,
        tier=case.customer.tier,
        severity=case.severity,
        source=case.source,
        language=case.language,
        touchpoint=case.touchpoint,
        product=case.product,
        supplier_id=case.supplier_id,
    )


def breached_event(of: Case | Clock, name: Target, target: TargetClock, now: datetime) -> TargetBreached:
    """Once per (case, target, epoch). The target has a due."""
    assert target.due_at is not None, "a target without a due cannot be late"
    case_id, version, labels = _of(of, target.department)
    return TargetBreached(
        id=name_id(case_id.hex, TargetBreached.type, name, str(target.epoch)),
        case_id=case_id,
        case_version=version,
        target=name,
        epoch=target.epoch,
        started_at=target.started_at,
        due_at=target.due_at,
        at=now,
        labels=labels,
    )


def finished_event(case: Case, name: Target, target: TargetClock) -> TargetFinished:
    """Once per (case, target, epoch). The target has finished."""
    assert target.finished_at is not None and target.due_at is not None, "the target has not finished"
    return TargetFinished(
        id=name_id(case.id.hex, TargetFinished.type, name, str(target.epoch)),
        case_id=case.id,
        case_version=case.version,
        target=name,
        epoch=target.epoch,
        verdict="breached" if target.state == "breached" else "met",
        started_at=target.started_at,
        due_at=target.due_at,
        finished_at=target.finished_at,
        business_seconds=target.business_seconds or 0,
        wall_seconds=target.wall_seconds or 0,
        answered=name != "first_response" or case.first_reply_at is not None,
        labels=labels_of(case, target.department),
    )


def raised_event(
    clock: Clock, name: Target, target: TargetClock, step: ClockStep, recipient: str, now: datetime
) -> EscalationRaised:
    """Once per (case, target, epoch, step, repetition). The step has a time.

    While a hold stands before the due, the step's own time is given for it.
    """
    assert step.at is not None, "a step without a time cannot be taken"
    parts = name, str(target.epoch), str(step.step), str(step.repetition)
    return EscalationRaised(
        id=name_id(clock.case_id.hex, EscalationRaised.type, *parts),
        case_id=clock.case_id,
        case_version=clock.case_version,
        target=name,
        epoch=target.epoch,
        step=step.step,
        repetition=step.repetition,
        action=step.action,
        recipient=recipient,
        due_at=target.due_at or step.at,
        step_at=step.at,
        at=now,
        labels=clock.labels,
    )


def _of(of: Case | Clock, department: str) -> tuple[UUID, int, CaseLabels]:
    if isinstance(of, Case):
        return of.id, of.version, labels_of(of, department)
    return of.case_id, of.case_version, of.labels
