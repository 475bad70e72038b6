"""What is known of a worker that has no cell yet."""

from __future__ import annotations

from ...protocol.classes import dataclass
from ...protocol.limits import Limits


@dataclass(frozen=True, slots=True)
class Kind:
    """What is decided when a worker is forked: where it lives, and what it may take."""

    level: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Spare:
    """A worker without a cell.

    Attributes:
        number: within the epoch; its token is derived from it.
        asked_ns: when the zygote was asked for it.
        pid: 0 until the zygote has told it.
        python: what it runs, from its Hello; empty before that.
    """

    kind: Kind
    number: int
    asked_ns: int
    pid: int = 0
    python: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it can be given a cell."""
        return self.pid > 0 and bool(self.python)

    def forked(self, pid: int) -> Spare:
        """The zygote has made it."""
        return Spare(self.kind, self.number, self.asked_ns, pid, self.python)

    def greeted(self, python: str) -> Spare:
        """It has said Hello."""
        return Spare(self.kind, self.number, self.asked_ns, self.pid, python)
