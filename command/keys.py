"""The answers of a person, or of a file, to "resume?"."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import threading
import tty
from enum import Enum
from typing import Any, Final

_END_OF_TRANSMISSION: Final = b"\x04"  # Ctrl-D, as a terminal without line editing gives it
_ENTER: Final = (b"\n", b"\r")


class Answer(Enum):
    """What to do with a frontier."""

    RESUME = "resume"
    QUIT = "quit"
    END = "end"  # there are no more answers


class Answers:
    """Reads one answer at a time from a file descriptor: keys of a terminal, else lines.

    A thread reads, because asyncio cannot wait for regular files. It is a daemon: one that waits
    for a key when the command ends ends with it.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_terminal = os.isatty(fd)
        self._saved: list[Any] | None = None
        self._reading: asyncio.Future[Answer] | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether a person answers."""
        return self._is_terminal

    async def next(self) -> Answer:
        """The next answer. When this is cancelled, the answer is for the next caller."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_future()
            thread = threading.Thread(target=self._read, args=(self._reading,), daemon=True)
            self._single_keys()
            thread.start()
        try:
            answer = await asyncio.shield(self._reading)
        finally:
            self.restore()
        self._reading = None
        return answer

    def restore(self) -> None:
        """Give the terminal back as it was."""
        saved, self._saved = self._saved, None
        if saved is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._fd, termios.TCSANOW, saved)

    def _single_keys(self) -> None:
        if self._is_terminal:
            with contextlib.suppress(termios.error):
                self._saved = termios.tcgetattr(self._fd)
                # NOW: what was typed ahead is kept.
                tty.setcbreak(self._fd, termios.TCSANOW)

    def _read(self, future: asyncio.Future[Answer]) -> None:
        answer = self._next_key() if self._is_terminal else self._next_line()
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            future.get_loop().call_soon_threadsafe(_settle, future, answer)

    def _next_key(self) -> Answer:
        while True:
            key = self._byte()
            if key in _ENTER:
                return Answer.RESUME
            if key in (b"q", b"Q"):
                return Answer.QUIT
            if key in (b"", _END_OF_TRANSMISSION):
                return Answer.END

    def _next_line(self) -> Answer:
        while True:
            line = b""
            while not line.endswith(b"\n"):
                byte = self._byte()
                if not byte:
                    break
                line += byte
            word = line.strip().lower()
            if word in (b"q", b"quit"):
                return Answer.QUIT
            if not word:
                return Answer.RESUME if line else Answer.END

    def _byte(self) -> bytes:
        try:
            return os.read(self._fd, 1)
        except OSError:
            return b""  # the terminal has been closed


def _settle(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
