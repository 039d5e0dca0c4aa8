"""The composition root of the sla service: what it reads, what it keeps, what it answers."""

from __future__ import annotations

from fastapi import FastAPI

from services.sla import api, handlers
from services.sla.domain.escalation import Roster
from services.sla.domain.promise import Promises
from services.sla.figures import OpenCases
from services.sla.notices import Teller
from services.sla.settings import SlaSettings
from services.sla.store import ClockStore
from services.sla.sweep import Sweep
from shared import topics
from shared.clock import Clock, SystemClock
from shared.policy import Policy
from shared.policy_in_force import PolicyInForce
from shared.service import Service, create_app


def build(settings: SlaSettings | None = None, clock: Clock | None = None) -> FastAPI:
    """The application, nothing connected yet. Raises SetupError when the policy is refused."""
    settings = settings or SlaSettings()
    clock = clock or SystemClock()
    policy = PolicyInForce(settings.policy)
    service = Service.build("sla", settings, clock)
    store = ClockStore(service.database)
    promises, roster = Promises(policy()), Roster(policy())

    async def renew(policy: Policy) -> None:
        roster.renew(policy)  # first: where it fails, the promises stay those of the same policy
        promises.renew(policy)

    async def policies() -> None:
        await policy.keep_fresh(renew)

    streams = {
        topic: service.subscribe(topic, handler)
        for topic, handler in ((topics.CASES, handlers.on_case_changed(store, promises)),)
    }
    sweep = Sweep(
        service.mongo, streams[topics.CASES], store, roster, settings.sweep_every, settings.sweep_clocks
    )

    open_cases = OpenCases(service.mongo, streams[topics.CASES], store)
    service.prepare.append(store.ensure_indexes)
    # people read in minutes: four times as rarely
    teller = Teller(service.mongo, streams[topics.CASES], store.notices, roster, 4 * settings.sweep_every)
    service.background += [policies, sweep.run, open_cases.run, teller.run]
    return create_app(service, [api.routes(store, promises, service.mongo.now, service.access)])
