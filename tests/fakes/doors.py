"""Tools whose calls wait until the test lets them go on."""

from __future__ import annotations

import threading
from collections import defaultdict

from fakes.waiting import until

DOOR_SECONDS_MAX = 30.0


class Doors:
    """`knock` is a tool: each call waits at a door until the test opens it.

    Attributes:
        knocked: the doors in the order in which calls arrived.
    """

    def __init__(self) -> None:
        self.knocked: list[str] = []
        self._opened: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    def knock(self, door: str) -> str:
        """Wait at a door."""
        self.knocked.append(door)
        if not self._opened[door].wait(DOOR_SECONDS_MAX):
            raise TimeoutError(f"nobody opened door {door}")
        return door

    def open(self, *doors: str) -> None:
        """Let the calls at these doors go on, those to come as well."""
        for door in doors:
            self._opened[door].set()

    def open_all(self) -> None:
        """Let every call go on that has come."""
        self.open(*self.knocked)

    def until_knocked(self, *doors: str) -> None:
        """Wait until a call is at each of these doors."""
        until(lambda: set(doors) <= set(self.knocked), what=f"calls at {doors}")
