"""Processes as the loop sees them: the zygote and its workers, and the hosts."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from ...protocol import codec
from ...protocol.ids import Incarnation
from ...protocol.limits import Limits
from ...protocol.zygote_messages import (
    Ended,
    Forget,
    Fork,
    Forked,
    ForkFailed,
    FromZygote,
    Kill,
    Living,
    Lodge,
    Report,
)
from ..core.events import (
    FleetEvent,
    HostGone,
    LevelExamined,
    MemoryShort,
    WorkerEnded,
    WorkerForked,
    WorkerNotForked,
    WorkersListed,
    ZygoteLost,
)
from .host_watch import HostWatch
from .memory_watch import MemoryWatch
from .orphans import become_subreaper, kill_children
from .process_table import usage_of
from .zygote_link import ZygoteGone
from .zygote_seat import ENDED_EARLY, ZygoteSeat
from .zygote_start import LEVELS, StartedZygote, zygote_socket


class OsProcesses:
    """See `ports.Processes`. `fileno()` is readable when `drain()` has something to find.

    Whoever rests on it may set `is_quiet`: it is known that it is not readable.
    """

    def __init__(
        self,
        run: Path,
        worker_endpoint: str,
        epoch: int,
        extra: list[str],
        log: int,
        started: StartedZygote | None = None,
    ) -> None:
        """Take command of the zygotes that listen in `run`, and of `started`."""
        self._endpoint = worker_endpoint
        self._epoll = select.epoll()
        self._pidfds: dict[bytes, tuple[int, str]] = {}
        self._hosts = HostWatch(self._epoll)
        self._gone: list[FleetEvent] = []
        self._memory = MemoryWatch()
        self.is_quiet = False
        become_subreaper()
        self._seats = {
            level: ZygoteSeat(level, zygote_socket(run, level), epoch, extra, log, self._epoll)
            for level in LEVELS
        }
        for level, seat in self._seats.items():
            if started is not None and started.level == level:
                seat.expect(started)
            elif not seat.find():
                self._nobody(seat)

    def fileno(self) -> int:
        return self._epoll.fileno()

    # -- zygotes ----------------------------------------------------------------------------------

    def _nobody(self, seat: ZygoteSeat) -> None:
        """Without a zygote no worker lives; one is started when it is needed."""
        self._gone.append(WorkersListed((), fresh=True, level=seat.level))

    def examine(self, level: str) -> None:
        seat = self._seats[level]
        if seat.has_reported:
            self._gone.append(LevelExamined(level, ()))
        else:
            seat.is_examined = True
            seat.start()  # unless one is there; it says what it found when it is up

    def retake(self, epoch: int) -> None:
        """Take command again in a new epoch: the zygotes say once more who lives."""
        for seat in self._seats.values():
            seat.retake(epoch)
            if seat.is_vacant:
                self._nobody(seat)

    def _on_ready(self, seat: ZygoteSeat) -> None:
        missing = seat.hear_ready()
        if not missing or (missing == (ENDED_EARLY,) and seat.start_again()):
            return
        self._examined(seat, missing)
        self._nobody(seat)
        why = f"isolation {seat.level}: {'; '.join(missing)}"[:1_000]
        self._gone += [WorkerNotForked(fork.token, why) for fork in seat.unmade()]

    def _examined(self, seat: ZygoteSeat, missing: tuple[str, ...]) -> None:
        if seat.is_examined:
            seat.is_examined = False
            self._gone.append(LevelExamined(seat.level, missing))

    def _lost(self, seat: ZygoteSeat) -> None:
        """The zygote is gone and the kernel kills its workers."""
        seat.leave()
        others = {each.pid for each in self._seats.values()}
        kill_children(spared={pid for pid in others if pid is not None})
        for token, (_, level) in list(self._pidfds.items()):
            if level == seat.level:
                self._forget_pidfd(token)
        self._gone.append(ZygoteLost(seat.level))
        self._nobody(seat)
        # What it has found it did not say; the next one will.
        if seat.is_examined and not seat.start_again():
            self._examined(seat, (ENDED_EARLY,))

    # -- the port ---------------------------------------------------------------------------------

    def drain(self) -> list[FleetEvent]:
        ready = set() if self.is_quiet else {fd for fd, _ in self._epoll.poll(0)}
        for seat in self._seats.values():
            if ready and ready.intersection(seat.filenos()):
                self._on_ready(seat)
                self._hear_zygote(seat)
            elif seat.link is not None:
                seat.link.flush()
        if ready:
            self._gone += [HostGone(attachment) for attachment in self._hosts.ended(ready)]
        if self._memory.is_short():
            self._gone.append(MemoryShort())
        events, self._gone = self._gone, []
        return events

    def _hear_zygote(self, seat: ZygoteSeat) -> None:
        try:
            while seat.link is not None and (received := seat.link.receive()) is not None:
                self._heard(seat, *received)
        except ZygoteGone:
            self._lost(seat)
        except codec.OtherVersion:
            # We hold the state directory, so it is ours to end; its cells are run again.
            if seat.link is not None:
                seat.link.kill_peer()
            Path(seat.path).unlink(missing_ok=True)
            self._lost(seat)

    def _heard(self, seat: ZygoteSeat, message: FromZygote, fds: list[int]) -> None:
        if isinstance(message, Forked):
            self._pidfds[message.token] = (fds[0], seat.level)
            self._gone.append(WorkerForked(message.token, message.pid))
        elif isinstance(message, ForkFailed):
            self._gone.append(WorkerNotForked(message.token, message.reason))
        elif isinstance(message, Ended):
            self._forget_pidfd(message.token)
            ended = message
            self._gone.append(
                WorkerEnded(
                    ended.token, ended.status, ended.killed, ended.reason, ended.limit, ended.used
                )
            )
        elif isinstance(message, Report):
            seat.has_reported, seat.early_ends = True, 0
            self._examined(seat, ())  # a zygote without its level does not serve
        elif isinstance(message, Living):
            for (token, _), pidfd in zip(message.workers, fds, strict=True):
                self._pidfds[token] = (pidfd, seat.level)
            seat.living += message.workers
            if message.last:
                listed = WorkersListed(tuple(seat.living), fresh=seat.fresh, level=seat.level)
                self._gone.append(listed)
                seat.living.clear()

    def _forget_pidfd(self, token: bytes) -> None:
        found = self._pidfds.pop(token, None)
        if found is not None:
            os.close(found[0])

    def fork(
        self, token: bytes, cell: str, incarnation: Incarnation, limits: Limits, level: str
    ) -> None:
        self._seats[level].fork(Fork(token, cell, incarnation, self._endpoint, limits))

    def lodge(self, token: bytes, cell: str) -> None:
        found = self._pidfds.get(token)
        if found is not None:
            self._seats[found[1]].send(Lodge(token, cell))

    def kill(self, token: bytes) -> None:
        found = self._pidfds.get(token)
        if found is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(found[0], signal.SIGKILL)
        # For what the worker has started; and for one that is only just being made.
        for seat in self._seats.values():
            if found is None or found[1] == seat.level:
                seat.send(Kill(token))

    def forget(self, token: bytes) -> None:
        for seat in self._seats.values():
            seat.send(Forget(token))

    def usage(self, pid: int) -> tuple[int | None, int | None]:
        return usage_of(pid)

    # -- hosts ------------------------------------------------------------------------------------

    def watch_host(self, attachment: int, pid: int, started_ns: int) -> None:
        if not self._hosts.watch(attachment, pid, started_ns):
            self._gone.append(HostGone(attachment))

    # -- the end ----------------------------------------------------------------------------------

    def leave(self) -> None:
        """Let go of the zygotes; their workers live on and wait for a successor."""
        self._close()

    def end_all(self, timeout: float) -> None:
        """Kill every worker and the zygotes; returns when they are gone."""
        for seat in self._seats.values():
            seat.quit(timeout)
        self._close()
        kill_children(spared=set())

    def _close(self) -> None:
        for token in list(self._pidfds):
            self._forget_pidfd(token)
        self._hosts.close()
        for seat in self._seats.values():
            seat.close()
        self._epoll.close()
