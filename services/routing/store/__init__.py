"""MongoDB of routing: cases and what belongs to them, and the anchors of their audit."""

from services.routing.store.audit import AuditStore
from services.routing.store.cases import CaseStore
from services.routing.store.documents import entry_id

__all__ = ["AuditStore", "CaseStore", "entry_id"]
