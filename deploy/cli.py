"""The `cqm` command (docs/cli.md): the list of its commands, and how an error ends one."""

from __future__ import annotations

import logging
import os
import sys

import typer

from deploy.commands import (
    demo,
    dlt,
    doctor,
    erase,
    form,
    importing,
    kpi,
    logs,
    policy,
    rebuild,
    report,
    running,
    sla,
    status,
    token,
    topics,
    up,
    verify,
)
from deploy.commands.terminal import FINDING, Failure, tell_error
from deploy.local.errors import LocalError
from shared.errors import CQMError

COMMANDS = (
    up, running, logs, demo, importing, status, kpi, report, sla, policy, verify, rebuild, form, token, erase,
    topics, dlt, doctor,
)  # fmt: skip


def build() -> typer.Typer:
    """The whole command line; nothing is contacted before a command runs."""
    app = typer.Typer(
        name="cqm",
        help="Customer feedback as an event stream: taken in, routed to an owner, kept to its deadlines, "
        "measured.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in COMMANDS:
        command.register(app)
    return app


def main() -> None:
    """Entry point. Exit codes: 0 well, 1 a finding, 2 wrong usage, 130 Ctrl-C."""
    logging.getLogger().addHandler(logging.NullHandler())  # clients' warnings are told as one sentence
    try:
        build()()
    except Failure as error:
        _leave(error.message, error.remedy, error.code)
    except LocalError as error:
        _leave(error.message, error.remedy)
    except CQMError as error:
        _leave(str(error))
    except BrokenPipeError:  # the reader of a pipe has seen enough: `cqm logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(message: str, remedy: str = "", code: int = FINDING) -> None:
    tell_error(message, remedy)
    sys.exit(code)


if __name__ == "__main__":
    main()
