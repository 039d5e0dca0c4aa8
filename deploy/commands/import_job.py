"""One import from its start, or from where it was interrupted, to its summary."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.commands.addresses import Addresses
from deploy.commands.api import http_client
from deploy.commands.csv_table import opened_table
from deploy.commands.feeding import batches, feed
from deploy.commands.import_progress import ImportProgress
from deploy.commands.rejects import Rejected, RejectsFile
from deploy.commands.resume import Bookmark, Position, key_of
from deploy.commands.sending import Sender
from deploy.commands.terminal import USAGE, Failure, plain
from shared.mapping import Mapping, MappingError, load_mapping

MAPPINGS = Path(__file__).parent.parent / "mappings"
SHOWN_REJECTS = 20


@dataclass(frozen=True)
class Job:
    """One import: what is read, by which mapping, and where it goes."""

    file: Path
    mapping: Mapping
    rejects: Path
    addresses: Addresses
    bookmark: Bookmark

    @classmethod
    def checked(cls, file: Path, name: str, rejects: Path | None, addresses: Addresses) -> Job:
        """Raises Failure when the file or the mapping cannot be used, before anything is sent."""
        if not file.is_file():
            raise Failure(f"there is no file {file}", "", USAGE)
        mapping, mapping_file = named_mapping(name)
        if not file.stat().st_size:
            raise Failure(f"{file} is empty", "", USAGE)
        to = rejects or file.with_name(f"{file.name}.rejects.csv")
        key = key_of(file, mapping_file, addresses.name, to)
        return cls(file, mapping, to, addresses, Bookmark(addresses.folder, key))

    async def run(self) -> dict[str, Any]:
        """The summary, when every row has been settled. Raises Failure."""
        start, began = self.bookmark.load(), time.monotonic()
        intake = self.addresses.url("intake")
        progress = ImportProgress(self.file, start.rows)
        shown: list[Rejected] = []

        def done(position: Position, read_bytes: int, rejected: list[Rejected]) -> None:
            shown.extend(rejected[: SHOWN_REJECTS - len(shown)])
            progress.advance(position, read_bytes)

        with progress, opened_table(self.file, self.mapping.columns) as found:
            check_columns(self.mapping, found.header)
            rejects = RejectsFile(self.rejects, found.header, start.rejects_bytes)
            async with http_client(intake) as client:
                sender = Sender(client, intake, progress.wait)
                source = batches(found, self.mapping, start.rows)
                position = await feed(source, sender, done, start, rejects=rejects, bookmark=self.bookmark)
            rejects.close()
        self.bookmark.clear()
        return self._summary(start, position, time.monotonic() - began, shown)

    def _summary(
        self, start: Position, position: Position, seconds: float, shown: list[Rejected]
    ) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "rows": position.accepted + position.rejected,
            "accepted": position.accepted,
            "rejected": position.rejected,
            "resumed_after_row": start.rows + 1 if start.rows else None,
            "seconds": round(seconds, 3),
            "rows_per_second": round((position.rows - start.rows) / max(seconds, 0.001), 1),
            "rejects_file": str(self.rejects) if position.rejected else None,
            "rejects": [rejected._asdict() for rejected in shown],
        }


def named_mapping(name: str) -> tuple[Mapping, Path]:
    """A mapping and its file. Raises Failure with file and line of what is wrong in it."""
    try:
        mapping = load_mapping(name, MAPPINGS)
    except MappingError as error:
        raise Failure(str(error), "", USAGE) from error
    shipped = MAPPINGS / f"{name}.yaml"
    return mapping, shipped if shipped.is_file() else Path(name)


def check_columns(mapping: Mapping, header: list[str]) -> None:
    """Raises Failure naming the columns that the file lacks."""
    try:
        mapping.check_columns(header)
    except MappingError as error:
        raise Failure(
            str(error), f"it has {', '.join(plain(column) for column in header[:50])}", USAGE
        ) from error
