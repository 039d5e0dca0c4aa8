"""`docker compose up` as platform teams type it: the whole system in containers, reached from outside.

Uses the official images where they are on this machine, else the stand-ins of deploy/docker/standins, and is
skipped with the reason where there are neither. The image of the services is built from this folder.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from ruamel.yaml import YAML
from testcontainers.compose import DockerCompose

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
STANDINS = "deploy/docker/standins/images.env"
SERVICES = ("intake", "routing", "sla", "analytics")
ONE_SHOTS = ("topics", "mongo-init")
PORTS = {"ingress": 8000, "intake": 8001, "routing": 8002, "sla": 8003, "analytics": 8004}


class Compose(DockerCompose):
    """Also by the stand-alone `docker-compose`, where the plugin is not installed."""

    @cached_property
    def compose_command_property(self) -> list[str]:
        files = [part for file in self.env_file or [] for part in ("--env-file", file)]
        return [*_compose_command(), *files]

    def run(self, *arguments: str) -> None:
        subprocess.run([*self.compose_command_property, *arguments], cwd=ROOT, check=True)


def _compose_command() -> list[str]:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


def _official_images() -> list[str]:
    """From ${NAME-image} in docker-compose.yml, but for the image that is built."""
    compose = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    written = [service["image"] for service in compose["services"].values()]
    written.append(compose["x-cqm"]["build"]["args"]["CQM_PYTHON_IMAGE"])
    images = {image.removeprefix("${").removesuffix("}").split("-", 1)[1] for image in written}
    return sorted(image for image in images if not image.startswith("cqm:"))


def _standins() -> list[str]:
    lines = (ROOT / STANDINS).read_text().splitlines()
    return [line.split("=", 1)[1] for line in lines if line and not line.startswith("#")]


def _missing(client: docker.DockerClient, images: list[str]) -> list[str]:
    missing = []
    for image in images:
        try:
            client.images.get(image)
        except ImageNotFound:
            missing.append(image)
    return missing


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    if not (shutil.which("docker") or shutil.which("docker-compose")):
        pytest.skip("neither docker nor docker-compose is installed")
    try:
        client = docker.from_env()
        client.ping()
    except DockerException:
        pytest.skip("no Docker daemon answers")
    yield client
    client.close()


@pytest.fixture(scope="module")
def env_files(client: docker.DockerClient) -> list[str]:
    missing = _missing(client, _official_images())
    if not missing:
        return []
    if not _missing(client, _standins()):
        return [STANDINS]
    pytest.skip(f"images are missing: {', '.join(missing)} (or build the stand-ins: {Path(STANDINS).parent})")


@pytest.fixture(scope="module")
def project() -> str:
    return f"cqmtest{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def system(client: docker.DockerClient, project: str, env_files: list[str]) -> Iterator[Compose]:
    """Up, with any free ports; its containers, volumes and image are gone afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COMPOSE_PROJECT_NAME", project)
        environment.setenv("CQM_IMAGE", f"cqm:{project}")
        for published in (*PORTS, "mongo", "prometheus"):
            environment.setenv(f"CQM_PUBLISH_{published.upper()}", "")
        environment.setenv("CQM_PUBLISH_KAFKA", str(_free_port()))
        # `up` returns when what others wait for is healthy, so nothing has to be waited for here.
        compose = Compose(ROOT, env_file=env_files, build=True, wait=False)
        try:
            _start(compose)
            yield compose
        finally:
            compose.run("down", "--volumes", "--timeout", "20")
            # The layers stay, so that the next run builds fast.
            client.images.remove(f"cqm:{project}", noprune=True)


def _start(compose: Compose) -> None:
    try:
        compose.start()
    except subprocess.CalledProcessError:
        print(compose.get_logs()[0][-20_000:])
        raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _containers(client: docker.DockerClient, project: str, service: str) -> list[Container]:
    labels = [f"com.docker.compose.project={project}", f"com.docker.compose.service={service}"]
    found: list[Container] = client.containers.list(all=True, filters={"label": labels})
    return found


def _url(client: docker.DockerClient, project: str, service: str, port: int) -> str:
    (container,) = _containers(client, project, service)
    (binding, *_) = container.ports[f"{port}/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    return f"http://127.0.0.1:{binding['HostPort']}"


async def _until(ask: Callable[[], Awaitable[Any]], what: str, seconds: float = 60.0) -> Any:
    """The first true answer of `ask`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.2)


async def test_every_container_is_healthy_and_every_preparation_has_ended_well(
    system: Compose, client: docker.DockerClient, project: str
) -> None:
    for service in (*SERVICES, "ingress", "kafka", "mongo", "prometheus"):
        (container,) = _containers(client, project, service)

        async def healthy(container: Container = container) -> bool:
            container.reload()
            return bool(container.attrs["State"]["Health"]["Status"] == "healthy")

        await _until(healthy, f"{service} is healthy")
    for service in ONE_SHOTS:
        (container,) = _containers(client, project, service)
        assert container.attrs["State"]["ExitCode"] == 0, container.logs().decode()


async def test_a_complaint_sent_to_the_one_address_becomes_a_case_with_an_owner(
    system: Compose, client: docker.DockerClient, project: str
) -> None:
    async with httpx.AsyncClient(base_url=_url(client, project, "ingress", 8000)) as http:
        feedback = {"kind": "complaint", "text": "快递箱子破了，杯子碎了", "customer": {"id": "C-9"}}
        answer = await http.post("/v1/feedback", json=feedback)
        assert answer.status_code == 202, answer.text
        feedback_id = answer.json()["id"]

        async def owned() -> list[dict[str, Any]]:
            answer = await http.get("/v1/cases", params={"feedback_id": feedback_id})
            return [case for case in answer.json()["items"] if case["owner"]]

        (case,) = await _until(owned, "the case has an owner")
        assert case["owner"]

        async def clock() -> bool:
            return (await http.get(f"/v1/clocks/{case['id']}")).status_code == 200

        await _until(clock, "its clock runs")


async def test_the_services_run_as_an_ordinary_user_on_a_root_file_system_they_cannot_write(
    system: Compose, client: docker.DockerClient, project: str
) -> None:
    for service in SERVICES:
        (container, *_) = _containers(client, project, service)
        assert container.exec_run(["id", "-u"]).output.strip() == b"10001"
        assert container.exec_run(["touch", "/opt/cqm/x"]).exit_code != 0
        assert container.exec_run(["touch", "/tmp/x"]).exit_code == 0


async def test_added_replicas_are_found_by_the_ingress_and_by_prometheus(
    system: Compose, client: docker.DockerClient, project: str
) -> None:
    system.run("up", "--detach", "--no-build", "--scale", "routing=3")
    prometheus = _url(client, project, "prometheus", 9090)
    async with httpx.AsyncClient() as http:

        async def three_are_up() -> bool:
            answer = await http.get(f"{prometheus}/api/v1/query", params={"query": 'sum(up{job="routing"})'})
            result = answer.json()["data"]["result"]
            return bool(result) and result[0]["value"][1] == "3"

        await _until(three_are_up, "Prometheus reads three replicas of routing")
        ingress = _url(client, project, "ingress", 8000)
        assert (await http.get(f"{ingress}/v1/cases")).status_code == 200
