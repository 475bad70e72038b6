"""The zygote's workers: forked, killed, reaped, and remembered until their end has been noted."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from hashlib import blake2b
from resource import struct_rusage
from typing import Final, NoReturn

from ..protocol.zygote_messages import Ended, Fork
from . import real, scratch
from .confinement import changed_signals
from .exits import EXIT_DONE, MEANINGS
from .life import live
from .reproducible import Reproducible

ENDED_MAX: Final = 100_000  # ends that no supervisor has noted; the oldest are dropped
LAST_REAP_S: Final = 1.0
WORK_NAME_BYTES: Final = 6
REAP_AGAIN_S: Final = 0.001


@dataclass(slots=True)
class Child:
    """A worker that lives; the pidfd is ours."""

    token: bytes
    pid: int
    pidfd: int
    work: str
    is_killed: bool = False


class Nursery:
    """Every worker of this zygote. What a dead worker has left running is killed and reaped too."""

    def __init__(self, work: str, reproducible: Reproducible) -> None:
        """`work` is a directory in which each worker gets one of its own."""
        self._reproducible = reproducible
        self._work = work
        self._pid = os.getpid()
        self._signals = changed_signals()
        self._moved = 0
        self._by_token: dict[bytes, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._janitors: set[int] = set()
        self._ended: dict[bytes, Ended] = {}

    @property
    def living(self) -> list[Child]:
        """The workers that live now, oldest first."""
        return list(self._by_token.values())

    @property
    def ended(self) -> list[Ended]:
        """The ends that have not been noted, oldest first."""
        return list(self._ended.values())

    def find(self, token: bytes) -> Child | None:
        """The living worker with this token."""
        return self._by_token.get(token)

    def fork(self, message: Fork) -> Child:
        """Make a worker.

        Raises:
            OSError: the machine could not give one.
        """
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise OSError(f"the zygote has {threads} threads and must not fork")
        work = self._make_work(message.cell)
        try:
            pid = os.fork()
        except OSError:
            os.rmdir(work)
            raise
        if pid == 0:
            live(message, work, self._pid, self._signals, self._reproducible)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # no descriptor is left; the end of an unknown child is of no interest
            os.kill(pid, signal.SIGKILL)
            raise
        child = Child(message.token, pid, pidfd, work)
        self._by_token[child.token] = self._by_pid[pid] = child
        return child

    def _make_work(self, cell: str) -> str:
        """A directory that has the same name in every life of the cell: it may show it."""
        name = f"w{blake2b(cell.encode(), digest_size=WORK_NAME_BYTES).hexdigest()}"
        path = os.path.join(self._work, name)
        if os.path.lexists(path):
            # That of a life before, which is still ending, or which a killed zygote has left.
            aside = self._move_aside(path)
            owner = next((each for each in self._by_token.values() if each.work == path), None)
            if owner is None:
                self._sweep(aside)
            else:
                owner.work = aside
        return scratch.make(self._work, name)

    def _move_aside(self, path: str) -> str:
        while True:
            self._moved += 1
            aside = os.path.join(self._work, f"old{self._moved:06d}")
            if not os.path.lexists(aside):  # left behind by a zygote that was killed
                os.rename(path, aside)
                return aside

    def kill(self, token: bytes) -> None:
        """SIGKILL a worker and its process group; `reap` tells its end. Ignores unknown ones."""
        child = self._by_token.get(token)
        if child is None:
            return
        child.is_killed = True
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has not yet made its own session; then it has started nothing either

    def kill_all(self) -> None:
        """SIGKILL every worker and wait until they and what they left are gone, at most 1 s."""
        deadline = real.monotonic() + LAST_REAP_S
        for token in list(self._by_token):
            self.kill(token)
        while True:
            self.reap()
            if not self._has_children() or real.monotonic() > deadline:
                return
            real.sleep(REAP_AGAIN_S)

    def _has_children(self) -> bool:
        return bool(self._by_pid or self._janitors or self._orphans())

    def forget(self, token: bytes) -> None:
        """The end of this worker has been noted."""
        self._ended.pop(token, None)

    def reap(self) -> list[Ended]:
        """Take every end that has happened; kills what ended workers have left running."""
        ends = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._janitors.discard(pid)
            child = self._by_pid.pop(pid, None)
            if child is not None:
                ends.append(self._end(child, os.waitstatus_to_exitcode(status), usage))
        for orphan in self._orphans():
            # A child of ours that nobody has waited for: its number cannot belong to another.
            os.kill(orphan, signal.SIGKILL)
        return ends

    def _end(self, child: Child, status: int, usage: struct_rusage) -> Ended:
        del self._by_token[child.token]
        os.close(child.pidfd)
        self._sweep_away(child.work)
        if status in MEANINGS:
            print(f"worker {child.pid}: {MEANINGS[status]} (exit status {status})", file=sys.stderr)
        end = Ended(
            token=child.token,
            status=status,
            cpu_ns=int((usage.ru_utime + usage.ru_stime) * 1e9),
            memory_bytes=usage.ru_maxrss * 1024,
            killed=child.is_killed,
        )
        self._ended[child.token] = end
        while len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]
        return end

    def _sweep_away(self, work: str) -> None:
        """Remove what a worker worked in; the next life of its cell needs the name at once."""
        try:
            os.rmdir(work)
        except FileNotFoundError:
            return
        except OSError:
            self._send_janitor(self._move_aside(work))

    def _sweep(self, work: str) -> None:
        try:
            os.rmdir(work)
        except OSError:
            self._send_janitor(work)

    def _send_janitor(self, work: str) -> None:
        """Remove a worker's files in a process of its own: there may be very many."""
        try:
            pid = os.fork()
        except OSError as error:
            print(f"the files in {work} stay: {error}", file=sys.stderr)
            return
        if pid:
            self._janitors.add(pid)
            return
        _remove_and_end(work)

    def _orphans(self) -> list[int]:
        """Children of ours that we did not fork: what ended workers had started.

        While a worker lives, everything it has started stays below it (it is a subreaper).
        """
        return [pid for pid in _children() if pid not in self._by_pid and pid not in self._janitors]


def _remove_and_end(work: str) -> NoReturn:
    try:
        scratch.remove(work)
    except OSError as error:
        print(f"the files in {work} stay: {error}", file=sys.stderr)
    finally:
        os._exit(EXIT_DONE)


def _children() -> list[int]:
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [
            int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == pid
        ]


def _parent(name: str) -> int:
    try:
        with open(f"/proc/{name}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
