"""Processes as the loop sees them: the zygote and its workers, and the hosts."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from ...protocol import codec
from ...protocol.ids import Incarnation
from ...protocol.limits import Limits
from ...protocol.zygote_messages import (
    Command,
    Ended,
    Forget,
    Fork,
    Forked,
    ForkFailed,
    FromZygote,
    Kill,
    Living,
)
from ..core.events import (
    FleetEvent,
    HostGone,
    WorkerEnded,
    WorkerForked,
    WorkerNotForked,
    WorkersListed,
    ZygoteLost,
)
from .host_watch import HostWatch
from .orphans import become_subreaper, kill_children
from .process_table import usage_of
from .zygote_link import ZygoteGone, ZygoteLink
from .zygote_start import StartedZygote, start_zygote


class OsProcesses:
    """See `ports.Processes`. `fileno()` is readable when `drain()` has something to find."""

    def __init__(
        self,
        socket_path: Path,
        worker_endpoint: str,
        epoch: int,
        extra: list[str],
        log: int,
        started: StartedZygote | None = None,
    ) -> None:
        """Take command of the zygote that listens, or of `started`, or start one."""
        self._path = socket_path
        self._endpoint = worker_endpoint
        self._epoch = epoch
        self._extra = extra
        self._log = log
        self._epoll = select.epoll()
        self._pidfds: dict[bytes, int] = {}
        self._hosts = HostWatch(self._epoll)
        self._gone: list[FleetEvent] = []
        self._living: list[tuple[bytes, int]] = []
        become_subreaper()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._ready: int | None = None
        self._link: ZygoteLink | None = None
        if started is None:
            self._connect_or_start()
        else:
            self._await(started)

    def fileno(self) -> int:
        return self._epoll.fileno()

    # -- the zygote -------------------------------------------------------------------------------

    def _connect_or_start(self) -> None:
        self._fresh = False
        try:
            self._take_command()
        except OSError:
            self._await(start_zygote(self._path, self._extra, self._log))

    def _await(self, started: StartedZygote) -> None:
        self._fresh = True
        self._zygote, self._ready = started.process, started.ready
        self._epoll.register(self._ready, select.EPOLLIN)

    def _take_command(self) -> None:
        self._link = ZygoteLink(self._path, self._epoch)
        self._epoll.register(self._link, select.EPOLLIN)

    def retake(self, epoch: int) -> None:
        """Take command again in a new epoch: the zygote says once more who lives."""
        self._epoch = epoch
        self._fresh = False  # it has made workers for us before
        if self._link is not None:
            self._link.send(Command(epoch, os.getpid()))

    def _zygote_ready(self) -> None:
        if self._ready is None:
            return
        try:
            word = os.read(self._ready, 64)
        except BlockingIOError:
            return
        self._epoll.unregister(self._ready)
        os.close(self._ready)
        self._ready = None
        if word:
            self._take_command()
        else:
            self._lost()

    def _lost(self) -> None:
        """The zygote is gone and the kernel kills its workers: start another one."""
        if self._link is not None:
            self._epoll.unregister(self._link)
            self._link.close()
            self._link = None
        if self._zygote is not None:
            self._zygote.kill()  # if it has closed the connection without ending
            self._zygote.wait()
        kill_children(spared=set())
        for token in list(self._pidfds):
            self._forget_pidfd(token)
        self._living.clear()
        self._gone.append(ZygoteLost())
        self._connect_or_start()

    # -- the port ---------------------------------------------------------------------------------

    def drain(self) -> list[FleetEvent]:
        ready = {fd for fd, _ in self._epoll.poll(0)}
        if self._ready in ready:
            self._zygote_ready()
        if self._link is not None:
            if self._link.fileno() in ready:
                self._hear_zygote(self._link)
            else:
                self._link.flush()
        self._gone += [HostGone(attachment) for attachment in self._hosts.ended(ready)]
        events, self._gone = self._gone, []
        return events

    def _hear_zygote(self, link: ZygoteLink) -> None:
        try:
            while (received := link.receive()) is not None:
                self._heard(*received)
        except ZygoteGone:
            self._lost()
        except codec.OtherVersion:
            # We hold the state directory, so it is ours to end; its cells are run again.
            link.kill_peer()
            self._path.unlink(missing_ok=True)
            self._lost()

    def _heard(self, message: FromZygote, fds: list[int]) -> None:
        if isinstance(message, Forked):
            self._pidfds[message.token] = fds[0]
            self._gone.append(WorkerForked(message.token, message.pid))
        elif isinstance(message, ForkFailed):
            self._gone.append(WorkerNotForked(message.token, message.reason))
        elif isinstance(message, Ended):
            self._forget_pidfd(message.token)
            self._gone.append(WorkerEnded(message.token, message.status, message.killed))
        elif isinstance(message, Living):
            self._pidfds.update(zip((token for token, _ in message.workers), fds, strict=True))
            self._living += message.workers
            if message.last:
                self._gone.append(WorkersListed(tuple(self._living), fresh=self._fresh))
                self._living = []

    def _forget_pidfd(self, token: bytes) -> None:
        pidfd = self._pidfds.pop(token, None)
        if pidfd is not None:
            os.close(pidfd)

    def fork(self, token: bytes, cell: str, incarnation: Incarnation, limits: Limits) -> None:
        if self._link is not None:
            self._link.send(Fork(token, cell, incarnation, self._endpoint, limits))

    def kill(self, token: bytes) -> None:
        pidfd = self._pidfds.get(token)
        if pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if self._link is not None:
            self._link.send(Kill(token))  # for what the worker has started

    def forget(self, token: bytes) -> None:
        if self._link is not None:
            self._link.send(Forget(token))

    def usage(self, pid: int) -> tuple[int | None, int | None]:
        return usage_of(pid)

    # -- hosts ------------------------------------------------------------------------------------

    def watch_host(self, attachment: int, pid: int, started_ns: int) -> None:
        if not self._hosts.watch(attachment, pid, started_ns):
            self._gone.append(HostGone(attachment))

    # -- the end ----------------------------------------------------------------------------------

    def leave(self) -> None:
        """Let go of the zygote; its workers live on and wait for a successor."""
        self._close()

    def end_all(self, timeout: float) -> None:
        """Kill every worker and the zygote; returns when they are gone."""
        if self._link is not None:
            self._link.quit(timeout)
        self._close()
        if self._zygote is not None:
            if self._link is None:
                self._zygote.kill()
            try:
                self._zygote.wait(timeout)
            except subprocess.TimeoutExpired:
                self._zygote.kill()  # its workers die with it
                self._zygote.wait()
        kill_children(spared=set())

    def _close(self) -> None:
        for token in list(self._pidfds):
            self._forget_pidfd(token)
        self._hosts.close()
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None
        if self._link is not None:
            self._link.close()
        self._epoll.close()
