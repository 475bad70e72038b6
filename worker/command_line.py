"""What the zygote is started with, and its life from there to its end."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

from . import kernel, scratch
from .confinement import scrub_environment
from .rehearsal import rehearse
from .reproducible import Reproducible
from .zygote import Charge, Zygote


def serve(arguments: Sequence[str] | None, reproducible: Reproducible) -> int:
    """Be a zygote until nobody needs it; returns the exit status."""
    options = _parse(arguments)
    bell = _take_signals()
    kernel.set_process(kernel.PR_SET_CHILD_SUBREAPER, 1)
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))  # a pidfd for each worker
    scrub_environment()
    rehearse()
    try:
        listener = _listen(options.socket)
    except OSError as error:
        print(f"tidemark zygote: {options.socket}: {error}", file=sys.stderr)
        return 1
    work = options.work or scratch.make("/tmp", f"tidemark-work-{os.urandom(8).hex()}")
    charge = Charge(
        socket_path=options.socket,
        supervisor_pid=options.supervisor_pid,
        is_private=options.private,
        host_pid=options.host_pid,
        directory=options.directory,
        run=options.run,
        work=work,
        orphan_s=options.orphan_seconds,
    )
    zygote = Zygote(charge, listener, bell, reproducible)
    if options.ready_fd is not None:
        with contextlib.suppress(BrokenPipeError):  # a supervisor that has ended is noticed below
            os.write(options.ready_fd, b"ready\n")
        os.close(options.ready_fd)
    zygote.serve()
    if work != options.work:
        scratch.remove(work)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tidemark.worker", description="the zygote")
    parser.add_argument("--socket", required=True, help="where to listen for supervisors")
    parser.add_argument("--supervisor-pid", type=int, required=True)
    parser.add_argument("--private", action="store_true", help="end with the supervisor")
    parser.add_argument("--host-pid", type=int, help="the host of a private supervisor")
    parser.add_argument("--directory", help="removed at the end if the host is gone too")
    parser.add_argument("--run", help="of sockets, elsewhere; removed if the supervisor is gone")
    parser.add_argument("--work", help="an existing directory for the workers' own")
    parser.add_argument("--orphan-seconds", type=float, default=60.0)
    parser.add_argument("--ready-fd", type=int, help="gets a line when the socket is there")
    return parser.parse_args(arguments)


def _take_signals() -> socket.socket:
    """A socket that gets a byte for each SIGCHLD and SIGTERM; nothing else disturbs us."""
    if os.getsid(0) != os.getpid():
        with contextlib.suppress(PermissionError):  # a leader of a group; Ctrl-C is ignored below
            os.setsid()
    bell, clapper = socket.socketpair()
    bell.setblocking(False)
    clapper.setblocking(False)
    signal.set_wakeup_fd(clapper.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, _leave_to_the_bell)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
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
