"""`cqm import` against an intake of the test's own making: what is away is waited for, none comes twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import build
from deploy.commands import import_client, import_job, importing
from deploy.commands.addresses import Addresses
from deploy.commands.import_client import ImportClient, Source
from deploy.commands.terminal import Failure

INTAKE = "http://intake"
RUNNING: dict[str, Any] = {
    "id": "J1", "state": "running", "mapping": "nyc311", "rows": 10, "accepted": 10, "rejected": 0,
    "percent": 50.0, "rate": 1000.0, "eta_seconds": 75, "waiting": None, "reason": None,
}  # fmt: skip
DONE = RUNNING | {"state": "done", "rows": 20, "accepted": 20, "percent": 100.0, "eta_seconds": None}
REJECTS = "\ufeffrejected_row,rejected_column,rejected_reason,id\r\n3,at,is not a time,7\r\n"
Answer = httpx.Response | BaseException


def events(*jobs: dict[str, Any]) -> httpx.Response:
    said = [f"event: x\ndata: {msgspec.json.encode(job).decode()}\n\n" for job in jobs]
    return httpx.Response(200, text=": ping\n\n" + "".join(said))


class Intake:
    """Answers from lists, one after the other; `sent` are the bodies that it was given."""

    def __init__(self, **answers: list[Answer]) -> None:
        self._answers: dict[str, Iterator[Answer]] = {name: iter(given) for name, given in answers.items()}
        self.asked: list[str] = []
        self.sent: list[bytes] = []
        self.parameters: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        tail = request.url.path.removeprefix("/v1/imports").rpartition("/")[2]
        name = {"": "find" if request.method == "GET" else "upload", "rejects.csv": "rejects"}.get(tail, tail)
        self.asked.append(name)
        if name == "upload":
            self.sent.append(request.read())
            self.parameters.append(dict(request.url.params))
        answer = next(self._answers[name])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_client, "pause", lambda attempt: 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "some.csv"
    made.write_text("id,words\n1,a\n")
    return made


def none_found() -> httpx.Response:
    return httpx.Response(200, json={"items": [], "next": None})


def taken() -> httpx.Response:
    return httpx.Response(202, json=RUNNING)


Cqm = Callable[..., Any]


@pytest.fixture
def cqm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Intake], Cqm]:
    def of(intake: Intake) -> Cqm:
        addresses = Addresses("there", {"intake": (INTAKE,)}, tmp_path)
        monkeypatch.setattr(importing, "find", lambda data_dir: addresses)
        monkeypatch.setattr(import_job, "http_client", lambda url: intake.client())
        return lambda *words: CliRunner().invoke(build(), ["import", *map(str, words)])

    return of


async def test_an_upload_is_sent_again_until_intake_has_answered(file: Path) -> None:
    intake = Intake(upload=[httpx.Response(503), httpx.ConnectError("refused"), taken()])
    told: list[str] = []
    async with intake.client() as http:
        client = ImportClient(http, INTAKE, told.append)
        job = await client.upload(Source(file, "nyc311", options={"quote": "none"}), lambda sent: None)
    assert job["id"] == "J1"
    assert told == ["intake answers 503", "intake does not answer (ConnectError)", ""]
    assert all(b"id,words\n1,a\n" in body for body in intake.sent) and len(intake.sent) == 3
    assert intake.parameters[-1] == {"mapping": "nyc311", "quote": "none"}


async def test_events_are_followed_across_broken_connections_to_the_end(file: Path) -> None:
    early = events(RUNNING)
    intake = Intake(events=[early, httpx.ReadError("gone"), httpx.Response(503), events(RUNNING, DONE)])
    async with intake.client() as http:
        seen = [job["state"] async for job in ImportClient(http, INTAKE, lambda why: None).follow("J1")]
    assert seen == ["running", "running", "done"]
    assert intake.asked == ["events"] * 4


async def test_patience_ends(file: Path) -> None:
    intake = Intake(upload=[httpx.Response(503)] * 3)
    async with intake.client() as http:
        with pytest.raises(Failure, match="nothing has moved for -1 s: intake answers 503"):
            await ImportClient(http, INTAKE, lambda why: None, patience=-1.0).upload(
                Source(file, "nyc311"), lambda sent: None
            )


def test_an_import_tells_its_summary(cqm: Callable[[Intake], Cqm], file: Path) -> None:
    intake = Intake(find=[none_found()], upload=[taken()], events=[events(RUNNING, DONE)])
    done = cqm(intake)(file, "--mapping", "nyc311")
    assert done.exit_code == 0, done.output
    assert intake.asked == ["find", "upload", "events"]


def test_the_same_command_attaches_to_the_unfinished_import(cqm: Callable[[Intake], Cqm], file: Path) -> None:
    other = RUNNING | {"id": "J0", "mapping": "another"}
    found = httpx.Response(200, json={"items": [other, RUNNING, RUNNING | {"id": "old", "state": "done"}]})
    intake = Intake(find=[found], events=[events(DONE)])
    done = cqm(intake)(file, "--mapping", "nyc311", "--json")
    assert done.exit_code == 0, done.output
    assert intake.asked == ["find", "events"]


def test_ones_own_mapping_goes_along_with_the_file(
    cqm: Callable[[Intake], Cqm], file: Path, tmp_path: Path
) -> None:
    mapping = tmp_path / "own.yaml"
    mapping.write_text("source: shop\n")
    intake = Intake(upload=[taken()], events=[events(DONE)])
    assert cqm(intake)(file, "--mapping", mapping).exit_code == 0
    assert b'name="mapping"' in intake.sent[0] and b"source: shop\n" in intake.sent[0]
    assert intake.sent[0].index(b"source: shop") < intake.sent[0].index(b"id,words")
    assert intake.parameters == [{}]


def test_rejected_rows_are_written_and_end_the_command_with_1(
    cqm: Callable[[Intake], Cqm], file: Path
) -> None:
    rejected = DONE | {"accepted": 19, "rejected": 1}
    intake = Intake(
        find=[none_found()], upload=[taken()], events=[events(rejected)],
        rejects=[httpx.Response(200, content=REJECTS.encode())],
    )  # fmt: skip
    done = cqm(intake)(file, "--mapping", "nyc311")
    assert done.exit_code == 1
    assert file.with_name("some.csv.rejects.csv").read_text(encoding="utf-8-sig") == REJECTS[1:].replace(
        "\r\n", "\n"
    )


def test_rejects_of_an_earlier_import_do_not_stay_beside_a_new_one(
    cqm: Callable[[Intake], Cqm], file: Path
) -> None:
    old = file.with_name("some.csv.rejects.csv")
    old.write_text("old")
    intake = Intake(find=[none_found()], upload=[taken()], events=[events(DONE)])
    assert cqm(intake)(file, "--mapping", "nyc311").exit_code == 0
    assert not old.exists()


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_an_import_that_did_not_come_to_its_end_is_an_error(
    cqm: Callable[[Intake], Cqm], file: Path, state: str
) -> None:
    ended = RUNNING | {"state": state, "reason": "the sheet cannot be read after row 11"}
    intake = Intake(find=[none_found()], upload=[taken()], events=[events(ended)])
    done = cqm(intake)(file, "--mapping", "nyc311")
    assert isinstance(done.exception, Failure)
    wanted = "after row 11" if state == "failed" else "cancelled after 10 rows; those stay taken"
    assert wanted in done.exception.message


def test_what_intake_refuses_is_told_in_its_words(cqm: Callable[[Intake], Cqm], file: Path) -> None:
    errors = [{"pointer": "/file", "message": "the file has no column at"}]
    refusal = httpx.Response(422, json={"detail": "The file cannot be imported.", "errors": errors})
    intake = Intake(find=[none_found()], upload=[refusal])
    done = cqm(intake)(file, "--mapping", "nyc311")
    assert isinstance(done.exception, Failure)
    assert "422: The file cannot be imported. /file the file has no column at" in done.exception.message
    assert done.exception.code == 2


def test_ctrl_c_leaves_the_import_to_intake(
    cqm: Callable[[Intake], Cqm], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(importing, "note", told.append)
    intake = Intake(find=[none_found()], upload=[taken()], events=[KeyboardInterrupt()])
    assert cqm(intake)(file, "--mapping", "nyc311").exit_code == 130
    assert told[0].startswith("the import goes on without this command")
    assert f"curl -X DELETE {INTAKE}/v1/imports/J1" in told[2]


def test_a_dry_run_shows_rows_and_keeps_nothing(cqm: Callable[[Intake], Cqm], file: Path) -> None:
    found = {
        "format": "csv", "encoding": "gb18030", "delimiter": ";", "quote": '"', "columns": ["id"],
        "unmapped": ["note"], "looked_at": 2, "rejects": [],
        "rows": [{"row": 2, "feedback": {"kind": "complaint", "customer": {"id": "C"}}}],
    }  # fmt: skip
    intake = Intake(upload=[httpx.Response(200, json=found)])
    done = cqm(intake)(file, "--mapping", "nyc311", "--dry-run")
    assert done.exit_code == 0, done.output
    assert intake.parameters == [{"mapping": "nyc311", "dry_run": "true"}]


def test_a_file_that_is_not_there_is_wrong_usage(cqm: Callable[[Intake], Cqm], tmp_path: Path) -> None:
    for words in ((tmp_path / "no.csv", "--mapping", "x"), (__file__, "--mapping", tmp_path / "no.yaml")):
        done = cqm(Intake())(*words)
        assert isinstance(done.exception, Failure)
        assert done.exception.code == 2


def test_the_hash_is_that_of_the_content(file: Path) -> None:
    assert import_job._sha256(file) == hashlib.sha256(file.read_bytes()).hexdigest()
