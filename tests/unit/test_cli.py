"""The command line before it contacts anything: arguments, exit codes, addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import build, main
from deploy.commands import kpi
from deploy.commands.addresses import find, folder_option
from deploy.commands.api import http_client
from deploy.commands.doctor import surroundings
from deploy.commands.terminal import FINDING, USAGE, Failure, plain
from deploy.commands.up import check_authentication, checked_policy, complaint_curl, replica_counts
from deploy.local.errors import NotRunning
from deploy.local.folder import DataFolder
from deploy.local.identity import identity
from deploy.local.instance import Instance, write_instance

runner = CliRunner()


def test_every_command_of_the_public_interface_is_there() -> None:
    listed = runner.invoke(build(), ["--help"]).output
    for command in (
        "up",
        "down",
        "ps",
        "logs",
        "import",
        "demo",
        "status",
        "doctor",
        "topics",
        "kpi",
        "report",
        "policy",
        "token",
    ):
        assert f"  {command} " in listed


@pytest.mark.parametrize("arguments", [["up", "--port-base", "80"], ["ps", "--nope"], ["import"], ["nope"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert runner.invoke(build(), arguments).exit_code == 2


def test_a_foreseeable_error_is_one_sentence_and_a_remedy_never_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cqm", "ps", "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        f"error: nothing runs in {tmp_path}",
        f"  -> start it with `cqm up --data-dir {tmp_path}`",
    ]


@pytest.mark.parametrize("content", ["{", '{"pid": 1}', None], ids=["cut", "of another version", "no folder"])
def test_a_folder_that_cannot_be_read_is_one_sentence_that_names_the_file(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "file" if content is None else tmp_path
    if content is None:
        folder.write_text("")
    else:
        (folder / "instance.json").write_text(content)
    monkeypatch.setattr(sys, "argv", ["cqm", "ps", "--data-dir", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: {folder / 'instance.json'} ")


@pytest.mark.parametrize("address", ["mongo:/x", "mongodb://a:b@c@d/", "mongodb://localhost:99999"])
def test_an_address_that_is_none_is_one_sentence(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["erase", "C-1", "--yes", "--mongo", address, "--data-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["cqm", *command])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("error: the address of MongoDB is wrong: ")


@pytest.mark.parametrize("command", [["erase", "C-1", "--yes"], ["rebuild", "analytics", "--drop-old"]])
def test_the_option_that_is_missing_is_named_and_no_other(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CQM_MONGO", raising=False)
    monkeypatch.setattr(sys, "argv", ["cqm", *command, "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.splitlines() == [
        "error: no MongoDB is given, and nothing runs in the data folder",
        "  -> --mongo URI",
    ]


def test_help_loads_no_client_of_kafka_or_mongodb() -> None:
    program = "import sys, deploy.cli; print({'aiokafka', 'pymongo', 'motor', 'cel'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_replicas_are_read_by_service() -> None:
    assert replica_counts(["routing=2", "sla=1"]) == {"routing": 2, "sla": 1}


@pytest.mark.parametrize("text", ["routing", "routing=", "routing=0", "routing=33", "routing=two", "kafka=2"])
def test_replicas_that_make_no_sense_are_wrong_usage(text: str) -> None:
    with pytest.raises(Failure, match="SERVICE=N") as failed:
        replica_counts([text])
    assert failed.value.code == USAGE


@pytest.mark.parametrize("wanted", ["keys", "jwt"])
def test_authentication_that_would_not_be_there_is_wrong_usage(wanted: str) -> None:
    check_authentication({})
    check_authentication({"CQM_AUTH": "off"})
    with pytest.raises(Failure, match=f"CQM_AUTH={wanted} is set") as failed:
        check_authentication({"CQM_AUTH": wanted})
    assert failed.value.code == USAGE


def test_a_policy_is_given_on_as_an_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert checked_policy(Path("deploy/policy/demo")) == str(Path("deploy/policy/demo").absolute())
    assert checked_policy(None) is None


def test_a_policy_with_errors_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("departmnts: {}\n")
    with pytest.raises(Failure, match=r"wrong\.yaml:1: error"):
        checked_policy(tmp_path)


def test_the_complaint_to_paste_is_one_line() -> None:
    assert "\n" not in complaint_curl("http://127.0.0.1:8001")


def running(folder: Path, **urls: list[str]) -> Instance:
    """What `cqm up` leaves, with this process as the supervisor."""
    pid = os.getpid()
    instance = Instance(
        pid=pid,
        identity=identity(pid) or "",
        state="ready",
        started_at="2026-03-02T00:00:00Z",
        data_dir=str(folder),
        kafka="127.0.0.1:1",
        mongo="mongodb://127.0.0.1:2",
        urls=urls,
        processes=[],
    )
    write_instance(DataFolder(folder), instance)
    return instance


def test_addresses_come_from_the_running_instance(tmp_path: Path) -> None:
    running(tmp_path, routing=["http://127.0.0.1:3", "http://127.0.0.1:4"])
    found = find(tmp_path, {"CQM_URL": "http://elsewhere"})
    assert found.urls == {"routing": ("http://127.0.0.1:3", "http://127.0.0.1:4")}
    assert found.url("routing") == "http://127.0.0.1:3"
    assert (found.kafka, found.mongo) == ("127.0.0.1:1", "mongodb://127.0.0.1:2")
    with pytest.raises(Failure, match="no address of sla") as failed:
        found.url("sla")
    assert failed.value.remedy == "set CQM_URL_SLA"


def test_an_instance_that_starts_its_servers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first start downloads Kafka, so that there are neither addresses nor services for minutes."""
    starting = msgspec.structs.replace(running(tmp_path), state="starting", kafka="", mongo="")
    write_instance(DataFolder(tmp_path), starting)
    monkeypatch.delenv("CQM_KAFKA", raising=False)
    for command in (["kpi"], ["status"], ["verify"], ["topics"], ["dlt", "list"]):
        failed = runner.invoke(build(), [*command, "--data-dir", str(tmp_path)]).exception
        assert isinstance(failed, Failure) and failed.code == FINDING
        assert failed.message.startswith(f"the instance in {tmp_path} is starting, and has no ")
    around = surroundings(tmp_path, None, None, None)
    assert (around.kafka, around.mongo, around.running) == (None, None, False)


def test_addresses_of_the_environment_come_before_the_users_folder() -> None:
    found = find(None, {"CQM_URL": "https://cqm.example/", "CQM_URL_SLA": "http://sla.example"})
    assert found.url("intake") == "https://cqm.example"
    assert found.url("sla") == "http://sla.example"
    assert found.one_ingress


def test_four_addresses_are_no_single_ingress() -> None:
    environment = {
        f"CQM_URL_{name}": f"http://{name}.example" for name in ("INTAKE", "ROUTING", "SLA", "ANALYTICS")
    }
    assert not find(None, environment).one_ingress


@pytest.mark.parametrize("url", ["localhost:8001", "http://", "http://[::1", "http://h:99999", "http://h:x"])
def test_an_address_that_is_no_url_is_wrong_usage(url: str) -> None:
    with pytest.raises(Failure, match="http:// or https://"):
        find(None, {"CQM_URL": url})


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CQM_TOKEN", "schlüssel", "CQM_TOKEN is no API key"),
        ("CQM_TOKEN", "a\nb", "CQM_TOKEN is no API key"),
        ("ALL_PROXY", "socks5://127.0.0.1:1", "the proxy of the environment cannot be used"),
        ("ALL_PROXY", "proxy://x", "the proxy of the environment cannot be used"),
    ],
)
def test_a_token_or_a_proxy_that_cannot_be_used_is_named(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Failure, match=said) as failed:
        http_client("http://cqm.example.org")
    assert failed.value.code == USAGE


def test_without_an_instance_the_remedy_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match=str(tmp_path)):
        find(tmp_path, {})


def test_commands_to_paste_name_the_folder_only_where_it_is_not_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert folder_option(tmp_path / "cqm") == ""
    assert folder_option(tmp_path / "my data") == f" --data-dir '{tmp_path}/my data'"


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[31mb\x07\tc\n箱子\x9b") == "a\ufffd[31mb\ufffd\tc\n箱子\ufffd"


def test_a_policy_check_names_file_and_line_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("organisation: {}\nnope: 1\n")
    done = runner.invoke(build(), ["policy", "check", str(tmp_path)])
    assert done.exit_code == 1
    assert "p.yaml:2: error: nope: unknown key" in done.output


def test_the_demo_policy_has_no_errors() -> None:
    folder = Path(__file__).parents[2] / "deploy" / "policy" / "demo"
    assert runner.invoke(build(), ["policy", "check", str(folder)]).exit_code == 0


def test_kpi_asks_with_every_parameter_of_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    async def ask(name: str, parameters: dict[str, object], _: object) -> object:
        asked.update(parameters, name=name)
        return {"name": name}

    monkeypatch.setattr(kpi, "_ask", ask)
    given = {"clock": "wall", "target": "resolution", "scale": "1-5", "stat": "p90", "grain": "week"}
    options = [word for key, value in given.items() for word in (f"--{key}", value)]
    done = runner.invoke(build(), ["kpi", "ces", *options, "--json"])
    assert done.exit_code == 0, done.output
    assert asked == given | {"name": "ces"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--save", "it.csv"], "one figure"),
        (["nps", "--records"], "one figure"),
        (["nps", "--save", "it.xlsx"], "ends neither in .csv nor in .parquet"),
    ],
)
def test_kpi_saves_one_figure_in_a_form_that_it_knows(given: list[str], said: str) -> None:
    failure = runner.invoke(build(), ["kpi", *given]).exception
    assert isinstance(failure, Failure) and failure.code == USAGE and said in failure.message
