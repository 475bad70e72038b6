"""Turns the crank: polls the sockets, lets the loop beat, and decides when a life is over."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
from contextlib import suppress
from types import FrameType

from ..protocol.errors import JournalError
from .core import spares, turn
from .core.events import DrainAsked
from .core.fleet import World
from .settings import Settings
from .shell.allocation import collect_seldom, return_large_blocks
from .shell.clock import SystemClock
from .shell.host_watch import open_process
from .shell.journal_schema import PACKERS
from .shell.loop import Loop
from .shell.os_processes import OsProcesses
from .shell.ports import Fenced, JournalBroken, Ports
from .shell.precedence import go_first
from .shell.socket_wires import SocketWires
from .shell.sqlite_store import SqliteStore
from .shell.state_directory import StateDirectory
from .shell.wakeups import Wakeups
from .shell.zygote_start import StartedZygote

DRAIN_NS = 500_000_000  # for resumes and ends that are under way when we are asked to stop


class Server:
    """One supervisor, from taking its directory to leaving it."""

    def __init__(
        self, settings: Settings, directory: StateDirectory, zygote: StartedZygote | None
    ) -> None:
        """Open the journal, bind, and take command of the zygote (None: one is there already).

        It owns the directory and the zygote once it is made.

        Raises:
            JournalError, OSError.
        """
        self._settings = settings
        _raise_open_files()
        return_large_blocks()
        collect_seldom()
        if settings.goes_first:
            go_first()
        self.directory = directory
        self._store = _journal(directory, settings)
        self._clock = SystemClock(self._store.last_at_ns)
        self.endpoint = settings.listen or self.directory.host_endpoint
        self._processes = OsProcesses(
            directory.run,
            directory.worker_endpoint,
            self._store.epoch,
            settings.zygote_arguments(directory.path, directory.run),
            sys.stderr.fileno(),
            zygote,
        )
        self._wires = SocketWires(self.endpoint, self.directory.worker_endpoint)
        self._wires.workers.tokens.admits = self._expects
        self._loop = self._new_loop()
        self._stop, self._leave_at_ns = "", 0
        self._idle_since_ns = self._clock.now_ns()
        self._host = _own_host(settings)
        if settings.private and not self._host:
            self._stop = "the host has ended"
        self._hosts = self._wires.hosts.fileno()
        self._wakeups = Wakeups([self._hosts, *self._of_workers, *self._host])
        self._announce()

    def _new_loop(self) -> Loop:
        settings = self._settings
        world = World(
            epoch=self._store.epoch,
            journal_id=self._store.journal_id,
            secret=self._store.secret,
            isolation=settings.isolation,
            durability=settings.durability,
            version=settings.version,
            pid=os.getpid(),
            started_ns=self._clock.now_ns(),
            packers=PACKERS,
            private=settings.private,
            spares=settings.spares,
            hibernate_ns=int(settings.hibernate_seconds * 1e9),
        )
        ports = Ports(self._store, self._wires, self._processes, self._clock)
        return Loop(ports, world, self._wires.linger)

    def _expects(self, token: bytes) -> bool:
        """Whether one of our cells has, or will have, a worker with this token."""
        return spares.expects(self._loop.fleet, token)

    def _announce(self) -> None:
        self.directory.announce(
            {
                "pid": os.getpid(),
                "epoch": self._store.epoch,
                "endpoint": self.endpoint,
                "version": self._settings.version,
                "started": self._clock.now_ns() / 1e9,
                "isolation": self._settings.isolation or self._settings.first_level,
                "durability": self._settings.durability,
            }
        )

    @property
    def epoch(self) -> int:
        return self._store.epoch

    # -- the crank --------------------------------------------------------------------------------

    def serve(self) -> None:
        """Until the life is over: SIGTERM or SIGINT, the end of a private host, or idleness."""
        previous = signal.set_wakeup_fd(self._wakeups.signalled, warn_on_full_buffer=False)
        handlers = [(number, signal.signal(number, self._asked)) for number in _STOPS]
        try:
            while not self._over():
                try:
                    self._loop.beat()
                    self._rest(self._wait_s())
                except (JournalBroken, sqlite3.Error) as error:
                    print(f"tidemark supervisor: the journal failed: {error}", file=sys.stderr)
                    self._recover()
        except Fenced as error:
            self._stop = "fenced: a newer supervisor"
            print(f"tidemark supervisor: {error}", file=sys.stderr)
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in handlers:
                signal.signal(number, handler)
            self._leave()

    def _over(self) -> bool:
        """Whether to leave: at once without a host, after a moment for what is under way."""
        if not self._stop:
            return False
        if self._stop not in _DRAINING or self._settings.private:
            return True
        now_ns = self._clock.now_ns()
        if not self._leave_at_ns:
            self._leave_at_ns = now_ns + DRAIN_NS
            turn.take(self._loop.fleet, DrainAsked(), 0, now_ns)
        waits = [state.waits for state in self._loop.fleet.cells.values()]
        quiet = not any(each.resuming or each.ending for each in waits)
        return quiet or now_ns >= self._leave_at_ns

    @property
    def _of_workers(self) -> list[int]:
        return [self._wires.workers.fileno(), self._processes.fileno()]

    def _wait_s(self) -> float:
        """How long to rest if nothing arrives."""
        wait_ns = self._loop.wait_ns()
        wait_s = 1.0 if wait_ns is None else min(1.0, -(-wait_ns // 1_000_000) / 1_000)
        workers_s = None if self._loop.hears_only_hosts else self._wires.wait_s()
        if self._wires.hosts.has_more:
            return 0.0
        wait_s = wait_s if workers_s is None else min(wait_s, workers_s)
        return min(wait_s, 0.02) if self._leave_at_ns else wait_s

    def _rest(self, wait_s: float) -> None:
        """Wait so long for news. Also a loop that is never idle looks whether it is over."""
        ignored = self._of_workers if self._loop.hears_only_hosts else []
        ready = self._wakeups.wait(wait_s, ignored)
        self._note_quiet(ready)
        if not ready.isdisjoint(self._host):
            self._stop = "the host has ended"
        if wait_s and not ready:
            self._look_idle()

    def _note_quiet(self, ready: set[int]) -> None:
        """The next beat need not ask again what has just been seen."""
        self._wires.hosts.is_quiet = self._hosts not in ready
        of_workers, of_processes = self._of_workers
        ended = of_processes in ready
        self._processes.is_quiet = not ended
        # What a worker has said before its end is heard in the same beat.
        self._wires.workers.is_quiet = not ended and of_workers not in ready

    def _look_idle(self) -> None:
        settings, fleet = self._settings, self._loop.fleet
        busy = any(session.unfinished for session in fleet.sessions.values())
        busy = busy or any(not attachment.ended for attachment in fleet.attachments.values())
        now_ns = self._clock.now_ns()
        if busy or not settings.idle_seconds:
            self._idle_since_ns = now_ns
        elif now_ns - self._idle_since_ns > settings.idle_seconds * 1e9:
            self._stop = "idle"

    def _recover(self) -> None:
        """What is on the disk is not known any more: begin again, or leave it to a successor."""
        self._store.close()
        try:
            self._store = _journal(self.directory, self._settings)
            self._processes.retake(self._store.epoch)
            self._loop = self._new_loop()
        except (JournalError, JournalBroken) as error:
            self._stop = f"fenced: {error}"
            return
        self._announce()

    def _asked(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT: the loop is left after this beat; a second one changes nothing."""
        self._stop = signal.Signals(number).name

    # -- leaving ----------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Give everything back; after a defect of ours the directory is a successor's."""
        is_ours = self._stop and not self._stop.startswith("fenced")
        if is_ours:
            with suppress(JournalBroken, Fenced):
                self._loop.flush()
        print(f"tidemark supervisor: ends ({self._stop or 'a defect'})", file=sys.stderr)
        unfinished = any(s.unfinished for s in self._loop.fleet.sessions.values())
        stays = not is_ours or (unfinished and not self._settings.private)
        if stays:
            self._processes.leave()
        else:
            self._processes.end_all(2.0)
        self._wakeups.close()
        self._wires.close()
        self._store.close()
        self.directory.leave(
            is_defect=not self._stop, stays=stays, is_private=self._settings.private
        )


_DRAINING = ("SIGTERM", "SIGINT", "SIGHUP")
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _journal(directory: StateDirectory, settings: Settings) -> SqliteStore:
    return SqliteStore(directory.journal, settings.durability, in_thread=True)


def _own_host(settings: Settings) -> list[int]:
    """Descriptors that become readable when the host of a private supervisor ends; none: it has."""
    if not settings.private:
        return []
    pidfd = open_process(settings.host_pid, 0)
    if pidfd is None or os.getppid() != settings.host_pid:
        return []
    return [pidfd, sys.stdin.fileno()]


def _raise_open_files() -> None:
    """Every worker costs a connection and a pidfd: take all descriptors that we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
