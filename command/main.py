"""The `tidemark` command: what it understands, and whom it asks.

What a subcommand needs is imported when it is called: `--help` must not wait for sockets, and a
run must not wait for what only lists need.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from .. import __version__
from .argument_types import generation_number, given_input, one_name, row_limit
from .failures import BY_SIGNAL, FAILED, READER_GONE, WRONG_USAGE, CommandError, UsageError
from .parsers import Subparsers, add_cell, add_place, as_written, command

_SIGINT: Final = 2
_LEVELS: Final = ("process", "restricted", "sealed")
_STATES: Final = (
    *("starting", "running", "paused", "continuing", "recovering", "idle"),
    *("completed", "terminated", "unfinished"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, 1 for failures, 2 for wrong usage, 130 for Ctrl-C."""
    from ..protocol.errors import TidemarkError
    from .streams import OutputError, give_up, prepare, use_utf8

    prepare()
    try:
        words = sys.argv[1:] if arguments is None else arguments
        options = _parser(words).parse_args(words)
        if options.json:
            use_utf8()
        status: int = options.run(options)
        sys.stdout.flush()
    except OutputError as error:
        give_up()
        return _fail(str(error), error.status)
    except CommandError as error:
        return _fail(str(error), error.status)
    except TidemarkError as error:
        return _fail(str(error), FAILED)
    except BrokenPipeError:
        give_up()  # the reader has gone, as `head` does
        return READER_GONE
    except OSError as error:
        return _fail(str(error), FAILED)
    except KeyboardInterrupt:
        return BY_SIGNAL + _SIGINT
    return status


def _fail(text: str, status: int) -> int:
    print(f"tidemark: {text}", file=sys.stderr)
    if status == WRONG_USAGE:
        print("tidemark: see `tidemark --help`", file=sys.stderr)
    return status


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tidemark",
        description="A durable runtime for cells of Python.",
        epilog="examples:\n"
        "  tidemark run hello.py\n"
        "  tidemark run work.py --tools tools.py --step\n"
        "  tidemark serve --state ~/tides &\n"
        "  tidemark ps --state ~/tides\n"
        "  tidemark COMMAND --help      for more about each",
        formatter_class=as_written,
    )
    parser.add_argument("--version", action="version", version=f"tidemark {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    if words[:1] == ["run"]:
        return (
            parser  # what the others understand takes 4 ms, and somebody waits for the first line
        )
    _add_serve(commands)
    _add_ps(commands)
    _add_about_one_cell(commands)
    _add_check(commands)
    _add_export(commands)
    _add_doctor(commands)
    return parser


# -- run ------------------------------------------------------------------------------------------


def _add_run(commands: Subparsers) -> None:
    parser = command(
        commands,
        "run",
        _run,
        "run a file as a cell and print its output as it comes",
        "  tidemark run hello.py\n"
        "  tidemark run work.py --tools tools.py --input 'word=\"tide\"' --input limit=10\n"
        "  tidemark run work.py --tools tools.py --pausable       show each frontier\n"
        "  tidemark run work.py --tools tools.py --step           ask before each resume\n"
        "  echo 'print(6 * 7)' | tidemark run -\n\n"
        "exit status: 0, 1 when the cell failed (traceback on standard error), 2 for wrong usage,\n"
        "130 after Ctrl-C (once ends the cell and cleans up, twice ends at once)",
    )
    parser.add_argument("file", metavar="FILE", help="the cell's source; - is standard input")
    parser.add_argument(
        "--tools",
        metavar="MODULE.py",
        type=Path,
        help="its public functions (or its list TOOLS) are the cell's tools",
    )
    parser.add_argument(
        "--input",
        metavar="NAME=JSON",
        action="append",
        default=[],
        type=given_input,
        help="a value that the cell's code sees under this name; may be repeated",
    )
    parser.add_argument("--pausable", action="store_true", help="stop at, and show, each frontier")
    parser.add_argument(
        "--step", action="store_true", help="ask before each resume (implies --pausable)"
    )
    parser.add_argument("--isolation", metavar="LEVEL", choices=_LEVELS, help=", ".join(_LEVELS))
    parser.add_argument(
        "--session", metavar="NAME", help="the session to use or make (with --state or --endpoint)"
    )
    add_place(parser, required=False)


def _run(options: argparse.Namespace) -> int:
    if options.state is None and options.endpoint is None:
        if options.session is not None:
            text = "--session needs --state DIR or --endpoint: a private session has no name"
            raise UsageError(text)
        if options.file == "-" or os.access(options.file, os.R_OK):
            # The supervisor starts while the rest of this program is imported.
            from ..client._places import begin_ahead

            begin_ahead(options.isolation)
    from .run import Format, Pace, RunOptions, run

    pace = Pace.EVERY_FRONTIER if options.pausable else Pace.BY_ITSELF
    return run(
        RunOptions(
            file=options.file,
            tools=options.tools,
            inputs=dict(options.input),
            pace=Pace.ASKING if options.step else pace,
            format=Format.JSON if options.json else Format.TEXT,
            isolation=options.isolation,
            state=options.state,
            endpoint=options.endpoint,
            session=options.session,
        )
    )


# -- serve ----------------------------------------------------------------------------------------


def _add_serve(commands: Subparsers) -> None:
    parser = command(
        commands,
        "serve",
        _serve,
        "run a supervisor in the foreground",
        "  tidemark serve --state ~/tides\n"
        "  tidemark serve --state ~/tides --listen ipc:///run/user/1000/tides.sock\n"
        "  tidemark serve --state ~/tides --preload numpy --package-path ~/project\n\n"
        "When it is ready it prints one line of JSON with its endpoint. SIGTERM drains: nothing\n"
        "new is created, and live workers are left to a successor for 60 s.",
    )
    parser.add_argument("--state", metavar="DIR", required=True, help="the state directory")
    parser.add_argument("--listen", metavar="ipc:///PATH", help="where hosts reach it")
    parser.add_argument(
        "--durability",
        choices=("power", "crash"),
        default="power",
        help="what a commit survives: a power cut (default), or the death of processes only",
    )
    parser.add_argument(
        "--isolation",
        metavar="LEVEL",
        choices=_LEVELS,
        help="of sessions that ask for none (default: sealed, else restricted)",
    )
    parser.add_argument(
        "--preload",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this once, for all cells; may be repeated",
    )
    parser.add_argument(
        "--package-path",
        metavar="DIR",
        action="append",
        default=[],
        help="let cells import from here too, and read it; may be repeated",
    )


def _serve(options: argparse.Namespace) -> NoReturn:
    from .becoming import serve

    serve(options)


# -- the others -----------------------------------------------------------------------------------


def _add_ps(commands: Subparsers) -> None:
    parser = command(
        commands,
        "ps",
        _ps,
        "list cells, newest first",
        "  tidemark ps --state ~/tides\n"
        "  tidemark ps --state ~/tides --only paused --session nightly\n"
        "  tidemark ps --state ~/tides --all --json | jq .id",
    )
    parser.add_argument(
        "--only",
        metavar="STATE",
        choices=_STATES,
        help=f"{', '.join(_STATES[:-1])}, or {_STATES[-1]}",
    )
    about = "cells of this session"
    parser.add_argument("--session", metavar="NAME", type=one_name, help=about)
    parser.add_argument(
        "--limit", metavar="N", type=row_limit, default=50, help="rows to show (default 50); 0: all"
    )
    parser.add_argument(
        "--all", dest="limit", action="store_const", const=0, help="the same as --limit 0"
    )
    add_place(parser, required=True)


def _ps(options: argparse.Namespace) -> int:
    from .listing import list_cells

    return list_cells(options)


_ABOUT_ONE_CELL: Final = {
    "show": (
        "show one cell: its state, its frontier, its calls",
        "  tidemark show CELL --state DIR",
    ),
    "history": ("print a cell's records, oldest first", "  tidemark history CELL --state DIR"),
    "watch": (
        "follow a cell's events to its end, without consuming any",
        "  tidemark watch CELL --state DIR\n  tidemark watch CELL --state DIR --json | jq .",
    ),
    "resume": ("resume a paused cell's generation", "  tidemark resume CELL 3 --state DIR"),
    "hibernate": (
        "let an idle cell give up its worker until something moves it",
        "  tidemark hibernate CELL --state DIR\n\n"
        "exit status: 1 if the cell keeps its worker, with the reason",
    ),
    "terminate": ("end a cell", "  tidemark terminate CELL --state DIR"),
}


def _add_about_one_cell(commands: Subparsers) -> None:
    for name, (about, examples) in _ABOUT_ONE_CELL.items():
        parser = command(commands, name, _about_one_cell, about, examples)
        parser.set_defaults(verb=name)
        add_cell(parser)
        if name == "resume":
            parser.add_argument(
                "generation", metavar="GENERATION", type=generation_number, help="of its frontier"
            )
            parser.add_argument(
                "--timeout",
                metavar="SECONDS",
                type=float,
                default=30.0,
                help="how long to wait for the worker's confirmation (default 30)",
            )
        add_place(parser, required=True)


def _about_one_cell(options: argparse.Namespace) -> int:
    from .one_cell import about_one_cell

    return about_one_cell(options)


# -- the journal ----------------------------------------------------------------------------------


def _add_check(commands: Subparsers) -> None:
    parser = command(
        commands,
        "check",
        _check,
        "verify the journal of a state directory",
        "  tidemark check --state ~/tides\n"
        "  tidemark check --state ~/tides --json | jq .\n\n"
        "It reads everything, changes nothing, and may be used while a supervisor works: SQLite's\n"
        "own check, the chain of digests of every cell and session, contents against the digests\n"
        "in their records, and every other table against what the records amount to.\n\n"
        "What it cannot notice: a journal that was put back to an earlier state, or whose end was\n"
        "cut off, is sound in itself, and so is one from which a whole cell was removed. Workers\n"
        "and hosts that were told more do notice; so do you if you note the last record's number,\n"
        "which is printed, and compare.\n\n"
        "exit status: 0 when it is sound, 1 when it is not (each finding is a line)",
    )
    parser.add_argument("--state", metavar="DIR", required=True, help="the state directory")


def _check(options: argparse.Namespace) -> NoReturn:
    from .becoming import check

    check(options)


def _add_export(commands: Subparsers) -> None:
    parser = command(
        commands,
        "export",
        _export,
        "write one cell's history from the journal as JSON lines",
        "  tidemark export CELL --state ~/tides > cell.jsonl\n"
        "  tidemark export CELL --state ~/tides | jq -r .kind\n\n"
        "One object for each record, oldest first, with the contents beside it: output,\n"
        "arguments, inputs and written values. Bytes that are no text are base64. No supervisor\n"
        "is needed, and none is disturbed. `removed` stands for contents that are not kept:\n"
        "acknowledged output beyond 1 MiB, and written values once the cell has ended.",
    )
    add_cell(parser)
    add_place(parser, required=True)


def _export(options: argparse.Namespace) -> NoReturn:
    from .becoming import export

    export(options)


def _add_doctor(commands: Subparsers) -> None:
    parser = command(
        commands,
        "doctor",
        _doctor,
        "say what this machine can isolate and how durable its disk is",
        "  tidemark doctor\n  tidemark doctor --state ~/tides --json\n\n"
        "Each level of isolation is made ready as for cells, and a first cell tries to break out\n"
        "of it; each property that the level promises is shown with the mechanism, how it was\n"
        "tried, and how to get it where it is missing. Nothing is changed.\n\n"
        "exit status: 1 if isolation level `restricted` cannot be had",
    )
    parser.add_argument(
        "--state", metavar="DIR", help="the directory whose disk is measured (default: temporary)"
    )


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import examine

    return examine(options)
