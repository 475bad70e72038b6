"""What wakes a thread that polls: a bell that others ring, and an alarm that time does."""

from __future__ import annotations

import os

from . import kernel


class Bell:
    """Wakes a thread that polls its file descriptor; ringing twice is ringing once."""

    def __init__(self) -> None:
        """Without a descriptor; see `open`."""
        self._fd = -1

    def open(self) -> None:
        """Take a descriptor. Raises OSError: none is left."""
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
        self._fd = -1

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._fd

    def ring(self) -> None:
        """Wake whoever polls, or will."""
        os.eventfd_write(self._fd, 1)

    def silence(self) -> None:
        """Forget that it rang."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return


class Alarm:
    """Rings once, a fixed time after it was set, if it was not called off before.

    Setting it and calling it off are one system call each, and wake nobody.
    """

    def __init__(self, after_ns: int) -> None:
        """Without a descriptor; see `open`."""
        self._timer = kernel.Timer(after_ns)

    def open(self) -> None:
        """Take a descriptor. Raises OSError: none is left."""
        self._timer.open()

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._timer.descriptor

    def set(self) -> None:
        """Ring when the time has passed, counted from now."""
        self._timer.start()

    def call_off(self) -> None:
        """Do not ring; what rang before is forgotten, too."""
        self._timer.stop()
