"""`--help` of a command whose options are the table: groups, units, variables, defaults."""

from __future__ import annotations

from typing import Final

import click

from supervisor.cli.options import CONCURRENCY, GROUPS, OPTIONS, REF, Option, default_of

__all__ = ["TableCommand"]

_EPILOG: Final = (
    "Every option can also be given in the environment, by the name in brackets. A flag beats "
    "COGLET_…, which beats coglet's own name (the others in the brackets), which beats the "
    "default. Times are in seconds, or carry a unit: 500ms, 2s, 5m, 1h. Sizes are in bytes, or "
    "carry one: 64KiB, 16MiB, 1GiB."
)


def _describe(option: Option) -> str:
    """What the option is, then its variables and its default, in brackets."""
    variables = ", ".join([option.variable, *(one.name for one in option.coglets)])
    if option in (REF, CONCURRENCY):
        return f"{option.help} [{variables}]"
    return f"{option.help} [{variables}; default: {option.kind.show(default_of(option))}]"


class TableCommand(click.Command):
    """A command that writes its options from the table, group by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections, in the place of click's one list."""
        for group, heading in GROUPS.items():
            rows = [
                (
                    f"{option.flag} {'' if option.is_argument else option.kind.metavar}".strip(),
                    _describe(option),
                )
                for option in OPTIONS
                if option.group == group
            ]
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=34)
        with formatter.section("Other"):
            formatter.write_dl([("--help", "Show this and exit.")])
        formatter.write_paragraph()
        formatter.write_text(_EPILOG)
