"""Adapters from their files, with the keys that their secrets hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from services.intake.adapters.adapter import Adapter
from services.intake.adapters.spec import AdapterSpec, Secret
from services.intake.domain.webhooks import Key, read_keys
from shared.errors import SetupError
from shared.mapping import MappingError, spec_of

log = structlog.get_logger("cqm.intake")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class Entrance(NamedTuple):
    """What stands behind /v1/hooks/NAME. Without keys nobody can come in: its secret is not there yet."""

    name: str
    adapter: Adapter
    keys: tuple[Key, ...]


def load_adapters(folder: Path, environment: Mapping[str, str]) -> dict[str, Entrance]:
    """Every NAME.yaml in `folder`, by name. Raises SetupError with file and line of all that is wrong.

    A secret that is missing or unusable keeps only its own adapter shut; one line of the log names them all.
    """
    if not folder.is_dir():
        raise SetupError(f"CQM_ADAPTERS: there is no folder {folder}")
    entrances: dict[str, Entrance] = {}
    findings: list[str] = []
    shut: dict[str, str] = {}
    for file in sorted(folder.glob("*.yaml")):
        try:
            if not _NAME.fullmatch(file.stem):
                raise MappingError(f"{file.name}:1: error: the name is not of small letters, digits and -")
            spec = spec_of(file.read_bytes(), file.name, AdapterSpec)
        except MappingError as error:
            findings.append(str(error))
            continue
        keys, why = _keys(spec, environment)
        if why:
            shut[file.stem] = why
        entrances[file.stem] = Entrance(file.stem, Adapter(spec), keys)
    if findings:
        raise SetupError("\n".join(findings))
    if shut:
        log.warning("adapters_without_secret", answered="503", adapters=shut)
    return entrances


def _keys(spec: AdapterSpec, environment: Mapping[str, str]) -> tuple[tuple[Key, ...], str]:
    """The keys, or none and why; never the secret."""
    try:
        return read_keys(spec.scheme, _secret(spec.secret, environment)), ""
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return (), f"{spec.secret.env or spec.secret.file}: {reason}"


def _secret(secret: Secret, environment: Mapping[str, str]) -> str:
    if secret.file is not None:
        return Path(secret.file).read_text(encoding="utf-8")
    found = environment.get(secret.env or "")
    if found is None:
        raise ValueError("is not set")
    return found
