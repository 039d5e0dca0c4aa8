"""HTTP in: routes and their OpenAPI, admission of bodies, batches, and the way to Kafka."""

from services.intake.api.admission import Budget, Crowd
from services.intake.api.door import Door
from services.intake.api.events import event_routes
from services.intake.api.form_pages import Pages
from services.intake.api.form_routes import form_routes
from services.intake.api.forms import Forms
from services.intake.api.hooks import hook_routes
from services.intake.api.outlet import Outlet
from services.intake.api.routes import routes

__all__ = [
    "Budget",
    "Crowd",
    "Door",
    "Forms",
    "Outlet",
    "Pages",
    "event_routes",
    "form_routes",
    "hook_routes",
    "routes",
]
