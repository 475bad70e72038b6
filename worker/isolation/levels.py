"""The levels, and what each promises."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Level(Enum):
    """How far a cell is kept from what is not its own."""

    PROCESS = "process"
    RESTRICTED = "restricted"
    SEALED = "sealed"


class Unsealed(Exception):
    """A step of the confinement was refused: nothing may run there.

    Attributes:
        step: what was to be done.
        reason: what the kernel said.
    """

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


class step:
    """Whatever the system refuses in here ends the confinement with this name."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise Unsealed(self._name, str(error)) from error


# What a level promises, in the order of a report.
OWN_PROCESS: Final = "own-process"
NOTHING_INHERITED: Final = "nothing-inherited"
LIMITS: Final = "limits"
NO_PRIVILEGES: Final = "no-privileges"
USABLE: Final = "usable"
FILES: Final = "no-files-of-others"
PROGRAMS: Final = "no-new-programs"
NETWORK: Final = "no-network"
HOST_SOCKETS: Final = "no-sockets-of-the-host"
OTHER_PROCESSES: Final = "no-other-processes"
SHARED_NAMES: Final = "no-shared-names"
DISK: Final = "bounded-disk"
OWN_ROOT: Final = "own-root"
MEMORY_SUM: Final = "bounded-sum-of-memory"

PROMISED: Final[dict[Level, tuple[str, ...]]] = {
    Level.PROCESS: (OWN_PROCESS, NOTHING_INHERITED, LIMITS),
    Level.RESTRICTED: (
        *(OWN_PROCESS, NOTHING_INHERITED, LIMITS, NO_PRIVILEGES, USABLE, FILES, PROGRAMS, NETWORK),
        *(HOST_SOCKETS, OTHER_PROCESSES, SHARED_NAMES),
    ),
    Level.SEALED: (
        *(OWN_PROCESS, NOTHING_INHERITED, LIMITS, NO_PRIVILEGES, USABLE, FILES, PROGRAMS, NETWORK),
        *(HOST_SOCKETS, OTHER_PROCESSES, SHARED_NAMES, DISK, OWN_ROOT),
    ),
}
