"""The commands: `serve` and `schema`, and what a bare call says."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import attrs
import click
import structlog

from supervisor.cli.interpreter import worker_interpreter
from supervisor.cli.options import OPTIONS
from supervisor.cli.resolve import UsageError, resolve
from supervisor.cli.schema import SCHEMA_OPTIONS, print_schema
from supervisor.cli.table_command import TableCommand
from supervisor.descriptors import raise_limit
from supervisor.version import PACKAGE, our_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.config import Config

__all__ = ["main"]


def main() -> int:
    """Run the command line; the exit code. Usage errors are one line on stderr and 2."""
    try:
        result = cli.main(prog_name=PACKAGE, standalone_mode=False)
    except click.ClickException as error:
        return _complain(error.format_message())
    except UsageError as error:
        return _complain(str(error))
    except (click.Abort, KeyboardInterrupt):
        return 130
    return result if isinstance(result, int) else 0


def _complain(text: str) -> int:
    line = " ".join(text.split())
    command = "".join(f" {name}" for name in sys.argv[1:2] if name in cli.commands)
    click.echo(f"{PACKAGE}: error: {line} (see {PACKAGE}{command} --help)", err=True)
    return 2


@click.group(invoke_without_command=True)
@click.version_option(our_version(), prog_name=PACKAGE)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Serve a Python model behind an HTTP prediction API, from a supervised worker process."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _serve(flags: Mapping[str, str]) -> int:
    resolved = resolve(flags, os.environ)
    config, notices = _with_descriptors(_with_interpreter(resolved.config))
    # What only a server needs is imported only now: `--help` and errors stay quick.
    import trio

    from supervisor.http.listening import ListenError
    from supervisor.http.tls import TlsError
    from supervisor.logging import configure_logging
    from supervisor.run import run_server

    configure_logging(config)
    log = structlog.get_logger("supervisor.cli")
    for notice in resolved.notices + notices:
        log.warning(notice)
    code = 0
    try:
        code = trio.run(run_server, config)
    except* ListenError as group:
        log.error(str(_first_of(group)))  # noqa: TRY400 - one line says it all
        code = 1
    except* TlsError as group:
        code = _complain(str(_first_of(group)))
    return code


def _first_of(error: BaseException) -> BaseException:
    """The first exception in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _with_interpreter(config: Config) -> Config:
    """The configuration with the worker's interpreter found and checked.

    Raises:
        UsageError: it is not there, or can't run the worker.
    """
    if config.python is None or config.worker_command is not None:
        return config
    return attrs.evolve(config, python=worker_interpreter(config.python))


def _with_descriptors(config: Config) -> tuple[Config, list[str]]:
    """Raise our limit of open descriptors; the configuration with the worker's, and notices.

    Raises:
        UsageError: it is too low for so many slots.
    """
    limit = raise_limit()
    slots = config.max_concurrency
    shortage = limit.shortage(slots)
    if shortage is not None:
        raise UsageError(shortage)
    notice = limit.notice(slots, config.limits.max_connections)
    config = attrs.evolve(config, worker_descriptors=limit.of_worker(slots))
    return config, [notice] if notice is not None else []


cli.add_command(
    TableCommand(
        "serve",
        options=OPTIONS,
        run=_serve,
        description=(
            "Serve the model REF. The port opens at once; the model is loaded behind it, and "
            "restarted when it dies."
        ),
        summary="Serve a model over HTTP.",
    )
)
cli.add_command(
    TableCommand(
        "schema",
        options=SCHEMA_OPTIONS,
        run=print_schema,
        description=(
            "Print the OpenAPI document of the model REF as JSON. The model is loaded but not set "
            "up; what it prints goes to stderr."
        ),
        summary="Print a model's OpenAPI document.",
    )
)
