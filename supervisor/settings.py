"""How a supervisor is run. Light to import: it is needed before anything else is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..protocol.classes import dataclass
from .shell.zygote_start import private_arguments, zygote_arguments

HIBERNATE_SECONDS: Final = 300.0
SPARES_MAX: Final = 12  # some 4 MB each
SPARES_PER_CPU: Final = 6


def spares_here() -> int:
    """How many spare workers suit this machine."""
    return min(SPARES_MAX, SPARES_PER_CPU * len(os.sched_getaffinity(0)))


@dataclass(frozen=True)
class Settings:
    """How a supervisor is run.

    Attributes:
        host_pid: the host with which a private supervisor ends; 0: it is not private.
        idle_seconds: end after so long without unfinished cells and hosts; 0: never.
        orphan_seconds: how long the zygote waits for a successor.
        isolation: the level of sessions that ask for none; empty: the best that can be had.
        first_level: the level whose zygote is started at once; others when they are needed.
        spares: how many workers are kept ready that no cell has.
        hibernate_seconds: how long a cell is idle before it gives up its worker; 0: for ever.
        preload: modules that zygotes import once, for all their cells.
        package_paths: directories from which cells import too.
        goes_first: it takes the processors before others, where it may.
    """

    state: Path
    durability: str
    listen: str
    host_pid: int
    idle_seconds: float
    orphan_seconds: float
    version: str
    isolation: str = ""
    first_level: str = "sealed"
    spares: int = 0
    hibernate_seconds: float = 0.0
    preload: tuple[str, ...] = ()
    package_paths: tuple[str, ...] = ()
    goes_first: bool = True

    @property
    def private(self) -> bool:
        return self.host_pid > 0

    def zygote_arguments(self, directory: Path, run: Path) -> list[str]:
        """What the zygote of this supervisor is told on its command line."""
        arguments = zygote_arguments(
            work=str(directory / "work"),
            workers=str(run / "workers"),
            orphan_seconds=self.orphan_seconds,
            preload=self.preload,
            package_paths=self.package_paths,
        )
        if self.private:
            arguments += private_arguments(self.host_pid, str(directory))
            if not run.is_relative_to(directory):
                arguments += ["--run", str(run)]
        return arguments
