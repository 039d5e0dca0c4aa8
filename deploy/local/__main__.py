"""`python -m deploy.local PLAN_FILE EVENTS_FD`: an instance without a terminal (daemon.start_daemon)."""

from __future__ import annotations

import sys

from deploy.local.daemon import main

sys.exit(main(sys.argv[1], int(sys.argv[2])))
