"""What intake keeps in MongoDB (database PREFIX_intake): import jobs, their files, and the rows refused.

Nothing of it is needed to accept a signal: without MongoDB only imports wait.
"""

from services.intake.store.files import FileStore
from services.intake.store.jobs import JobStore

__all__ = ["FileStore", "JobStore"]
