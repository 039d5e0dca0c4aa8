"""HTTP out: the catalogue, figures, the facts behind them, reports, customers,
the voice of the customer, and figures recomputed."""

from fastapi import APIRouter

from services.analytics.api.answering import Answers
from services.analytics.api.checking import checking_routes
from services.analytics.api.customers import customer_routes
from services.analytics.api.figures import figure_routes
from services.analytics.api.recomputing import Replays
from services.analytics.api.reports import report_routes
from services.analytics.api.voice import voice_routes
from services.analytics.store.customers import CustomerStore
from services.analytics.store.voice import VoiceStore
from shared.auth import Access, guarded


def routes(
    answers: Answers,
    customers: CustomerStore,
    voice: VoiceStore,
    replays: Replays,
    access: Access,
) -> APIRouter:
    """All routes of the service, as docs/api.md lists them."""
    router, guard = APIRouter(), guarded(access, "kpis:read")
    router.include_router(figure_routes(answers, guard))
    router.include_router(report_routes(answers, guard))
    router.include_router(voice_routes(answers, voice, guard))
    router.include_router(customer_routes(customers, answers.freshness, guarded(access, "cases:read")))
    router.include_router(checking_routes(answers, replays, guard))
    return router
