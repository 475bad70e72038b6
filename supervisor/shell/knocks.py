"""How often each process may connect."""

from __future__ import annotations

from typing import Final

# An honest worker connects once, and again when its supervisor is replaced; libzmq tries ten times
# a second or less while it is refused.
BURST: Final = 100
PER_SECOND: Final = 20.0
PROCESSES_MAX: Final = 1_024  # that are remembered


class Knocks:
    """A bucket of connections for each process, filled again as time passes."""

    def __init__(self) -> None:
        self._left: dict[int, tuple[float, float]] = {}

    def allows(self, pid: int, now: float) -> bool:
        """Count a connection of this process. False: it makes too many."""
        left, at = self._left.pop(pid, (float(BURST), now))
        left = min(float(BURST), left + (now - at) * PER_SECOND)
        allowed = left >= 1
        self._left[pid] = (left - 1 if allowed else left, now)  # now the newest of the dictionary
        if len(self._left) > PROCESSES_MAX:
            del self._left[next(iter(self._left))]
        return allowed
