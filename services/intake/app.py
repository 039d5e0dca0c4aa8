"""Composition root of intake: HTTP in, Kafka out, nothing kept."""

from __future__ import annotations

from fastapi import FastAPI

from services.intake import api
from services.intake.settings import IntakeSettings
from shared.clock import Clock, SystemClock
from shared.service import Service, create_app


def build(settings: IntakeSettings | None = None, clock: Clock | None = None) -> FastAPI:
    settings = settings or IntakeSettings()
    service = Service.build("intake", settings, clock or SystemClock(), consumes=False)
    door = api.Door(
        api.Outlet(service.publisher, settings.publish_deadline),
        api.Budget(settings.in_flight_bytes),
        service.clock,
        service.access,
        settings.body_seconds,
    )
    return create_app(service, [api.routes(door)])
