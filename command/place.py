"""Which supervisor the command line means."""

from __future__ import annotations

import argparse
import os
import shlex
import socket
from pathlib import Path
from typing import Final

from .failures import CommandError, UsageError

_SCHEME: Final = "ipc://"
_CONNECT_SECONDS_MAX: Final = 2.0


def place_of(options: argparse.Namespace) -> str:
    """What `connect` takes: a state directory or an endpoint.

    Raises:
        UsageError: no supervisor can be there.
        CommandError: nobody listens at the endpoint.
    """
    if options.endpoint is not None:
        return reachable(options.endpoint)
    state = str(options.state)
    try:
        os.path.abspath(state).encode()
    except UnicodeEncodeError:
        raise UsageError(f"--state {state!r}: its path is not UTF-8; name another one") from None
    return state


def place_again(options: argparse.Namespace) -> str:
    """The same place as arguments of the next command."""
    if options.endpoint is None:
        return f"--state {shlex.quote(options.state)}"
    return f"--endpoint {shlex.quote(options.endpoint)}"


def state_of(options: argparse.Namespace) -> str:
    """The state directory that is meant, for what reads the journal's file.

    Raises:
        UsageError: the endpoint is not in a state directory.
    """
    if options.endpoint is None:
        return str(options.state)
    socket_path = Path(options.endpoint.removeprefix(_SCHEME))
    state = socket_path.parent.parent
    if socket_path.parent.name != "run" or not (state / "journal.db").is_file():
        raise UsageError(
            f"--endpoint {options.endpoint} does not tell where the journal is; "
            "name its state directory with --state DIR"
        )
    return str(state)


def reachable(endpoint: str) -> str:
    """The endpoint, if somebody listens there: at a prompt nobody waits for one who may come.

    Raises:
        UsageError: not an endpoint that this release can use.
        CommandError: nobody listens.
    """
    if not endpoint.startswith(f"{_SCHEME}/"):
        raise UsageError(f"--endpoint {endpoint}: give ipc:///PATH (TCP comes later)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS_MAX)
        try:
            probe.connect(endpoint.removeprefix(_SCHEME))
        except OSError as error:
            raise CommandError(
                f"no supervisor listens at {endpoint} ({error.strerror or error}); start one with "
                "`tidemark serve --state DIR`, or name a directory with --state DIR"
            ) from error
    return endpoint
