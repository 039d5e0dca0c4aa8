"""Starts Apache Kafka as the image apache/kafka does, from the jars and the Java runtime that `cqm up` uses.

KAFKA_* variables become properties, an empty log directory is formatted, then this process is the broker.
With --jars it only fetches the jars (when the image is built).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from deploy.local.java import find_java
from deploy.local.kafka_jars import kafka_jars

CONFIG = Path("/opt/servers/etc/server.properties")
CLUSTER_ID = os.environ.get("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw")
NOT_PROPERTIES = {"KAFKA_HEAP_OPTS"}


def properties() -> dict[str, str]:
    """KAFKA_LOG_DIRS is log.dirs; a double underscore stands for one underscore, as in the official image."""
    return {
        name.removeprefix("KAFKA_").lower().replace("__", "\0").replace("_", ".").replace("\0", "_"): value
        for name, value in os.environ.items()
        if name.startswith("KAFKA_") and name not in NOT_PROPERTIES
    }


def main() -> None:
    """Does not return: exec."""
    jars = kafka_jars(progress=lambda name, done, total: None, cancelled=threading.Event())
    if sys.argv[1:] == ["--jars"]:
        print(len(jars), "jars")
        return
    settings = properties()
    CONFIG.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    java = [str(find_java()), "-cp", os.pathsep.join(map(str, jars))]
    if not (Path(settings["log.dirs"]) / "meta.properties").exists():
        format_storage = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(CONFIG)]
        subprocess.run([*java, *format_storage], check=True)
    heap = os.environ.get("KAFKA_HEAP_OPTS", "-Xms256m -Xmx512m").split()
    os.execv(java[0], [java[0], *heap, *java[1:], "kafka.Kafka", str(CONFIG)])


if __name__ == "__main__":
    main()
