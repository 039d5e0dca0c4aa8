"""Composition root of routing: the only place that builds its clients and wires handlers and API."""

from __future__ import annotations

from fastapi import FastAPI

from services.routing import api, handlers
from services.routing.actions import Actions
from services.routing.audit import Audit
from services.routing.settings import RoutingSettings
from services.routing.store import AuditStore, CaseStore
from services.routing.sweep import Sweep
from shared import topics
from shared.clock import Clock, SystemClock
from shared.policy_in_force import PolicyInForce
from shared.service import Service, create_app


def build(settings: RoutingSettings | None = None, clock: Clock | None = None) -> FastAPI:
    """The routing service, wired; nothing is connected until the application starts."""
    settings, clock = settings or RoutingSettings(), clock or SystemClock()
    service = Service.build("routing", settings, clock)
    policy = PolicyInForce(settings.policy)
    store = CaseStore(service.database)
    audit = Audit(AuditStore(service.database), service.mongo)
    seals = service.use_keys()
    actions = Actions(service.mongo, store, service.publisher, clock, policy, seals)

    pools = service.subscribe(topics.ASSIGNMENTS, handlers.on_assignment_requested(store, policy))

    def writes(department: str) -> bool:
        return pools.holds(department.encode())

    service.subscribe(
        topics.FEEDBACK, handlers.on_feedback_received(store, policy, seals.sealed_case, writes), seals=seals
    )
    service.subscribe(topics.SLA, handlers.on_escalation_raised(store, policy))

    service.prepare += [store.prepare, audit.store.prepare]
    sweep = Sweep(actions, store, service.mongo, clock, policy, settings.sweep_every)
    service.background += [sweep.policies, sweep.cases, sweep.outbox, audit.keep_anchoring]
    return create_app(service, [api.routes(store, actions, audit, policy, clock, service.access, seals)])
