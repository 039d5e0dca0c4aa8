"""Imported once by the server that service processes are forked from (processes.py)."""

from __future__ import annotations

import services.analytics.app
import services.intake.app
import services.routing.app
import services.sla.app
from shared.policy import load_policy
from shared.settings import DEMO_POLICY

APPS = (services.analytics.app, services.intake.app, services.routing.app, services.sla.app)
POLICY = load_policy(DEMO_POLICY)  # what a policy needs is imported when the first one is read
