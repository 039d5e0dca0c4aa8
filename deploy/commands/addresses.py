"""Which services a command speaks to: a running instance, or what CQM_URL and CQM_URL_<SERVICE> name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.commands.terminal import USAGE, Failure
from deploy.local.folder import DataFolder, default_data_dir
from deploy.local.instance import Instance, running_instance

_ALL = "CQM_URL"


@dataclass(frozen=True)
class Addresses:
    """`urls` holds each service's replicas. `folder` keeps what a command remembers about this system.

    `kafka` and `mongo` are None where only HTTP addresses are known; `one_ingress` says that CQM_URL serves
    all services, so that none of them can be asked about itself.
    """

    name: str
    urls: Mapping[str, tuple[str, ...]]
    folder: Path
    kafka: str | None = None
    mongo: str | None = None
    one_ingress: bool = False

    def url(self, service: str) -> str:
        """The address to send a request for `service` to. Raises Failure when none is known."""
        if not self.urls.get(service):
            raise Failure(f"no address of {service} is known", f"set CQM_URL_{service.upper()}", USAGE)
        return self.urls[service][0]


def find(data_dir: Path | None, environment: Mapping[str, str] | None = None) -> Addresses:
    """By --data-dir, else by CQM_URL..., else the instance in the user's data folder. Raises NotRunning, and
    Failure while it starts its servers: services come later."""
    named = None if data_dir else _named(os.environ if environment is None else environment)
    if named:
        return named
    instance = running_instance(data_dir or default_data_dir())
    if not instance.urls:
        raise still_starting(instance, "services")
    return of_instance(instance)


def still_starting(instance: Instance, what: str) -> Failure:
    """Of an instance that runs, and of which a part is not there yet."""
    return Failure(
        f"the instance in {instance.data_dir} is {instance.state}, and has no {what} yet",
        "`cqm ps` shows what is there, `cqm logs supervisor` what it does",
    )


def of_instance(instance: Instance) -> Addresses:
    urls = {service: tuple(replicas) for service, replicas in instance.urls.items()}
    folder = DataFolder(instance.data_dir).root
    return Addresses(str(folder), urls, folder, instance.kafka, instance.mongo)


def folder_option(folder: Path | str) -> str:
    """What a command needs to find this folder again; nothing where it looks there anyway."""
    path = Path(folder)
    return "" if path == DataFolder(default_data_dir()).root else f" --data-dir {shlex.quote(str(path))}"


def _named(environment: Mapping[str, str]) -> Addresses | None:
    if not any(name.startswith(_ALL) for name in environment):
        return None
    from deploy.local.plan import SERVICES

    ingress = environment.get(_ALL, "")
    own = {service: environment.get(f"{_ALL}_{service.upper()}", "") for service in SERVICES}
    urls = {service: (_checked(own[service] or ingress),) for service in SERVICES if own[service] or ingress}
    if not urls:
        return None
    name = ingress or ", ".join(dict.fromkeys(url for (url,) in urls.values()))
    unasked = bool(ingress) and not all(own.values())
    return Addresses(name, urls, default_data_dir(), one_ingress=unasked)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # no port, or no address of IPv6
        sound = False
    if not sound:
        raise Failure(f"{_ALL} and {_ALL}_<SERVICE> hold http:// or https:// addresses", "", USAGE)
    return url.rstrip("/")
