"""Forms and adapters in force while intake runs: good new files take over; what is wrong is refused loudly,
and what was read before stays (as for policies, shared/policy_in_force.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from services.intake.adapters import Entrance, load_adapters
from services.intake.api.metrics import FILES_REFUSED
from shared.errors import SetupError
from shared.forms import Form, FormSet, load_forms
from shared.watched_file import WatchedFile

log = structlog.get_logger("cqm.intake")


class FormFiles:
    """Each form by itself: one whose new file is wrong stays as it was, and the others change."""

    def __init__(self, folder: Path) -> None:
        self._good: dict[str, Form] = {}
        self._wrong = False
        self._file = WatchedFile(folder, self._read)

    def __call__(self) -> FormSet:
        return self._file.value

    async def keep_fresh(self) -> None:
        await keep_fresh("forms", self._file, lambda: self._wrong)

    def look(self) -> bool:
        """Whether new files have taken over."""
        return self._file.look()

    def _read(self, folder: Path) -> FormSet:
        """Raises SetupError when a folder that was there is gone: forms do not vanish by accident."""
        if self._good and not folder.is_dir():
            raise SetupError(f"CQM_FORMS: there is no folder {folder}")
        found = load_forms(folder)
        for name, findings in found.refused.items():
            in_force = "what was read before" if name in self._good else "nothing"
            said = [str(finding) for finding in findings]
            log.error("form_refused", form=name, findings=said, in_force=in_force)
        kept = {name: self._good[name] for name in found.refused if name in self._good}
        self._good, self._wrong = {**found.forms, **kept}, bool(found.refused)
        refused = {name: why for name, why in found.refused.items() if name not in kept}
        return FormSet(self._good, refused)


class AdapterFiles:
    """All adapters together, as at the start: where one file is wrong, all stay as they were."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Raises SetupError when a file is wrong now."""
        self._file = WatchedFile(folder, lambda path: load_adapters(path, environment))

    def __call__(self) -> Mapping[str, Entrance]:
        return self._file.value

    async def keep_fresh(self) -> None:
        await keep_fresh("hooks", self._file, lambda: False)

    def look(self) -> bool:
        """Whether new files have taken over."""
        return self._file.look()


async def keep_fresh(door: str, file: WatchedFile[Any], wrong: Callable[[], bool]) -> None:
    """Runs until cancelled, and shows in FILES_REFUSED what is refused."""
    shown = FILES_REFUSED.labels(door)

    async def looked(_: bool) -> None:
        shown.set(bool(file.wrong) or wrong())

    await looked(False)
    await file.keep_fresh(looked)
