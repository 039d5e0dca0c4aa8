"""The health check of a service's container: exit 0 when /readyz answers 200; what is missing is printed."""

from __future__ import annotations

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["CQM_PORT"]), timeout=4)
try:
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    print(answer.status, answer.read(2000).decode("utf-8", "replace"))
    sys.exit(answer.status != 200)
except OSError as error:
    sys.exit(f"no answer: {error}")
