"""What a supervisor is started with, and its life from there to its end."""

from __future__ import annotations

import argparse
import functools
import json
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ..protocol.errors import JournalError, TidemarkError
from ..protocol.version import VERSION
from .settings import HIBERNATE_SECONDS, Settings, spares_here
from .shell.state_directory import Held, StateDirectory
from .shell.zygote_start import (
    FIRST,
    LEVELS,
    ORPHAN_SECONDS,
    PRECEDENCE,
    USUAL,
    StartedZygote,
    start_zygote,
    zygote_socket,
)

# Without a width it is asked of `shutil`, which brings four compressors.
_OfTerminal = functools.partial(argparse.HelpFormatter, width=100)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tidemark.supervisor",
        description="a supervisor for one state directory, in the foreground",
        formatter_class=_OfTerminal,
    )
    parser.add_argument("--state", type=Path, required=True, help="the state directory")
    parser.add_argument("--durability", choices=("power", "crash"), default="power")
    parser.add_argument("--listen", default="", metavar="ipc://PATH", help="the hosts' endpoint")
    parser.add_argument("--private", action="store_true", help="end with the host")
    parser.add_argument("--host-pid", type=int, default=0, help="the host of a private supervisor")
    parser.add_argument(
        "--idle-seconds", type=float, default=600.0, help="end after so long without work; 0: never"
    )
    parser.add_argument(
        "--orphan-seconds",
        type=float,
        default=ORPHAN_SECONDS,
        help="how long workers wait for a successor",
    )
    parser.add_argument(
        "--isolation",
        choices=LEVELS,
        default="",
        help="the level of sessions that ask for none (default: the best that can be had)",
    )
    parser.add_argument(
        "--expect",
        choices=LEVELS,
        default="sealed",
        help="the level whose zygote is started at once (default: sealed)",
    )
    _add_what_cells_have(parser)
    parser.add_argument(
        "--precedence",
        metavar="{first,usual}",
        default=os.environ.get(PRECEDENCE) or FIRST,
        help="whether it takes the processors before others, where it may "
        f"(default: what {PRECEDENCE} says, or first)",
    )
    parser.add_argument("--ready-fd", type=int, default=-1, help="where to say that it is ready")
    return parser


def _add_what_cells_have(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spares",
        type=int,
        default=spares_here(),
        metavar="N",
        help="workers kept ready for further cells (default here: %(default)s)",
    )
    parser.add_argument(
        "--hibernate-seconds",
        type=float,
        default=HIBERNATE_SECONDS,
        help="a cell idle for so long gives up its worker, and is run again when something moves "
        "it; 0: never (default: %(default)s)",
    )
    parser.add_argument(
        "--preload", action="append", default=[], metavar="MODULE", help="imported once for all"
    )
    parser.add_argument(
        "--package-path", action="append", default=[], metavar="DIR", help="cells import from it"
    )


def _say(ready_fd: int, facts: dict[str, Any]) -> None:
    """One line of JSON to whoever started us, or to standard output."""
    line = json.dumps(facts) + "\n"
    if ready_fd >= 0:
        with suppress(BrokenPipeError):  # whoever started us has ended; serving notices that
            os.write(ready_fd, line.encode())
        os.close(ready_fd)
    else:
        print(line, end="", flush=True)


def serve(words: Sequence[str], zygote: StartedZygote | None) -> int:
    """Serve until the end. Exit status 1: it could not start, and said why.

    Args:
        zygote: that of this very command line, if it is on its way already.
    """
    with ExitStack() as unless_served:
        if zygote is not None:
            unless_served.callback(zygote.abandon)
        options = _parser().parse_args(words)
        if options.listen and not options.listen.startswith("ipc:///"):
            text = f"--listen {options.listen}: only ipc:///PATH is served (TCP needs CURVE keys)"
            return _fail(options.ready_fd, "protocol", text)
        if options.precedence not in (FIRST, USUAL):
            text = f"--precedence or {PRECEDENCE} is {options.precedence!r:.40}: first or usual"
            return _fail(options.ready_fd, TidemarkError.code, text)
        try:
            directory = StateDirectory(options.state)
            directory.work.mkdir(mode=0o700, exist_ok=True)
        except Held as error:
            return _fail(options.ready_fd, "held", str(error))
        except OSError as error:
            text = f"{options.state} cannot be used as a state directory: {error}"
            return _fail(options.ready_fd, TidemarkError.code, text)
        unless_served.pop_all()
    return _serve(_settings(options, directory.path), directory, zygote, options.ready_fd)


def _settings(options: argparse.Namespace, state: Path) -> Settings:
    return Settings(
        state=state,
        durability=options.durability,
        listen=options.listen,
        host_pid=options.host_pid if options.private else 0,
        idle_seconds=0 if options.private else options.idle_seconds,
        orphan_seconds=options.orphan_seconds,
        version=VERSION,
        isolation=options.isolation,
        first_level=options.isolation or options.expect,
        spares=max(0, options.spares),
        hibernate_seconds=max(0.0, options.hibernate_seconds),
        preload=tuple(options.preload),
        package_paths=tuple(os.path.abspath(path) for path in options.package_path),
        goes_first=options.precedence == FIRST,
    )


def _serve(
    settings: Settings, directory: StateDirectory, zygote: StartedZygote | None, ready_fd: int
) -> int:
    os.chdir("/")  # nobody's directory is kept from being removed, and no import depends on it
    level = settings.first_level
    path = zygote_socket(directory.run, level)
    if zygote is None and not _is_listening(path):
        arguments = settings.zygote_arguments(directory.path, directory.run)
        log, goes_first = sys.stderr.fileno(), settings.goes_first
        zygote = start_zygote(path, level, arguments, log, goes_first=goes_first)
    # Only now: while this is imported, the zygote imports what it needs on the other core.
    from .server import Server

    try:
        server = Server(settings, directory, zygote)
    except (JournalError, OSError) as error:
        _give_up(directory, zygote)
        code = getattr(error, "code", TidemarkError.code)
        return _fail(ready_fd, code, str(error))
    endpoint, epoch = server.endpoint, server.epoch
    _say(ready_fd, {"endpoint": endpoint, "pid": os.getpid(), "epoch": epoch})
    server.serve()
    return 0


def _is_listening(path: str) -> bool:
    """Whether a zygote of an earlier supervisor is there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _give_up(directory: StateDirectory, zygote: StartedZygote | None) -> None:
    if zygote is not None:
        zygote.abandon()
        Path(zygote_socket(directory.run, zygote.level)).unlink(missing_ok=True)
    directory.release()


def _fail(ready_fd: int, code: str, text: str) -> int:
    print(f"tidemark supervisor: {text}", file=sys.stderr)
    if ready_fd >= 0:
        _say(ready_fd, {"error": code, "message": text})
    return 1
