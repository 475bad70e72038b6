"""What the command lines of several subcommands have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from .argument_types import one_name
from .columns import columns

_PLACE_NOTE: Final = "which supervisor: give one of the two"

Subparsers = Any  # argparse's own type for them is private


def as_written(prog: str) -> argparse.HelpFormatter:
    """Formats help in its own lines; one is made for each argument, also when nobody wants help."""
    return argparse.RawDescriptionHelpFormatter(prog, width=columns() - 2)


def command(
    commands: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str,
    examples: str,
) -> argparse.ArgumentParser:
    """A new subcommand; `run` is called with what was understood."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=as_written,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.set_defaults(run=run)
    return parser


def add_place(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Which supervisor is meant; without `required`, one of the command's own."""
    place = parser.add_argument_group(_PLACE_NOTE if required else "where (default: private)")
    either = place.add_mutually_exclusive_group(required=required)
    either.add_argument("--state", metavar="DIR", help="the supervisor of this state directory")
    either.add_argument(
        "--endpoint", metavar="ipc:///PATH", help="the supervisor that listens here"
    )


def add_cell(parser: argparse.ArgumentParser) -> None:
    """Which cell is meant."""
    about = "the cell's id; `tidemark ps` lists them"
    parser.add_argument("cell", metavar="CELL", type=one_name, help=about)
