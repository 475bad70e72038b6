"""Why a worker could not be confined: said through one pipe of the zygote, before it has a link."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

READ_BYTES: Final = 65_536


class Confessions:
    """What workers have said with `Ties.confess`.

    Attributes:
        told: where they write; whoever is forked has it too.
    """

    def __init__(self) -> None:
        self._heard, self.told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._reasons: dict[bytes, str] = {}

    def take(self, token: bytes) -> str:
        """What this worker has said, once."""
        with suppress(BlockingIOError):
            for line in os.read(self._heard, READ_BYTES).decode().splitlines():
                who, _, reason = line.partition(" ")
                self._reasons[bytes.fromhex(who)] = reason
        return self._reasons.pop(token, "it could not say why")

    def forget(self) -> None:
        """Of a forked child: what others have said is none of its business."""
        self._reasons = {}
