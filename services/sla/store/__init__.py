"""All that the service keeps in MongoDB.

clocks       clocks, and what a decision changes
late         the lists of what is late
escalations  steps that fired
notices      what people wait to be told, and were
documents    how they are written
"""

from services.sla.store.clocks import Changes, ClockStore
from services.sla.store.documents import Escalation
from services.sla.store.escalations import EscalationFilter
from services.sla.store.late import LateFilter
from services.sla.store.notices import NoticeStore

__all__ = ["Changes", "ClockStore", "Escalation", "EscalationFilter", "LateFilter", "NoticeStore"]
