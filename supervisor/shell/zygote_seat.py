"""One level's zygote, as its supervisor has it: not there, on its way, or under command."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Sequence
from typing import Final

from ...protocol.zygote_messages import Command, Fork, ToZygote
from .zygote_link import ZygoteLink
from .zygote_start import ABANDON_SECONDS, StartedZygote, ZygoteProcess, start_zygote

READY: Final = b"ready"
REFUSED: Final = b"refused "
WORD_BYTES_MAX: Final = 64 * 1024
EARLY_ENDS_MAX: Final = 3
ENDED_EARLY: Final = "its zygote ended before it was ready; see supervisor.log"


class ZygoteSeat:
    """Starts a zygote when it is needed, and keeps what is asked of it until it can be told.

    Attributes:
        link: the connection to a zygote under our command; None without one.
        fresh: the zygote was started by this supervisor.
        living: workers that it has listed so far, while it lists them.
        is_examined: somebody waits to know whether this level can be had. A zygote that is under
            our command may not have tried it yet: its report tells.
        has_reported: the zygote under our command has tried its level, and has it.
        early_ends: how many have ended without a word since then.
    """

    def __init__(
        self,
        level: str,
        path: str,
        epoch: int,
        extra: Sequence[str],
        log: int,
        epoll: select.epoll,
    ) -> None:
        self.level = level
        self.path = path
        self.epoch = epoch
        self.link: ZygoteLink | None = None
        self.fresh = False
        self.living: list[tuple[bytes, int]] = []
        self.is_examined = False
        self.has_reported = False
        self.early_ends = 0
        self._extra = extra
        self._log = log
        self._epoll = epoll
        self._process: ZygoteProcess | None = None
        self._ready: int | None = None
        self._waiting: list[Fork] = []

    @property
    def pid(self) -> int | None:
        """The zygote's process, if this supervisor has started it."""
        return None if self._process is None else self._process.pid

    @property
    def is_vacant(self) -> bool:
        """Whether no zygote is there or on its way."""
        return self.link is None and self._ready is None

    def filenos(self) -> tuple[int, ...]:
        """What is readable when the zygote has something to say."""
        link = () if self.link is None else (self.link.fileno(),)
        return link if self._ready is None else (*link, self._ready)

    # -- coming -----------------------------------------------------------------------------------

    def find(self) -> bool:
        """Take command of the zygote that an earlier supervisor has left. False: there is none."""
        try:
            self._take_command()
        except OSError:
            return False
        return True

    def expect(self, started: StartedZygote) -> None:
        """A zygote is on its way."""
        self.fresh = True
        self.is_examined = True
        self._process, self._ready = started.process, started.ready
        self._epoll.register(self._ready, select.EPOLLIN)

    def start(self) -> None:
        """Start one, unless one is there or on its way."""
        if self.is_vacant:
            self.expect(start_zygote(self.path, self.level, self._extra, self._log))

    def start_again(self) -> bool:
        """After an end without a word, which says nothing of the level. False: it was the last try.

        What is asked of the zygote goes on waiting.
        """
        self.early_ends += 1
        if self.early_ends >= EARLY_ENDS_MAX:
            return False
        self.start()
        return True

    def _take_command(self) -> None:
        self.link = ZygoteLink(self.path, self.epoch)
        self._epoll.register(self.link, select.EPOLLIN)
        waiting, self._waiting = self._waiting, []
        for fork in waiting:
            self.link.send(fork)

    def hear_ready(self) -> tuple[str, ...] | None:
        """What the zygote on its way has said: what is missing, if it could not come up.

        Empty: it is under our command. None: nothing yet.
        """
        if self._ready is None:
            return None
        try:
            word = os.read(self._ready, WORD_BYTES_MAX)
        except BlockingIOError:
            return None
        self._epoll.unregister(self._ready)
        os.close(self._ready)
        self._ready = None
        if word.startswith(READY) and self.find():
            return ()
        if word.startswith(REFUSED) and self._process is not None:
            self._process.end(ABANDON_SECONDS)  # it has a directory to remove
        self.leave()
        if word.startswith(READY):
            return (ENDED_EARLY,)
        # One that a killed supervisor had only just started may have come first. Nobody has
        # commanded it yet: we hold the state directory since before it listened.
        if not word and self.find():
            return None
        return _missing(word)

    def retake(self, epoch: int) -> None:
        """Take command again in a new epoch: the zygote says once more who lives."""
        self.epoch = epoch
        self.fresh = False  # it has made workers for us before
        if self.link is not None:
            self.link.send(Command(epoch, os.getpid()))

    # -- work -------------------------------------------------------------------------------------

    def fork(self, message: Fork) -> None:
        """Have a worker made, as soon as the zygote is there."""
        if self.link is not None:
            self.link.send(message)
        else:
            self._waiting.append(message)
            self.start()

    def send(self, message: ToZygote) -> None:
        """Tell the zygote, if there is one."""
        if self.link is not None:
            self.link.send(message)

    def unmade(self) -> list[Fork]:
        """The workers that were asked for and never will be; they are no longer kept."""
        waiting, self._waiting = self._waiting, []
        return waiting

    # -- going ------------------------------------------------------------------------------------

    def leave(self) -> None:
        """The zygote is gone, or is to go: nothing of it stays, but its socket's file."""
        self.close()
        if self._process is not None:
            self._process.kill()  # if it has closed the connection without ending
            self._process.wait()
            self._process = None
        self.living.clear()
        self.has_reported = False

    def quit(self, seconds: float) -> None:
        """End the zygote and its workers; returns when they are gone."""
        if self.link is not None:
            self.link.quit(seconds)
        self.close()
        if self._process is not None:
            self._process.end(seconds)
            self._process = None

    def close(self) -> None:
        """Let go of the zygote, and let it live."""
        if self._ready is not None:
            self._epoll.unregister(self._ready)
            os.close(self._ready)
            self._ready = None
        if self.link is not None:
            self._epoll.unregister(self.link)
            self.link.close()
            self.link = None


def _missing(word: bytes) -> tuple[str, ...]:
    """Why a zygote did not come up, from its report."""
    try:
        report = json.loads(word.removeprefix(REFUSED))
        needed = [each for each in report["properties"] if each["needed"] and not each["held"]]
        missing = [f"{p['name']}: {p['reason']} ({p['remedy']})"[:1_000] for p in needed]
    except (ValueError, KeyError, TypeError):
        missing = []
    return tuple(missing) or (ENDED_EARLY,)
