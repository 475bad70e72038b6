"""What a zygote was started with."""

from __future__ import annotations

from ..protocol.classes import dataclass


@dataclass(frozen=True, slots=True)
class Charge:
    """Whom a zygote serves, and what it answers for.

    Attributes:
        is_private: end with the supervisor instead of waiting for the next.
        directory: removed at the end of a private zygote whose host is gone.
        run: where the sockets are when that is elsewhere; the host does not know it, so it is
            removed whenever the private supervisor did not get to it.
        orphan_s: how long workers live without a supervisor.
    """

    socket_path: str
    is_private: bool
    directory: str | None
    run: str | None
    orphan_s: float
