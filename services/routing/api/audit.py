"""The audit over HTTP, a page at a time, so that a request has an end however long the history is."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.routing import APIRoute

from services.routing.api.views import answer
from services.routing.audit import FIRST, Audit, Page
from shared.problem import Problem

After = Annotated[UUID, Query(description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=5000)]


def audit_routes(audit: Audit, guard: type[APIRoute]) -> APIRouter:
    """GET /audit, /audit/anchors, /audit/anchors/{day}."""
    router = APIRouter(route_class=guard, tags=["audit"])

    @router.get("/audit")
    async def verify(after: After = FIRST, limit: Limit = 500) -> Response:
        """The next cases' histories, verified: what was removed, altered, added or unlinked, by name."""
        return _shown(await audit.verify(after, limit))

    @router.get("/audit/anchors")
    async def anchors() -> Response:
        """Every day's anchor, oldest first, and whether it still holds."""
        items, previous = [], ""
        for anchor in await audit.store.anchors():
            holds = await audit.holds(anchor, previous)
            previous = anchor["root"]
            items.append({
                "day": anchor["_id"], "at": anchor["at"], "cases": anchor["count"], "root": anchor["root"],
                "holds": holds,
            })  # fmt: skip
        return answer({"items": items, "next": None})

    @router.get("/audit/anchors/{day}")
    async def anchored(day: str, after: After = FIRST, limit: Limit = 500) -> Response:
        """The next cases of an anchor: whether what it has seen of their histories is still there."""
        anchor = await audit.store.anchor(day)
        if anchor is None:
            raise Problem(404, "No such anchor.")
        return _shown(await audit.verify_anchored(anchor, after, limit))

    return router


def _shown(page: Page) -> Response:
    flaws: list[dict[str, Any]] = [flaw._asdict() for flaw in page.flaws]
    return answer({"cases": page.cases, "entries": page.entries, "flaws": flaws, "next": page.next})
