"""How the command says that something went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FAILED: Final = 1
WRONG_USAGE: Final = 2
READER_GONE: Final = 141  # what a shell shows for a program that SIGPIPE ended
BY_SIGNAL: Final = 128  # plus the signal's number


class CommandError(Exception):
    """A failure to be told in one message, with the exit status that goes with it."""

    status = FAILED


class UsageError(CommandError):
    """The command was called in a way that cannot work."""

    status = WRONG_USAGE


@contextmanager
def told_as_wrong_usage() -> Iterator[None]:
    """What the library does not take as an argument is a wrong argument of the command.

    Raises:
        UsageError: instead of `ValueError`.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error
