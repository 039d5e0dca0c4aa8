"""Tables into feedback: files to rows, rows to records, records to Kafka, by whoever holds the job."""

from services.intake.imports.reception import Reception
from services.intake.imports.worker import Worker

__all__ = ["Reception", "Worker"]
