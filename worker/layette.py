"""What a zygote has made ready for every worker: the objects of its link and its loop,
and those of its rehearsal.

Objects alone, without a descriptor or a thread. To make them a worker would have to touch a tenth
of the memory that it shares with its zygote, and each page that is touched is copied.
"""

from __future__ import annotations

import asyncio

from .dress_rehearsal import Stage
from .gate import CellLoop
from .link import Link


class Layette:
    """For one worker; each gets its own by being forked."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.link = Link()
        self.loop = CellLoop(self.link)
        asyncio.set_event_loop(self.loop)
