"""Starting a zygote, with the standard library alone: it is the first thing a supervisor does.

A zygote takes as long to start as the supervisor itself, so the two start side by side.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...protocol.classes import dataclass

LEVELS: Final = ("process", "restricted", "sealed")
_KEPT: Final = ("PATH", "LANG", "LANGUAGE", "TZ", "HOME", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_HASH_SEED: Final = 0  # one hash order for every cell of every zygote: replay depends on it


@dataclass(frozen=True)
class StartedZygote:
    """A zygote on its way. `ready` is a pipe that says `ready` once it listens; both are owned."""

    process: subprocess.Popen[bytes]
    ready: int
    level: str

    def abandon(self) -> None:
        """End it: its supervisor could not start."""
        self.process.kill()
        self.process.wait()
        os.close(self.ready)


def scrubbed_environment() -> dict[str, str]:
    """What workers may know of the supervisor's environment: where things are, and the language."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept.update({name: value for name, value in os.environ.items() if name.startswith("LC_")})
    # One BLAS thread: a zygote must stay single-threaded to fork. One arena: that of a second
    # thread takes 64 to 128 MiB of address space, at a moment of its own, and the limit of a cell's
    # memory is one of address space: it was larger or smaller by so much, as the moment fell.
    kept.update(OPENBLAS_NUM_THREADS="1", MALLOC_ARENA_MAX="1", PYTHONHASHSEED=str(_HASH_SEED))
    return kept


def zygote_socket(run: Path, level: str) -> Path:
    """Where the zygote of this level listens."""
    return run / f"zygote-{level}.sock"


def is_listening(socket_path: Path) -> bool:
    """Whether a zygote of an earlier supervisor is there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(socket_path))
        except OSError:
            return False
    return True


def start_zygote(socket_path: Path, level: str, extra: Sequence[str], log: int) -> StartedZygote:
    """Start a zygote of this level in a session of its own; its errors go to `log`."""
    ready, ready_write = os.pipe()
    arguments = ["--socket", str(socket_path), "--ready-fd", str(ready_write), *extra]
    arguments += ["--level", level]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidemark.worker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=scrubbed_environment(),
            pass_fds=(ready_write,),
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(ready_write)
    os.set_blocking(ready, False)
    return StartedZygote(process, ready, level)
