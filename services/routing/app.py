"""Composition root of routing: the only place that builds its clients and wires handlers and API."""

from __future__ import annotations

from fastapi import FastAPI

from services.routing import api, handlers
from services.routing.actions import Actions
from services.routing.settings import RoutingSettings
from services.routing.store import CaseStore
from services.routing.sweep import Sweep
from shared import topics
from shared.clock import Clock, SystemClock
from shared.policy import load_policy
from shared.service import Service, create_app


def build(settings: RoutingSettings | None = None, clock: Clock | None = None) -> FastAPI:
    """The routing service, wired; nothing is connected until the application starts."""
    settings, clock = settings or RoutingSettings(), clock or SystemClock()
    service = Service.build("routing", settings, clock)
    policy = load_policy(settings.policy)
    store = CaseStore(service.database)
    actions = Actions(service.mongo, store, service.publisher, clock, lambda: policy)

    for topic, handler in (
        (topics.FEEDBACK, handlers.on_feedback_received(store, lambda: policy)),
        (topics.ASSIGNMENTS, handlers.on_assignment_requested(store, lambda: policy)),
        (topics.SLA, handlers.on_escalation_raised(store, lambda: policy)),
    ):
        service.subscribe(topic, handler)

    service.prepare.append(store.prepare)
    sweep = Sweep(actions, store, service.mongo, clock, lambda: policy, settings.sweep_every)
    service.background += [sweep.outbox, sweep.cases]
    return create_app(service, [api.routes(store, actions, lambda: policy)])
