"""All that the service keeps in MongoDB.

clocks     clocks and escalations, and what a decision changes of them
late       the lists of what is late
documents  how they are written
"""

from services.sla.store.clocks import Changes, ClockStore
from services.sla.store.documents import Escalation
from services.sla.store.late import Due

__all__ = ["Changes", "ClockStore", "Due", "Escalation"]
