"""How the programs that only look at a journal begin and end."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..protocol.errors import TidemarkError

FAILED = 1
READER_GONE = 141  # what a shell shows for a program that SIGPIPE ended
BY_CTRL_C = 130


def journal_of(state: Path) -> Path:
    """The journal's file in a state directory."""
    return state / "journal.db"


def ending(program: Callable[[], int]) -> int:
    """Run it; the exit status: its own, or 1 after saying on standard error what went wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        status = program()
        sys.stdout.flush()
    except TidemarkError as error:
        print(f"tidemark: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return _silenced(READER_GONE)  # the reader has gone, as `head` does
    except KeyboardInterrupt:
        return _silenced(BY_CTRL_C)
    except OSError as error:
        print(f"tidemark: the result cannot be written: {error}", file=sys.stderr)
        return _silenced(FAILED)
    return status


def _silenced(status: int) -> int:
    """Python would fail once more when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
