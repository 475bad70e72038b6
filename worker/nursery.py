"""The zygote's workers: forked, killed, reaped, and remembered until their end has been noted."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from resource import struct_rusage
from typing import Final, NoReturn

from ..protocol.limits import LIMITS_OF_LEVEL
from ..protocol.zygote_messages import Ended, Fork
from . import real
from .child import Child, Door
from .confessions import Confessions
from .confinement import Ties, changed_signals
from .end_causes import cause
from .exits import EXIT_DEFECT, EXIT_UNSEALED, MEANINGS
from .isolation.levels import Level
from .isolation.quarters import Berth, Quarters
from .janitors import Janitors
from .layette import Layette
from .life import live
from .reproducible import Reproducible
from .roll import NO_PLACE, Roll

ENDED_MAX: Final = 100_000  # ends that no supervisor has noted; the oldest are dropped
NO_DESCRIPTOR: Final = -1
LAST_REAP_S: Final = 1.0
REAP_AGAIN_S: Final = 0.001


class Nursery:
    """Every worker of this zygote. What a dead worker has left running is killed and reaped too."""

    def __init__(
        self,
        quarters: Quarters,
        reproducible: Reproducible,
        fork: Callable[[], int],
        layette: Layette,
    ) -> None:
        """`quarters` are where workers live, `fork` is what makes their processes."""
        self._fork = fork
        self._layette = layette
        self._reproducible = reproducible
        self._quarters = quarters
        self._pid = os.getpid()
        self._signals = changed_signals()
        self._tasks = os.open("self/task", os.O_RDONLY | os.O_CLOEXEC, dir_fd=quarters.proc)
        self._confessions = Confessions()
        self.roll = Roll()
        self._janitors = Janitors(fork)
        self._ended: dict[bytes, Ended] = {}

    @property
    def ended(self) -> list[Ended]:
        """The ends that have not been noted, oldest first."""
        return list(self._ended.values())

    def fork(self, message: Fork) -> Child:
        """Make a worker.

        Raises:
            OSError: the machine could not give one.
        """
        hide_from_collections()  # first: what that frees may be another's, and do what it likes
        threads = len(os.listdir(self._tasks))
        if threads != 1:
            raise OSError(f"the zygote has {threads} threads and must not fork")
        quarters = self._quarters
        limits = message.limits.over(LIMITS_OF_LEVEL[quarters.level.value])
        endpoint = quarters.endpoint(message.endpoint)
        berth = quarters.prepare(message.cell or f"spare {message.token.hex()}", limits)
        self._janitors.sweep(*quarters.left_over())
        # Not in the child: what is made at the first use each of them would make anew.
        inside = Fork(message.token, message.cell, message.incarnation, endpoint, limits)
        door, place = Door.none(), NO_PLACE
        try:
            place = self.roll.reserve(message.token)
            # Where all work directories have one name nobody has to wait for it.
            if not message.cell and berth.work != quarters.work_of(""):
                door = Door.shut()
            pid = quarters.fork(self._fork)
        except OSError:
            door.close()
            self.roll.give_up(place)
            self._vacate(berth)
            raise
        if pid == 0:
            self._be(inside, berth, door)
        pidfd = NO_DESCRIPTOR
        try:
            pidfd = os.pidfd_open(pid)
            outside = quarters.number_outside(pid, pidfd)
        except OSError:  # no descriptor is left; the end of an unknown child is of no interest
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # its user number and its cage are another's next
            if pidfd != NO_DESCRIPTOR:
                os.close(pidfd)
            door.close()
            self.roll.give_up(place)
            self._vacate(berth)
            raise
        child = Child(place, pid, outside, pidfd, berth, door)
        self.roll.add(message.token, child)
        return child

    def _be(self, message: Fork, berth: Berth, door: Door) -> NoReturn:
        try:
            self._confessions.forget()
            # A fork without Python's hooks leaves the zygote's number there.
            threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
            ties = Ties(message.token, self._confessions.told, door=door.descriptor)
            rest = self._pid, self._signals, self._reproducible, self._layette
            live(message, self._quarters, berth, ties, *rest)
        except BaseException:  # noqa: BLE001 - ends the process
            traceback.print_exc()
        finally:
            # Never back into the zygote's loop: there would be two that hear the same commands.
            os._exit(EXIT_DEFECT)

    def lodge(self, token: bytes, cell: str) -> None:
        """A spare worker has this cell now. Ignores unknown ones, and those who have theirs."""
        if (child := self.roll.find(token)) is None or child.door.is_open:
            return
        try:
            self._quarters.lodge(child.berth, cell)
        except OSError as error:
            print(f"worker {child.pid_outside}: no work directory: {error}", file=sys.stderr)
            self.kill(token)
            return
        child.door.open()
        self._janitors.sweep(*self._quarters.left_over())

    def _vacate(self, berth: Berth) -> None:
        self._quarters.clear(berth)
        if self._quarters.level is Level.SEALED:  # there it went with its namespace
            return
        if all(each.berth.work != berth.work for each in self.roll):
            # Else it is the next life's, and ours was moved aside. Its name may be needed at once.
            for work in self._quarters.left_over(berth.work):
                self._janitors.sweep(work)

    def kill(self, token: bytes) -> None:
        """SIGKILL a worker and its process group; `reap` tells its end. Ignores unknown ones."""
        child = self.roll.find(token)
        if child is None:
            return
        self._kill(child)

    def _kill(self, child: Child) -> None:
        child.is_killed = True
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has no session of its own before its cell, and has started nothing

    def kill_all(self) -> None:
        """SIGKILL every worker and wait until they and what they left are gone, at most 1 s."""
        deadline = real.monotonic() + LAST_REAP_S
        for child in self.roll:
            self._kill(child)
        while True:
            self.reap()
            has_children = len(self.roll) or len(self._janitors) or self._orphans()
            if not has_children or real.monotonic() > deadline:
                return
            real.sleep(REAP_AGAIN_S)

    def forget(self, token: bytes) -> None:
        """The end of this worker has been noted."""
        self._ended.pop(token, None)

    def reap(self, tell: Callable[[Ended], None] = lambda end: None) -> None:
        """Take every end that has happened; kills what ended workers have left running.

        `tell` is called with each end before what belonged to the worker is removed: somebody may
        wait for the news, and nobody for that.
        """
        ended = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._janitors.ended(pid)
            child = self.roll.of_pid(pid)
            if child is not None:
                tell(self._end(child, os.waitstatus_to_exitcode(status), usage))
                ended.append(child)
        for orphan in self._orphans():
            # A child of ours that nobody has waited for: its number cannot belong to another.
            os.kill(orphan, signal.SIGKILL)
        for child in ended:
            self._vacate(child.berth)

    def _end(self, child: Child, status: int, usage: struct_rusage) -> Ended:
        token = self.roll.strike(child)
        os.close(child.pidfd)
        child.door.close()
        reason = MEANINGS.get(status, "")
        if status == EXIT_UNSEALED:
            reason += f": {self._confessions.take(token)}"
        if reason:
            print(f"worker {child.pid_outside}: {reason} (exit status {status})", file=sys.stderr)
        end = self._ended[token] = _end_of(token, child, status, usage, reason)
        while len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]
        return end

    def _orphans(self) -> list[int]:
        """Children of ours that we did not fork: what ended workers had started.

        While a worker lives, everything it has started stays below it (it is a subreaper).
        """
        if self._quarters.level is not Level.PROCESS:
            return []  # there nothing can be started
        try:
            children = _children()
        except OSError as error:  # no descriptor is left; it is looked again at the next end
            print(f"zygote: what ended workers have left was not seen: {error}", file=sys.stderr)
            return []
        return [pid for pid in children if self._is_orphan(pid)]

    def _is_orphan(self, pid: int) -> bool:
        return self.roll.of_pid(pid) is None and pid not in self._janitors


def hide_from_collections() -> None:
    """Each worker collects garbage, and would copy the pages of all that it looks at or frees.

    `inspect.signature`, which the standard library's dataclasses ask, leaves a cycle that holds
    every module. And collecting gives back the freed objects that Python keeps for the next ones,
    which lie anywhere.
    """
    gc.collect()
    gc.freeze()


def _end_of(token: bytes, child: Child, status: int, usage: struct_rusage, reason: str) -> Ended:
    """What is told of an end; to be asked before the berth is cleared."""
    cpu_ns = int((usage.ru_utime + usage.ru_stime) * 1e9)
    limit, used = ("", 0) if child.is_killed else cause(status, cpu_ns, child.berth)
    return Ended(
        token=token,
        status=status,
        cpu_ns=cpu_ns,
        memory_bytes=usage.ru_maxrss * 1024,
        killed=child.is_killed,
        reason=reason,
        limit=limit,
        used=used,
    )


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
