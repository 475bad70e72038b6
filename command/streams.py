"""The standard files of the command, whatever it was started with."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from .failures import CommandError


class OutputError(CommandError):
    """What the command says cannot be written; nobody reads the rest."""


def prepare() -> None:
    """Open what was closed, and let every text be written: what the encoding lacks is escaped."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. Left free, a socket of ours would get it.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def use_utf8() -> None:
    """JSON is UTF-8, whatever the locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


@contextmanager
def kept_for_us() -> Iterator[TextIO]:
    """Standard output for us alone: what others write to it, processes too, goes to standard error.

    `sys.stdout` is theirs meanwhile.
    """
    theirs = sys.stdout
    theirs.flush()
    number = theirs.fileno()
    ours = os.fdopen(os.dup(number), "w", encoding=theirs.encoding, errors=theirs.errors)
    os.dup2(sys.stderr.fileno(), number)
    try:
        yield ours
    finally:
        with suppress(OSError):  # what was written has been flushed, or failed and was told
            theirs.flush()
        os.dup2(ours.fileno(), number)
        with suppress(OSError):
            ours.close()


@contextmanager
def told_as_ours() -> Iterator[None]:
    """A write that fails becomes an `OutputError`, but for a reader that has gone.

    Raises:
        BrokenPipeError: the reader has gone.
        OutputError: the disk is full, or the like.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def give_up() -> None:
    """Write nothing more: Python would fail, and complain, once more when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
