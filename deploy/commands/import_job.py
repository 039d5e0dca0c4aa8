"""One `cqm import`, from its file to its summary: intake does the work, this follows it."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from deploy.commands.addresses import Addresses
from deploy.commands.api import http_client
from deploy.commands.import_client import ImportClient, Source
from deploy.commands.import_progress import ImportProgress
from deploy.commands.terminal import USAGE, Failure

SHOWN_REJECTS = 20


@dataclass
class ImportJob:
    """`identity` is known once intake has the file; `attached`: it had it before."""

    source: Source
    rejects: Path
    addresses: Addresses
    identity: str = ""
    attached: bool = field(default=False, init=False)

    @classmethod
    def checked(
        cls, file: Path, mapping: str, rejects: Path | None, options: dict[str, str], addresses: Addresses
    ) -> ImportJob:
        """Raises Failure when a file is not there, before anything is sent."""
        if not file.is_file():
            raise Failure(f"there is no file {file}", "", USAGE)
        said = {name: value for name, value in options.items() if value}
        if "/" in mapping or mapping.endswith((".yaml", ".yml")):
            try:
                source = Source(file, "", Path(mapping).read_bytes(), said)
            except OSError as error:
                raise Failure(f"{mapping} cannot be read: {error.strerror}", "", USAGE) from error
        else:
            source = Source(file, mapping, None, said)
        return cls(source, rejects or file.with_name(f"{file.name}.rejects.csv"), addresses)

    @property
    def url(self) -> str:
        """Where the import can be looked at, and cancelled."""
        return f"{self.addresses.url('intake')}/v1/imports/{self.identity}"

    async def dry_run(self) -> dict[str, Any]:
        """What intake would make of the file. Raises Failure."""
        intake = self.addresses.url("intake")
        with ImportProgress(self.source.file) as progress:
            async with http_client(intake) as client:
                return await ImportClient(client, intake, progress.wait).dry_run(self.source, progress.sent)

    async def run(self) -> dict[str, Any]:
        """The summary, when every row has been settled. Raises Failure."""
        began = time.monotonic()
        intake = self.addresses.url("intake")
        with ImportProgress(self.source.file) as progress:
            async with http_client(intake) as client:
                imports = ImportClient(client, intake, progress.wait)
                job = await self._begun(imports, progress)
                async for job in imports.follow(self.identity):
                    progress.imported(job)
                self._check_end(job)
                shown = await self._rejects(imports, job)
        return self._summary(job, time.monotonic() - began, shown)

    async def _begun(self, imports: ImportClient, progress: ImportProgress) -> dict[str, Any]:
        sha256 = await asyncio.to_thread(_sha256, self.source.file)
        job = await imports.unfinished(self.source, sha256)
        self.attached = job is not None
        if job is None:
            job = await imports.upload(self.source, progress.sent)
        self.identity = job["id"]
        return job

    def _check_end(self, job: dict[str, Any]) -> None:
        if job["state"] == "failed":
            raise Failure(f"the import failed after {job['rows']:,} rows: {job['reason']}")
        if job["state"] == "cancelled":
            raise Failure(f"the import was cancelled after {job['rows']:,} rows; those stay taken")

    async def _rejects(self, imports: ImportClient, job: dict[str, Any]) -> list[dict[str, Any]]:
        """Those of an earlier import do not stay beside this one."""
        self.rejects.unlink(missing_ok=True)
        if not job["rejected"]:
            return []
        await imports.rejects(self.identity, self.rejects)
        with self.rejects.open(encoding="utf-8-sig", newline="") as file:
            return [
                {
                    "row": int(row["rejected_row"]),
                    "column": row["rejected_column"],
                    "reason": row["rejected_reason"],
                }
                for row in islice(csv.DictReader(file), SHOWN_REJECTS)
            ]

    def _summary(self, job: dict[str, Any], seconds: float, shown: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": job["id"],
            "file": str(self.source.file),
            "rows": job["rows"],
            "accepted": job["accepted"],
            "rejected": job["rejected"],
            "attached": self.attached,
            "seconds": round(seconds, 3),
            "rows_per_second": job["rate"],
            "rejects_file": str(self.rejects) if job["rejected"] else None,
            "rejects": shown,
        }


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
