"""A worker, as its zygote knows it."""

from __future__ import annotations

import os

from ..protocol.classes import dataclass
from .isolation.quarters import Berth


@dataclass(slots=True)
class Door:
    """Keeps a spare worker from its cell until its work directory has the cell's name.

    Attributes:
        descriptor: an eventfd that the worker inherits and reads; -1: nothing is in its way.
    """

    descriptor: int

    @classmethod
    def none(cls) -> Door:
        """Nothing is in the way."""
        return cls(-1)

    @classmethod
    def shut(cls) -> Door:
        """To be opened once. Raises OSError: no descriptor is left."""
        return cls(os.eventfd(0, os.EFD_CLOEXEC))

    @property
    def is_open(self) -> bool:
        return self.descriptor < 0

    def open(self) -> None:
        """Let the worker begin; it may be gone already."""
        if self.descriptor >= 0:
            os.eventfd_write(self.descriptor, 1)
            self.close()

    def close(self) -> None:
        """Let go of it; whoever waits goes on waiting."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@dataclass(slots=True)
class Child:
    """A worker that lives; the pidfd is ours.

    Attributes:
        pid: its number here.
        pid_outside: its number where the supervisor is.
        door: what a spare one waits for when it has its cell.
        place: of its token, in the vault of the zygote's roll.
    """

    place: int
    pid: int
    pid_outside: int
    pidfd: int
    berth: Berth
    door: Door
    is_killed: bool = False
