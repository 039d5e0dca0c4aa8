"""The next version of the services, N+1: its contract gained a field in three places and three event types.

Its intake, routing and sla fill the field, in what they say and in what they keep, and say an event of the
new types beside each event of the old ones. Its consumers do the new events: each is kept once, in `later`.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.variants import Patch, variant

FIELD = b'"mood":"calm"'
"""How the new field stands in a record."""


def next_version(folder: Path) -> Path:
    """Its root, for Cluster.add and Cluster.run_from."""
    return variant(folder, PATCHES, {"shared/notices.py": _MODULE})


def _before(file: str, place: str, added: str) -> Patch:
    return Patch(file, place, added + place)


def _after(file: str, place: str, added: str) -> Patch:
    return Patch(file, place, place + added)


_EVENTS, _TOPICS, _OUTLET = "shared/events.py", "shared/topics.py", "services/intake/api/outlet.py"
_SPINE, _SERVICE = "shared/exactly_once.py", "shared/service.py"
_NOTICES = """class Notice(Event, frozen=True, kw_only=True):
    about: UUID


class FeedbackNoticed(Notice, frozen=True, kw_only=True):
    type: ClassVar[str] = "cqm.feedback.noticed.v1"


class CaseNoticed(Notice, frozen=True, kw_only=True):
    type: ClassVar[str] = "cqm.case.noticed.v1"


class TargetNoticed(Notice, frozen=True, kw_only=True):
    type: ClassVar[str] = "cqm.sla.target_noticed.v1"


"""
_MOOD, _CALM = '    mood: str = ""\n', '        mood="calm",\n'
_FIELDS = (
    _before(_EVENTS, '    sealed: bytes = b""\n\n\nclass ActivityRecorded', _MOOD),
    _after(_EVENTS, "    satisfied: bool | None = None\n", _MOOD),
    _before(_EVENTS, "\n\nclass TargetBreached", _MOOD),
    Patch("services/intake/api/signals.py", "%b%b%b,' % (", '%b%b%b,"mood":"calm",\' % ('),
    _before("services/routing/domain/opening.py", "        linked_to=after", _CALM),
    _after("services/sla/domain/said.py", "        supplier_id=case.supplier_id,\n", _CALM),
)
_TYPES = (
    _before(_EVENTS, "EVENTS: tuple[type[Event], ...] = (\n", _NOTICES),
    _after(
        _EVENTS, "EVENTS: tuple[type[Event], ...] = (\n", "    FeedbackNoticed, CaseNoticed, TargetNoticed,\n"
    ),
    _after(_TOPICS, "    (events.FeedbackReceived,", " events.FeedbackNoticed"),
    _after(_TOPICS, "    (events.CaseChanged,", " events.CaseNoticed"),
    _after(_TOPICS, "events.TargetFinished, events.EscalationRaised", ", events.TargetNoticed"),
)
_SPOKEN = (
    _before(_OUTLET, "        PUBLICATION_SIGNALS.observe", "        together = notices.beside(together)\n"),
    _before(_OUTLET, "from shared.codec", "from shared import notices\n"),
    _before(_SPINE, "            if sum(record.size", "            records[:] = notices.beside(records)\n"),
    _before(_SPINE, "from shared.codec", "from shared import notices\n"),
    Patch(
        _SERVICE, "exactly_once, handler, self", "exactly_once, notices.kept(handler, self.database), self"
    ),
    _before(_SERVICE, "    kafka_connection,  # noqa", "    notices,\n"),
)
PATCHES = (*_FIELDS, *_TYPES, *_SPOKEN)
_MODULE = '''"""What version N+1 says beside the events of version N, and how its consumers keep it."""

import json
from dataclasses import replace

from pymongo import UpdateOne

from shared.codec import Outgoing
from shared.events import CaseNoticed, FeedbackNoticed, Notice, TargetNoticed
from shared.handler import Decision, Handler
from shared.ids import name_id

SAID = {
    b"cqm.feedback.received.v1": FeedbackNoticed,
    b"cqm.case.changed.v1": CaseNoticed,
    b"cqm.sla.target_breached.v1": TargetNoticed,
    b"cqm.sla.target_finished.v1": TargetNoticed,
    b"cqm.sla.escalation_raised.v1": TargetNoticed,
}


def beside(records):
    """The records, each of an old type with its notice behind it."""
    return [one for record in records for one in (record, notice(record)) if one is not None]


def notice(record):
    named = dict(record.headers)
    kind = SAID.get(named.get("ce_type"))
    if kind is None or "dlt_id" in named:
        return None
    about = named["ce_id"].decode()
    identity = str(name_id(about, kind.type))
    headers = named | {"ce_id": identity.encode(), "ce_type": kind.type.encode()}
    value = json.dumps({"id": identity, "about": about}).encode()
    return Outgoing(record.topic, record.key, value, list(headers.items()))


def kept(handler, database):
    """The service's own handler for the old events, and one document for each of the new ones."""

    def old(batch):
        return replace(batch, records=[one for one in batch.records if not isinstance(one.event, Notice)])

    async def load(batch, session):
        return await handler.load(old(batch), session)

    def decide(batch, loaded):
        decision = handler.decide(old(batch), loaded)
        new = [one.event for one in batch.records if isinstance(one.event, Notice)]
        return Decision((decision.changes, new), decision.events, decision.refused)

    async def store(changes, session):
        before, new = changes
        await handler.store(before, session)
        if new:
            once = [UpdateOne({"_id": one.id}, {"$set": {"about": one.about}}, upsert=True) for one in new]
            await database.later.bulk_write(once, ordered=False, session=session)

    def foresee(event):
        return None if isinstance(event, Notice) else handler.foresee(event)

    return Handler(load, decide, store, foresee)
'''
