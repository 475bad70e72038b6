"""Waiting for a condition with a deadline: what tests do in place of sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.005


def until(condition: Callable[[], T], *, seconds: float = 10.0, what: str = "") -> T:
    """The first true value of the condition.

    Raises:
        AssertionError: it was not true within so many seconds.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition!r}")
        pause.wait(POLL_SECONDS)
