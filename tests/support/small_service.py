"""`python -m tests.support.small_service NAME`: what deploy/local needs of a service, in a few lines.

/readyz answers with the CQM_ variables of its environment. TEST_FOLDER gets NAME.drained when it was told to
stop and still found Kafka then; the one that TEST_BROKEN names cannot start.
"""

import http.server
import json
import os
import pathlib
import signal
import socket
import sys
import threading


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
        told = {name: value for name, value in os.environ.items() if name.startswith("CQM_")}
        self.wfile.write(json.dumps(told).encode())


def main(name: str) -> None:
    if name == os.environ.get("TEST_BROKEN"):
        sys.exit("no such policy")
    address = (os.environ["CQM_HOST"], int(os.environ["CQM_PORT"]))
    server = http.server.ThreadingHTTPServer(address, Ready)

    def drain(*_: object) -> None:
        host, _, port = os.environ["CQM_KAFKA"].rpartition(":")
        with socket.create_connection((host, int(port)), 5):
            (pathlib.Path(os.environ["TEST_FOLDER"]) / f"{name}.drained").write_text("Kafka was there")
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, drain)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
