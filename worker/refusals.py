"""Says why, where the filter of system calls could only say no."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any, Final, NoReturn

# What starts a process; the filter refuses whoever gets past these.
STARTING: Final = ("fork", "forkpty", "system", "posix_spawn", "posix_spawnp", "execv", "execve")
NO_SOCKET: Final = frozenset({errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EPERM})


def explain(level: str) -> None:
    """Have what a cell of this level may not do say so. In its zygote, for all its workers."""
    why = f"a cell at level {level} may start no processes; have a tool of the host do it"
    refuse = _refusing(PermissionError(errno.EPERM, why))
    for name in STARTING:
        setattr(os, name, refuse)
    vars(subprocess)["_fork_exec"] = refuse
    why = f"a cell at level {level} has no network; have a tool of the host do it"
    vars(socket)["getaddrinfo"] = _refusing(socket.gaierror(socket.EAI_FAIL, why))
    open_socket = _explaining(socket.socket.__init__, why)
    socket.socket.__init__ = open_socket  # type: ignore[method-assign]


def _refusing(error: OSError) -> Callable[..., NoReturn]:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        """Not in a cell."""
        raise type(error)(*error.args)

    return refuse


def _explaining(before: Callable[..., None], why: str) -> Callable[..., None]:
    def __init__(self: socket.socket, *arguments: Any, **named: Any) -> None:
        try:
            before(self, *arguments, **named)
        except OSError as error:
            if error.errno not in NO_SOCKET:
                raise
            raise type(error)(error.errno, f"{error.strerror}: {why}") from None

    return __init__
