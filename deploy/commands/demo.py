"""`cqm demo`: what CQM does, seen in a minute."""

from __future__ import annotations

import typer

from deploy.commands.addresses import find
from deploy.commands.terminal import DataDir, run


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(data_dir: DataDir = None) -> None:
        """Feed the shipped real data, show owners, escalations and figures; in under a minute."""
        from deploy.commands.demo_run import show

        run(show(find(data_dir)))
