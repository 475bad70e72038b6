"""What is left to do when a zygote's work is over: for itself, or for the guardian around it."""

from __future__ import annotations

import os
import signal
from typing import Final

from . import real, scratch
from .charge import Charge
from .watches import Watches, Witness

HOST_GRACE_S: Final = 0.5  # how long a private supervisor may take to end after its host


class Aftermath:
    """Removes what nobody else will, once no worker lives any more."""

    def __init__(self, charge: Charge, supervisor: int | None, host: int | None) -> None:
        """Their pidfds; see `Witness`."""
        self._charge = charge
        self._watches = Watches()
        self._supervisor = Witness(supervisor, self._watches, lambda: None)
        self._host = Witness(host, self._watches, lambda: None)

    def attend(self, *, was_asked: bool) -> None:
        """`was_asked`: the zygote was told to end; then whoever did cleans up after us."""
        if os.path.exists(self._charge.socket_path):
            os.unlink(self._charge.socket_path)
        if was_asked:
            self._watches.turn(0)
            if not self._host.is_gone:
                return
        if self._charge.is_private and self._charge.directory is not None:
            self._clean_after_host(self._charge.directory)

    def _clean_after_host(self, directory: str) -> None:
        """If the host is gone, nobody is left to end a frozen supervisor and remove its files.

        Nor if the supervisor is killed while it ends: so what it would clean up is done here.
        """
        deadline = real.monotonic() + HOST_GRACE_S
        while not self._host.is_gone and (left_s := deadline - real.monotonic()) > 0:
            # Host and supervisor may have been killed together, in either order.
            self._watches.turn(left_s)
        if self._host.is_gone and not self._supervisor.is_gone and self._supervisor.pidfd:
            signal.pidfd_send_signal(self._supervisor.pidfd, signal.SIGKILL)
            while not self._supervisor.is_gone:  # until then it could still make files
                self._watches.turn(HOST_GRACE_S)
        if self._charge.run is not None and (self._host.is_gone or self._supervisor.is_gone):
            scratch.remove(self._charge.run)
        if self._host.is_gone:
            scratch.remove(directory)
