"""From a folder of YAML files to a policy in force, or to findings that say what is wrong and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from shared.errors import SetupError
from shared.policy.compiling import build_calendar, compile_policy
from shared.policy.models import PolicyDocument
from shared.policy.policy import Policy
from shared.policy.source import Finding, Keys, Source, read_contents, read_source

__all__ = ["Policy", "PolicyError", "build_calendar", "check", "check_contents", "load_policy"]


MOST_FINDINGS = 1000
"""Of the shape of a document; who has made more mistakes will look again."""


class PolicyError(SetupError):
    """A policy that is refused; `findings` holds all errors and warnings, in order of their lines."""

    def __init__(self, findings: list[Finding]) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        super().__init__("the policy is refused:\n" + "\n".join(map(str, errors)))
        self.findings = findings


def load_policy(folder: Path) -> Policy:
    """The policy of a folder (or of one file). Raises PolicyError; warnings are kept in the policy."""
    policy, findings = _build(read_source([folder]), None)
    if policy is None:
        raise PolicyError(findings)
    return policy


def check(paths: Iterable[Path], today: date | None = None) -> list[Finding]:
    """All findings of the files and folders read as one policy, by file and line; empty when it is well.

    `today` also warns of public holidays whose make-up working days are not decreed yet.
    """
    return _build(read_source(paths), today)[1]


def check_contents(contents: Mapping[str, bytes], today: date | None = None) -> list[Finding]:
    """The same of what is no file yet, by name."""
    return _build(read_contents(contents), today)[1]


def _build(source: Source, today: date | None) -> tuple[Policy | None, list[Finding]]:
    document = _validated(source)
    policy = None if document is None else compile_policy(document, source, today)
    findings = sorted(set(source.findings))
    return (None if any(f.severity == "error" for f in findings) else policy), findings


def _validated(source: Source) -> PolicyDocument | None:
    if source.findings:
        return None
    try:
        return PolicyDocument.model_validate(source.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        for problem in found[:MOST_FINDINGS]:
            source.report(_keys(problem["loc"]), _reason(problem["type"], problem["msg"]))
        return None


def _keys(location: tuple[str | int, ...]) -> Keys:
    """pydantic marks a wrong key of a mapping with the step "[key]"; the key itself stands before it."""
    return tuple(step for step in location if step != "[key]")


def _reason(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    return message.removeprefix("Value error, ")
