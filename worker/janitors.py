"""Processes that remove what workers have left on the disk, beside a zygote that goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from . import kernel, scratch
from .exits import EXIT_DONE

FIRST_OF_OURS: Final = 3  # descriptors before it are the standard files


class Janitors:
    """Those that are at work."""

    def __init__(self, fork: Callable[[], int]) -> None:
        """`fork` is what makes their processes."""
        self._fork = fork
        self._pids: set[int] = set()

    def __contains__(self, pid: int) -> bool:
        return pid in self._pids

    def __len__(self) -> int:
        return len(self._pids)

    def ended(self, pid: int) -> None:
        """A process of the zygote's has ended; it may have been one of these."""
        self._pids.discard(pid)

    def sweep(self, *works: str) -> None:
        """Remove these directories; those with something in them in a process of its own."""
        for work in works:
            try:
                os.rmdir(work)
            except FileNotFoundError:
                continue
            except OSError:
                self._send(work)

    def _send(self, work: str) -> None:
        try:
            pid = self._fork()
        except OSError as error:
            print(f"the files in {work} stay: {error}", file=sys.stderr)
            return
        if pid:
            self._pids.add(pid)
            return
        _remove_and_end(work)


def _remove_and_end(work: str) -> NoReturn:
    try:
        # It may outlive the zygote, whose end others see when its sockets are closed.
        kernel.close_from(FIRST_OF_OURS)
        scratch.remove(work)
    except OSError as error:
        print(f"the files in {work} stay: {error}", file=sys.stderr)
    finally:
        os._exit(EXIT_DONE)
