"""What the command writes to: a terminal with colours and a live line, or plain text in a pipe."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from enum import Enum
from typing import Final, TextIO

from .columns import columns
from .streams import told_as_ours

_NO_WIDTH: Final = 1_000_000
_CLEAR_LINE: Final = "\r\x1b[2K"
_ELLIPSIS: Final = "…"


class Style(Enum):
    """How a piece of text looks on a terminal."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"


class Screen:
    """Standard output and standard error, and a live line below them if both are a terminal.

    Colours follow the stream that is written to, and are off when NO_COLOR is set or TERM is
    "dumb". What is written is flushed, so a pipe sees it when it happens.
    """

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._live = ""
        self._at_line_start = True
        self.is_terminal = out.isatty()
        self.is_lively = self.is_terminal and err.isatty() and os.environ.get("TERM") != "dumb"

    def write(self, text: str) -> None:
        """Text on standard output, as it is."""
        if not text:
            return
        self.clear()
        with told_as_ours():
            self._out.write(text)
            self._out.flush()
        self._at_line_start = text.endswith("\n")

    def line(self, text: str = "") -> None:
        """A line of our own on standard output; begins on a new line."""
        self.write(("" if self._at_line_start else "\n") + text + "\n")

    def complain(self, text: str) -> None:
        """A line on standard error."""
        self._write_error(text + "\n")

    def live(self, text: str, style: Style = Style.DIM) -> None:
        """Show this as the last line until something else is written; nothing in a pipe."""
        if not self.is_lively or text == self._live or not self._at_line_start:
            return
        shown = cut(text, self.width - 1)
        self._err.write(_CLEAR_LINE + self.styled_error(shown, style))
        self._err.flush()
        self._live = text

    @contextmanager
    def shared(self) -> Iterator[None]:
        """While this lasts, what tools print makes room for itself above the live line."""
        if not self.is_lively:
            yield
            return
        with redirect_stdout(_Above(self.write)), redirect_stderr(_Above(self._write_error)):
            yield

    def _write_error(self, text: str) -> None:
        self.clear()
        self._err.write(text)
        self._err.flush()

    def clear(self) -> None:
        """Take the live line away."""
        if self._live:
            self._live = ""
            self._err.write(_CLEAR_LINE)
            self._err.flush()

    def styled(self, text: str, *styles: Style) -> str:
        """The text in these styles if standard output shows colours."""
        return _styled(self._out, text, styles)

    def styled_error(self, text: str, *styles: Style) -> str:
        """The text in these styles if standard error shows colours."""
        return _styled(self._err, text, styles)

    @property
    def width(self) -> int:
        """Columns of the terminal; without end in a pipe."""
        return columns() if self.is_terminal else _NO_WIDTH


class _Above(io.TextIOBase):
    """A text file that is written above the live line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def write(self, text: str) -> int:
        """Write it now, and take the live line away."""
        self._write(text)
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """It is, or there would be no live line."""
        return True


def standard_screen() -> Screen:
    """The screen of this process."""
    return Screen(sys.stdout, sys.stderr)


def _styled(stream: TextIO, text: str, styles: tuple[Style, ...]) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if not styles or plain or not stream.isatty():
        return text
    codes = ";".join(style.value for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m"


def cut(text: str, width: int) -> str:
    """The text in at most so many columns, with an ellipsis where it was cut."""
    if len(text) <= width:
        return text
    return text[: max(width - 1, 0)] + _ELLIPSIS if width > 0 else ""


def printable(text: str) -> str:
    """The text without characters that would move the cursor or change colours."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def duration(seconds: float) -> str:
    """Seconds as people say them: `0.4 s`, `12 s`, `3m20s`, `2h05m`, `4d`."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
    return f"{whole // 86_400}d"


def clock_time(at: float) -> str:
    """A moment of today in local time; with its date when it is another day."""
    then, today = time.localtime(at), time.localtime()
    same_day = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", then)


def size(count: int) -> str:
    """Bytes as people say them."""
    if count < 1_024:
        return f"{count} B"
    amount = count / 1_024
    for unit in ("KiB", "MiB"):
        if amount < 1_024:
            return f"{amount:.1f} {unit}"
        amount /= 1_024
    return f"{amount:.1f} GiB"


def counted(count: int, thing: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
