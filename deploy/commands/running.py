"""`cqm down` and `cqm ps`: the processes of an instance."""

from __future__ import annotations

from typing import Any

import msgspec
import psutil
import typer

from deploy.commands.terminal import AsJson, DataDir, line, out, plain, run, table, write_json
from deploy.local.folder import default_data_dir
from deploy.local.instance import Instance, Process, running_instance

MIB = 2**20


def register(app: typer.Typer) -> None:
    @app.command()
    def down(data_dir: DataDir = None) -> None:
        """Drain and stop an instance; its data stay."""
        from deploy.local.daemon import stop_instance

        instance = run(stop_instance(data_dir or default_data_dir()))
        line(f"stopped; the data stay in {instance.data_dir}")

    @app.command()
    def ps(data_dir: DataDir = None, as_json: AsJson = False) -> None:
        """The processes of an instance."""
        instance = running_instance(data_dir or default_data_dir())
        processes = [_with_memory(process) for process in instance.processes]
        if as_json:
            write_json({**msgspec.to_builtins(instance), "processes": processes})
        else:
            _show(instance, processes)


def _with_memory(process: Process) -> dict[str, Any]:
    return {**msgspec.to_builtins(process), "resident_bytes": resident_bytes(process.pid)}


def resident_bytes(pid: int | None) -> int | None:
    """Memory that a process holds; None when it has ended."""
    if pid is None:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return None


def _show(instance: Instance, processes: list[dict[str, Any]]) -> None:
    shown = table(
        "process", "pid", "memory", "restarts", "since", "address", right=("pid", "memory", "restarts")
    )
    for process in processes:
        memory = process["resident_bytes"]
        shown.add_row(
            process["name"],
            str(process["pid"] or "-"),
            f"{memory / MIB:.0f} MiB" if memory is not None else "-",
            str(process["restarts"]),
            process["since"],
            plain(process["url"]),
        )
    out.print(shown)
    line(f"{instance.state} since {instance.started_at}, supervisor {instance.pid}")
    line(f"data in {instance.data_dir}")
