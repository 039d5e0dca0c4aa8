"""The four services as their composition roots wire them, built and never started: nothing is connected."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fastapi import FastAPI

from services.analytics.app import build as build_analytics
from services.analytics.settings import AnalyticsSettings
from services.intake.app import build as build_intake
from services.intake.settings import IntakeSettings
from services.routing.app import build as build_routing
from services.routing.settings import RoutingSettings
from services.sla.app import build as build_sla
from services.sla.settings import SlaSettings
from shared.handler import Handler
from shared.service import Service


def built(**settings: Any) -> dict[str, FastAPI]:
    """The applications by the service's name, the policy that of the demo."""
    return {
        "intake": build_intake(IntakeSettings(log="text", **settings)),
        "routing": build_routing(RoutingSettings(log="text", **settings)),
        "sla": build_sla(SlaSettings(log="text", **settings)),
        "analytics": build_analytics(AnalyticsSettings(log="text", **settings)),
    }


@lru_cache
def apps() -> dict[str, FastAPI]:
    """With the default settings."""
    return built()


def service(name: str) -> Service:
    """The parts of one of them."""
    built: Service = apps()[name].state.service
    return built


def handlers() -> dict[tuple[str, str], Handler]:
    """Who hears what, as wired: (topic, service) to its handler."""
    return {
        (stream.topic.name, name): stream.processor.handler
        for name in apps()
        for stream in service(name).streams
    }
