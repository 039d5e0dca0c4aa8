"""Checks of this machine: Python, the embedded runtime, ports, disk, and the policy's files."""

from __future__ import annotations

import platform
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from deploy.commands.checkup import Finding, Surroundings
from deploy.local.errors import LocalError
from deploy.local.java import find_java
from deploy.local.mongod_binary import find_mongod
from deploy.local.plan import SERVICES
from deploy.local.ports import SERVICE_BASE, is_free
from shared.policy import check

OLDEST_PYTHON = (3, 11)
GIB = 2**30
LITTLE_BYTES, TOO_LITTLE_BYTES = 5 * GIB, 1 * GIB


async def python(_: Surroundings) -> list[Finding]:
    found = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return [Finding("python", "problem", f"Python {found}", "CQM needs Python 3.11 or newer")]
    return [Finding("python", "ok", f"Python {found} on {platform.system()} {platform.machine()}")]


async def runtime(around: Surroundings) -> list[Finding]:
    """What `cqm up` would start itself; of no matter where both servers are given."""
    findings = []
    if around.kafka is None or around.running:
        findings.append(_found("java", find_java, "for Kafka"))
    if around.mongo is None or around.running:
        findings.append(_found("mongod", find_mongod, "for MongoDB"))
    return findings


def _found(check: str, find: object, purpose: str) -> Finding:
    assert callable(find)
    try:
        return Finding(check, "ok", f"{find()} runs here, {purpose}")
    except LocalError as error:
        return Finding(check, "problem", error.message, error.remedy)


async def ports(around: Surroundings) -> list[Finding]:
    if around.running:
        addresses = ", ".join(url for urls in around.urls.values() for url in urls)
        return [Finding("ports", "ok", f"the services are at {addresses}")]
    wanted = range(SERVICE_BASE, SERVICE_BASE + len(SERVICES))
    taken = [str(port) for port in wanted if not is_free(port)]
    if taken:
        text = f"taken on 127.0.0.1: {', '.join(taken)}; `cqm up` would use the next free row"
        return [Finding("ports", "note", text, "choose another first port with `cqm up --port-base`")]
    return [Finding("ports", "ok", f"{wanted[0]} to {wanted[-1]} are free on 127.0.0.1")]


async def disk(around: Surroundings) -> list[Finding]:
    free = shutil.disk_usage(nearest_folder(around.data_dir)).free
    text = f"{free / GIB:.1f} GiB free for {around.data_dir}"
    if free < TOO_LITTLE_BYTES:
        return [Finding("disk", "problem", text, "free some, or choose another folder with --data-dir")]
    if free < LITTLE_BYTES:
        return [
            Finding("disk", "note", text, "Kafka keeps every event: watch it, or choose another --data-dir")
        ]
    return [Finding("disk", "ok", text)]


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


async def policy(around: Surroundings) -> list[Finding]:
    findings = check([around.policy], datetime.now(UTC).date())
    errors = [finding for finding in findings if finding.severity == "error"]
    remedy = f"`cqm policy check {around.policy}` shows them all"
    if errors:
        text = f"{around.policy}: {len(errors)} errors, the first is {errors[0]}"
        return [Finding("policy", "problem", text, remedy)]
    if findings:
        return [Finding("policy", "note", f"{around.policy}: {len(findings)} warnings", remedy)]
    return [Finding("policy", "ok", f"{around.policy} has no findings")]
