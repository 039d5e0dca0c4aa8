"""instance.json: what runs in a data folder, for the commands that act on it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from deploy.local.errors import NotRunning, Unreadable
from deploy.local.folder import DataFolder, write_atomically
from deploy.local.identity import is_alive

State = Literal["starting", "ready", "stopping"]


class Process(msgspec.Struct, frozen=True):
    """One child process; `since` is RFC 3339 in UTC, `restarts` counts since the instance was started."""

    name: str
    pid: int | None
    url: str
    log: str
    since: str
    restarts: int


class Instance(msgspec.Struct, frozen=True):
    """`pid` and `identity` (identity.py) are the supervisor's; `urls` lists each service's replicas."""

    pid: int
    identity: str
    state: State
    started_at: str
    data_dir: str
    kafka: str
    mongo: str
    urls: dict[str, list[str]]
    processes: list[Process]

    def url(self, service: str) -> str:
        return self.urls[service][0]


def write_instance(folder: DataFolder, instance: Instance) -> None:
    write_atomically(folder.instance_file, msgspec.json.format(msgspec.json.encode(instance), indent=2))


def remove_instance(folder: DataFolder) -> None:
    folder.instance_file.unlink(missing_ok=True)


def read_instance(data_dir: Path | str) -> Instance | None:
    """The instance that runs in this folder now; None when there is none, or the trace of a killed one.

    Raises Unreadable for what is no data folder of this version.
    """
    file = DataFolder(data_dir).instance_file
    try:
        instance = msgspec.json.decode(file.read_bytes(), type=Instance)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(
            f"{file} cannot be read: {error.strerror}", "name the folder with --data-dir"
        ) from error
    except msgspec.DecodeError as error:
        remedy = "stop the instance by the version that started it, or, where nothing runs, remove the file"
        raise Unreadable(f"{file} is not what `cqm up` of this version writes", remedy) from error
    return instance if is_alive(instance.pid, instance.identity) else None


def running_instance(data_dir: Path | str) -> Instance:
    """read_instance for callers that need one. Raises NotRunning."""
    instance = read_instance(data_dir)
    if instance is None:
        root = DataFolder(data_dir).root
        raise NotRunning(f"nothing runs in {root}", f"start it with `cqm up --data-dir {root}`")
    return instance
