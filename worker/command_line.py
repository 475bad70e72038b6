"""What the zygote is started with, and its life from there to its end."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import importlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from ..protocol.zygote_messages import Report
from . import haste, kernel, scratch
from .aftermath import Aftermath
from .charge import Charge
from .confinement import scrub_environment
from .guardian import EXIT_ALONE, EXIT_ASKED, House, guard, hold_ends, prepare
from .isolation import findings, namespaces
from .isolation.levels import Level, Unsealed
from .isolation.quarters import OpenQuarters, Quarters
from .layette import Layette
from .refusals import explain
from .rehearsal import rehearse, settle
from .reproducible import Reproducible
from .watches import look_at
from .zygote import Doors, Zygote

EXIT_WELL: Final = 0
EXIT_WRONG: Final = 1
HELP_COLUMNS: Final = 100


def serve(arguments: Sequence[str] | None, reproducible: Reproducible) -> int:
    """Be a zygote until nobody needs it; returns the exit status."""
    options = _parse(arguments)
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))  # a pidfd for each worker
    sys.path.extend(options.package_path)
    try:
        _preload(options.preload)
    except Exception as error:  # noqa: BLE001 - importing runs foreign code
        return _without_preload(error, options)
    scrub_environment()
    if options.examine is not None:
        return _examine(Level(options.examine), options)
    try:
        listener = _listen(options.socket)
    except OSError as error:
        print(f"tidemark zygote: {options.socket}: {error}", file=sys.stderr)
        return EXIT_WRONG
    start = _Start(options, listener, reproducible)
    return start.open() if Level(options.level) is Level.PROCESS else start.guarded()


class _Start:
    """A zygote on its way."""

    def __init__(
        self, options: argparse.Namespace, listener: socket.socket, reproducible: Reproducible
    ) -> None:
        self._options = options
        self._listener = listener
        self._reproducible = reproducible
        self._supervisor = look_at(options.supervisor_pid)
        self._host = look_at(options.host_pid if options.private else None)
        self._charge = Charge(
            socket_path=options.socket,
            is_private=options.private,
            directory=options.directory,
            run=options.run,
            orphan_s=options.orphan_seconds,
        )

    def open(self) -> int:
        """Level `process`: this process is the zygote."""
        kernel.set_process(kernel.PR_SET_CHILD_SUBREAPER, 1)
        haste.end_haste()  # workers begin in this session
        options = self._options
        work = options.work or scratch.make("/tmp", f"tidemark-work-{os.urandom(8).hex()}")
        quarters = OpenQuarters(work, namespaces.open_proc())
        rehearse(self._reproducible)
        self._settle()
        was_asked = self._serve(quarters, findings.of_open(), None)
        self._attend(was_asked)
        if work != options.work:
            scratch.remove(work)
        return EXIT_WELL

    def guarded(self) -> int:
        """Any other level: the zygote is a process in this one's care."""
        options = self._options
        rehearse(self._reproducible)  # here, and what it changes is copied for nobody
        _become_leader()
        hold_ends()
        try:
            house = _house(Level(options.level), options.workers, options)
        except Unsealed as error:
            self._refuse(findings.of_refusal(Level(options.level), error))
            return EXIT_WRONG
        except (OSError, ValueError) as error:
            print(f"tidemark zygote: {error}", file=sys.stderr)
            return EXIT_WRONG
        try:
            status = guard(house, self._settle, self._serve_inside, self._refuse)
        finally:
            house.remove()
        self._listener.close()
        if status in (EXIT_ASKED, EXIT_ALONE):
            self._attend(status == EXIT_ASKED)
            return EXIT_WELL
        return EXIT_WRONG

    def _attend(self, was_asked: bool) -> None:  # noqa: FBT001 - an answer handed on
        Aftermath(self._charge, self._supervisor, self._host).attend(was_asked=was_asked)

    def _serve_inside(self, quarters: Quarters, report: Report, line: socket.socket) -> int:
        return EXIT_ASKED if self._serve(quarters, report, line) else EXIT_ALONE

    def _settle(self) -> None:
        """Before there are signals: the end of a cell, and so of a rehearsal, takes them."""
        settle(self._reproducible)

    def _serve(self, quarters: Quarters, report: Report, line: socket.socket | None) -> bool:
        bell = _take_signals()
        guardian = None if line is None else line.fileno()
        doors = Doors(self._listener, bell, self._supervisor, self._host, guardian)
        # What was preloaded may have hooks of its own.
        fork = os.fork if self._options.preload else kernel.fork_bare
        if quarters.level is not Level.PROCESS:
            explain(quarters.level.value)
        layette = Layette()
        zygote = Zygote(self._charge, doors, quarters, report, self._reproducible, fork, layette)
        self._tell("ready")
        return zygote.serve()

    def _refuse(self, report: Report) -> None:
        text = findings.as_json(report)
        print(f"tidemark zygote: level refused: {text}", file=sys.stderr)
        self._tell(f"refused {text}")

    def _tell(self, word: str) -> None:
        ready = self._options.ready_fd
        if ready is not None:
            with contextlib.suppress(BrokenPipeError):  # a supervisor that has ended is noticed
                os.write(ready, f"{word}\n".encode())
            os.close(ready)


def _house(level: Level, workers: str | None, options: argparse.Namespace) -> House:
    if workers is None:
        raise ValueError("--workers is missing: the directory that holds only the workers' socket")
    paths = options.package_path
    return prepare(level, os.path.abspath(workers), options.work, paths, options.uid_range)


def _examine(level: Level, options: argparse.Namespace) -> int:
    """Print what this machine gives of a level; 0 if it is all that is needed."""

    def show(report: Report) -> None:
        print(findings.as_json(report), flush=True)

    def show_inside(quarters: Quarters, report: Report, line: socket.socket) -> int:
        show(report)
        return EXIT_WELL

    if level is Level.PROCESS:
        show(findings.of_open())
        return EXIT_WELL
    import tempfile  # with all that it needs, for this alone

    with tempfile.TemporaryDirectory(prefix="tidemark-test-", dir="/tmp") as workers:
        try:
            house = _house(level, workers, options)
        except Unsealed as error:
            show(findings.of_refusal(level, error))
            return EXIT_WRONG
        try:
            well = guard(house, lambda: None, show_inside, show) == EXIT_WELL
            return EXIT_WELL if well else EXIT_WRONG
        finally:
            house.remove()


def _without_preload(error: Exception, options: argparse.Namespace) -> int:
    """Say why there is no zygote: a module that all cells are to have cannot be had."""
    what = f"--preload: {type(error).__name__}: {error}"
    print(f"tidemark zygote: {what}", file=sys.stderr)
    if options.ready_fd is not None:
        level = Level(options.level)
        report = findings.of_failed_preload(level, what[:2_000])
        with contextlib.suppress(BrokenPipeError):
            os.write(options.ready_fd, f"refused {findings.as_json(report)}\n".encode())
    return EXIT_WRONG


def _preload(names: Sequence[str]) -> None:
    """Import once what every cell is to have.

    Raises:
        ImportError: it is not there, or cannot be in a process that forks.
    """
    for name in names:
        importlib.import_module(name)
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise ImportError(
                f"{name} starts threads when it is imported ({threads} now), and a zygote must "
                "have one to fork; leave it to the cells that need it"
            )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    # Without a width it is asked of `shutil`, which brings four compressors.
    of_terminal = functools.partial(argparse.HelpFormatter, width=HELP_COLUMNS)
    parser = argparse.ArgumentParser(
        prog="python -m tidemark.worker", description="the zygote", formatter_class=of_terminal
    )
    parser.add_argument("--socket", help="where to listen for supervisors")
    parser.add_argument("--supervisor-pid", type=int)
    parser.add_argument("--private", action="store_true", help="end with the supervisor")
    parser.add_argument("--host-pid", type=int, help="the host of a private supervisor")
    parser.add_argument("--directory", help="removed at the end if the host is gone too")
    parser.add_argument("--run", help="of sockets, elsewhere; removed if the supervisor is gone")
    parser.add_argument("--work", help="an existing directory for the workers' own")
    parser.add_argument("--orphan-seconds", type=float, default=60.0)
    parser.add_argument("--ready-fd", type=int, help="gets a line when the socket is there")
    levels = [level.value for level in Level]
    parser.add_argument("--level", choices=levels, default=Level.PROCESS.value)
    parser.add_argument("--examine", choices=levels, help="print what this machine gives, and end")
    parser.add_argument("--workers", help="the directory that holds only the workers' socket")
    parser.add_argument("--uid-range", default="", help="of cells, when root: FIRST-LAST")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE")
    parser.add_argument("--package-path", action="append", default=[], metavar="DIRECTORY")
    options = parser.parse_args(arguments)
    if options.examine is None and None in (options.socket, options.supervisor_pid):
        parser.error("--socket and --supervisor-pid are needed, or --examine")
    return options


def _become_leader() -> None:
    if os.getsid(0) != os.getpid():
        with contextlib.suppress(PermissionError):  # a leader of a group; Ctrl-C is ignored below
            os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _take_signals() -> socket.socket:
    """A socket that gets a byte for each SIGCHLD and SIGTERM; nothing else disturbs us."""
    _become_leader()
    bell, clapper = socket.socketpair()
    bell.setblocking(False)
    clapper.setblocking(False)
    signal.set_wakeup_fd(clapper.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, _leave_to_the_bell)
    return bell


def _leave_to_the_bell(number: int, frame: object) -> None:
    """Python needs a handler to write to the wakeup descriptor."""


def _listen(path: str) -> socket.socket:
    """A listening socket; one that a dead zygote has left behind is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or _is_answered(path):
            raise
        os.unlink(path)
        listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        return True
