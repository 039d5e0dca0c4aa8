"""The composition root of analytics: which event goes to which handler, and what answers HTTP."""

from __future__ import annotations

from functools import partial
from zoneinfo import ZoneInfo

from ddsketch.mapping import LogarithmicMapping
from fastapi import FastAPI

from services.analytics import api, handlers
from services.analytics.api.answering import Answers
from services.analytics.api.recomputing import Replays
from services.analytics.domain.spans import middle
from services.analytics.domain.voice import listener
from services.analytics.freshness import Freshness
from services.analytics.generation import Current, Reading
from services.analytics.log import Log
from services.analytics.settings import AnalyticsSettings, first_weekday
from services.analytics.store.compaction import Compactor
from services.analytics.store.customers import CustomerStore
from services.analytics.store.evidence import EvidenceStore
from services.analytics.store.facts import FactStore
from services.analytics.store.figures import FigureStore
from services.analytics.store.positions import PositionStore
from services.analytics.store.voice import VoiceStore
from shared import topics
from shared.clock import Clock, SystemClock
from shared.generations import Generations
from shared.mongo import Database
from shared.service import Service, create_app
from shared.watched_file import WatchedFile

RELATIVE_ERROR = 0.01
"""Of percentiles. Bins that were stored with another one could not be read."""


async def looked(_: bool) -> None:
    """Whoever needs the weekday asks for it: nothing is made of it in advance."""


def build(settings: AnalyticsSettings | None = None, clock: Clock | None = None) -> FastAPI:
    """The service, not yet started."""
    settings = settings or AnalyticsSettings()
    service = Service.build("analytics", settings, clock or SystemClock())
    week = WatchedFile(settings.policy, first_weekday)
    generations = Generations(service.mongo, settings.database_prefix)
    seals = service.use_keys()
    facts = FactStore(service.database, seals)
    sketch, zone = LogarithmicMapping(RELATIVE_ERROR), ZoneInfo(settings.reporting_zone)
    apart = f".g{settings.generation}" if settings.generation else ""

    listen = listener(zone) if settings.voice else None
    for topic, handler in (
        (topics.FEEDBACK, handlers.on_feedback_received(facts, sketch.key, listen)),
        (topics.ACTIVITY, handlers.on_activity_recorded(facts)),
        (topics.CASES, handlers.on_case_changed(facts)),
        (topics.SLA, handlers.on_target_judged(facts, sketch.key)),
    ):
        # figures count what was said: only who counts words has to read them
        service.subscribe(topic, handler, apart, seals if listen and topic is topics.FEEDBACK else None)

    log = Log(settings.kafka, settings.kafka_security)
    freshness = Freshness(log, service.clock)
    reading = partial(_reading, service, settings, log, freshness, sketch, week)
    current = Current(service, facts, freshness, generations, reading, settings.generation)
    service.prepare.append(current.take_up)
    service.background += [
        current.watch, current.compact, freshness.run, partial(week.keep_fresh, looked)
    ]  # fmt: skip
    current.app = create_app(service, [current.now.router])
    return current.app


def _reading(
    service: Service,
    settings: AnalyticsSettings,
    log: Log,
    freshness: Freshness,
    sketch: LogarithmicMapping,
    week: WatchedFile[int],
    database: Database,
) -> Reading:
    """What reads a generation's database: the stores, and the routes that answer from them."""
    figures = FigureStore(database, settings.facts_per_answer)
    evidence = EvidenceStore(database, settings.facts_per_answer)
    customers, voice = CustomerStore(database), VoiceStore(database)
    positions = PositionStore(database, f"{settings.database_prefix}.analytics.")
    zone = ZoneInfo(settings.reporting_zone)
    value_of = middle(sketch.key, sketch.value)
    answers = Answers(figures, evidence, freshness, service.clock, zone, value_of, week)
    replays = Replays(database, log, sketch.key, positions, settings.facts_per_replay)
    router = api.routes(answers, customers, voice, replays, service.access)
    return Reading(router, positions, Compactor(service.mongo, database), [customers.prepare])
