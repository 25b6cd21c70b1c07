"""A command whose options are rows of the table: its parameters for click, and its `--help`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from supervisor.cli.options import CONCURRENCY, GROUPS, REF, Option, default_of
from supervisor.cli.values import ORIGINS, SWITCH

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TableCommand"]

_EPILOG: Final = (
    "Every option can also be given in the environment, by the name in brackets. A flag beats "
    "COGLET_…, which beats coglet's own name (the others in the brackets), which beats the "
    "default."
)
_UNITS: Final = (
    " Times are in seconds, or carry a unit: 500ms, 2s, 5m, 1h. Sizes are in bytes, or carry one: "
    "64KiB, 16MiB, 1GiB."
)


class TableCommand(click.Command):
    """A command that takes some options of the table, and writes their help group by group.

    Args:
        name: of the command.
        options: the rows.
        run: gets the texts of the options that were given, by their names; answers the exit code.
        description: what the command does, for its `--help`.
        summary: the same in a few words, for the list of commands.
    """

    def __init__(
        self,
        name: str,
        *,
        options: tuple[Option, ...],
        run: Callable[[dict[str, str]], int],
        description: str,
        summary: str,
    ) -> None:
        super().__init__(
            name,
            callback=lambda **given: run(_texts(given)),
            params=[_parameter(option) for option in options],
            help=description,
            short_help=summary,
            options_metavar="[OPTIONS]",
        )
        self._options = options

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections, in the place of click's one list."""
        for group, heading in GROUPS.items():
            rows = [
                (
                    f"{option.flag} {'' if option.is_argument else option.kind.metavar}".strip(),
                    _describe(option),
                )
                for option in self._options
                if option.group == group
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows, col_max=34)
        with formatter.section("Other"):
            formatter.write_dl([("--help", "Show this and exit.")])
        formatter.write_paragraph()
        has_units = any(option.group in ("limits", "times") for option in self._options)
        formatter.write_text(_EPILOG + (_UNITS if has_units else ""))


def _describe(option: Option) -> str:
    """What the option is, then its variables and its default, in brackets."""
    variables = ", ".join([option.variable, *(one.name for one in option.coglets)])
    if option in (REF, CONCURRENCY):
        return f"{option.help} [{variables}]"
    return f"{option.help} [{variables}; default: {option.kind.show(default_of(option))}]"


def _parameter(option: Option) -> click.Parameter:
    """Click's side of a row: every flag takes its text; the resolver gives it a meaning."""
    name = option.name.replace("-", "_")
    if option.is_argument:
        return click.Argument([name], required=False, metavar=f"[{option.flag}]")
    if option.kind is SWITCH:
        return click.Option([f"{option.flag}/--no-{option.name}", name], default=None)
    return click.Option([option.flag, name], multiple=option.kind is ORIGINS)


def _texts(given: dict[str, Any]) -> dict[str, str]:
    """What was given on the command line, as texts by the options' names."""
    return {
        name.replace("_", "-"): _text(value)
        for name, value in given.items()
        if value is not None and value != ()
    }


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
        case _:
            return str(value)
