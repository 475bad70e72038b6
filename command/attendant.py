"""Keeps the live line true while a cell runs or is paused, and notices when it is stuck."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ..protocol.frontier import Pending
from .rendering import names_of
from .terminal import Screen, Style, duration, printable

if TYPE_CHECKING:
    from .. import AsyncCell, AsyncPausableCell, Status

_DRAW_SECONDS: Final = 0.1
_ASK_SECONDS: Final = 0.5
_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_NAMES_SHOWN: Final = 3
_WITHOUT_WORKER: Final = ("starting", "recovering")


class Attendant:
    """Watches one cell beside those who wait for its events; reads only."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._doing = "starting"
        self._since = time.monotonic()
        self._asking = False
        self._drawn = 0
        self._trouble = ""
        self._told: set[str] = set()

    def asking(self, event: Pending) -> None:
        """The user is being asked about this frontier."""
        self._turn(f"generation {event.generation} paused", asking=True)
        self._draw()

    def resumed(self, event: Pending) -> None:
        """The cell has left this frontier."""
        waits = f", waiting on {names_of(event.tool_calls)}" if event.tool_calls else ""
        self._turn(f"resumed generation {event.generation}{waits}", asking=False)

    async def until_stuck(self, cell: AsyncCell | AsyncPausableCell) -> None:
        """Draw, and ask now and then; returns when nothing can ever wake the cell."""
        asked = time.monotonic()
        while True:
            await asyncio.sleep(_DRAW_SECONDS if self._screen.is_lively else _ASK_SECONDS)
            if time.monotonic() - asked >= _ASK_SECONDS:
                status = await cell.status()
                asked = time.monotonic()
                if status.stuck:
                    return
                self._learn(status)
                self._tell_trouble(status)
            self._draw()

    def _learn(self, status: Status) -> None:
        if self._asking or status.kind == "pausable":
            return
        names = [printable(each.replace(":", "")) for each in status.waiting_on]
        if names:
            more = f" +{len(names) - _NAMES_SHOWN}" if len(names) > _NAMES_SHOWN else ""
            self._doing = f"waiting on {', '.join(names[:_NAMES_SHOWN])}{more}"
        elif status.next_timer is not None:
            self._doing = "waiting for a timer"
        else:
            self._doing = status.state

    def _tell_trouble(self, status: Status) -> None:
        """Say once why the cell gets no worker; not of what is over by the next look."""
        waits = status.pid is None and status.state in _WITHOUT_WORKER
        trouble = status.reason or "" if waits else ""
        if trouble and trouble == self._trouble and trouble not in self._told:
            self._told.add(trouble)
            self._screen.complain(
                f"tidemark: the cell waits: {printable(trouble)}; it is tried again and again, "
                "and Ctrl-C ends the cell"
            )
        self._trouble = trouble

    def _turn(self, doing: str, *, asking: bool) -> None:
        self._doing, self._asking = doing, asking
        self._since = time.monotonic()

    def _draw(self) -> None:
        age = time.monotonic() - self._since
        if self._asking:
            prompt = f"▸ {self._doing} for {duration(age)} · Enter resumes, q quits"
            self._screen.live(prompt, Style.CYAN)
        elif age > _ASK_SECONDS:
            self._drawn += 1
            sign = _SPINNER[self._drawn % len(_SPINNER)]
            self._screen.live(f"{sign} {self._doing} · {duration(age)}")
