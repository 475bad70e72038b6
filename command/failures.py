"""How the command says that something went wrong."""

from __future__ import annotations

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
