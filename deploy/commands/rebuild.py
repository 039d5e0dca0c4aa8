"""`cqm rebuild analytics`: figures counted anew from the log, beside the live ones, then switched."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.commands.terminal import (
    FINDING,
    USAGE,
    DataDir,
    Failure,
    KafkaAddress,
    MongoUri,
    end,
    line,
    out,
    plain,
    run,
    table,
)


def register(app: typer.Typer) -> None:
    @app.command()
    def rebuild(
        what: Annotated[str, typer.Argument(help="analytics")],
        drop_old: Annotated[
            bool, typer.Option("--drop-old", help="Delete the generations that were live before.")
        ] = False,
        restart: Annotated[
            bool, typer.Option("--restart", help="Begin again, not where an interrupted rebuild stands.")
        ] = False,
        accept_loss: Annotated[
            bool, typer.Option("--accept-loss", help="Switch although the log no longer holds everything.")
        ] = False,
        accept_difference: Annotated[
            bool, typer.Option("--accept-difference", help="Switch although figures differ.")
        ] = False,
        kafka: KafkaAddress = None,
        mongo: MongoUri = None,
        data_dir: DataDir = None,
    ) -> None:
        """Count all figures anew from the log, compare them with those that are served, and switch.

        The live service goes on. Interrupted, the same command goes on where it was. The old figures are
        kept until `--drop-old`.
        """
        if what != "analytics":
            raise Failure("only analytics is rebuilt from the log", "cqm rebuild analytics", USAGE)
        from deploy.commands.rebuilding import Consent, drop, rebuilt

        if drop_old:
            dropped = run(drop(data_dir, kafka, mongo))
            line(
                f"deleted: {', '.join(f'generation {n}' for n in dropped)}" if dropped else "nothing is kept"
            )
            return
        found = run(rebuilt(data_dir, kafka, mongo, Consent(accept_loss, accept_difference), restart=restart))
        if found.differing:
            shown = table("KPI", "served", "rebuilt", right=("served", "rebuilt"))
            for name, served, again in found.differing:
                shown.add_row(name, plain(served), plain(again))
            out.print(shown)
        if not found.switched:
            line("the figures differ; nothing was switched, and what was built is kept", "red")
            line("  -> what is right is what the log says: `--accept-difference` switches to it")
            end(FINDING)
            return
        line(f"generation {found.number} is live: {found.compared}", "green")
        line("the figures of before are kept; `cqm rebuild analytics --drop-old` deletes them")
