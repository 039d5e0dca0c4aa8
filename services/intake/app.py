"""Composition root of intake: HTTP in, Kafka out; only imports are kept meanwhile."""

from __future__ import annotations

import os
import secrets

import structlog
from fastapi import FastAPI

from services.intake import api
from services.intake.api.imports import import_routes
from services.intake.api.in_force import AdapterFiles, FormFiles
from services.intake.domain.imports import Room
from services.intake.imports import Reception, Worker
from services.intake.settings import IntakeSettings
from services.intake.store import FileStore, JobStore
from shared.clock import Clock, SystemClock
from shared.forms import Signer
from shared.rate_limit import RateLimiter
from shared.sealing import Seals
from shared.service import Service, create_app

log = structlog.get_logger("cqm.intake")


def build(settings: IntakeSettings | None = None, clock: Clock | None = None) -> FastAPI:
    settings = settings or IntakeSettings()
    service = Service.build("intake", settings, clock or SystemClock(), consumes=False)
    crowd = api.Crowd(settings.queue_seconds)
    service.is_full = crowd.is_full
    door = api.Door(
        api.Outlet(service.publisher, settings.publish_deadline, crowd.waited),
        api.Budget(settings.in_flight_bytes),
        service.clock,
        service.access,
        service.use_keys(),
        settings.body_seconds,
    )
    adapters, forms = AdapterFiles(settings.adapters, os.environ), FormFiles(settings.forms)
    service.background += [adapters.keep_fresh, forms.keep_fresh]
    hooks = api.hook_routes(door, adapters)
    pages = api.form_routes(_forms(door, settings, forms))
    reception = _imports(service, settings, door.seals)
    imports = import_routes(door, reception, settings.mappings, settings.import_bytes)
    return create_app(service, [api.routes(door), api.event_routes(door), hooks, pages, imports])


def _imports(service: Service, settings: IntakeSettings, seals: Seals) -> Reception:
    """Jobs are in MongoDB, of which everything else here needs no more than the keys, once."""
    jobs, files = JobStore(service.database, settings.import_lease), FileStore(service.database)
    publish, group = service.publisher.publish, f"{settings.database_prefix}.intake.imports"
    worker = Worker(
        jobs, files, publish, service.clock, group, settings.import_lease, settings.import_days, seals
    )
    service.background.append(worker.run)
    room = Room(settings.imports_of_caller, settings.imports_waiting)
    return Reception(jobs, files, service.clock, worker.wake, room, seals)


def _forms(door: api.Door, settings: IntakeSettings, forms: FormFiles) -> api.Forms:
    secret = settings.secret.get_secret_value()
    if not secret:
        log.warning("no_secret", remedy="set CQM_SECRET, or links and open forms end with this process")
        secret = secrets.token_urlsafe(32)
    per_second = settings.form_posts / 60
    limiter = RateLimiter(per_second, settings.form_posts, keys_max=100_000)
    return api.Forms(door, forms, Signer(secret), limiter, settings.public_url, api.Pages())
