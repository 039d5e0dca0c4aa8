"""HTTP in: routes and their OpenAPI, admission of bodies, batches, and the way to Kafka."""

from services.intake.api.admission import Budget
from services.intake.api.door import Door
from services.intake.api.outlet import Outlet
from services.intake.api.routes import routes

__all__ = ["Budget", "Door", "Outlet", "routes"]
