"""All that the service keeps in MongoDB.

clocks     clocks and escalations, and what a decision changes of them
late       the lists of what is late
notices    what people wait to be told, and were
documents  how they are written
"""

from services.sla.store.clocks import Changes, ClockStore
from services.sla.store.documents import Escalation
from services.sla.store.late import Due
from services.sla.store.notices import NoticeStore

__all__ = ["Changes", "ClockStore", "Due", "Escalation", "NoticeStore"]
