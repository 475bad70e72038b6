"""The process around the zygote of isolated cells: it stays outside, and outlives it.

The zygote is the second process of a namespace whose end the kernel makes the end of everything in
it. What must be done outside (targets of the self-test, directories, cgroups, the supervisor's
files) is done here.
"""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from ..protocol.classes import dataclass
from ..protocol.limits import KIB
from ..protocol.zygote_messages import Report
from . import kernel, real, scratch
from .haste import end_haste
from .isolation import (
    capabilities,
    findings,
    jail_root,
    landlock,
    namespaces,
    places,
    self_test,
    user_numbers,
)
from .isolation.cgroups import Cages, NoCgroup, find
from .isolation.ground import Ground
from .isolation.levels import Level, Unsealed, step
from .isolation.quarters import Quarters
from .isolation.restricted import RestrictedQuarters
from .isolation.sealed import SealedQuarters, enter_root
from .isolation.syscalls import this_machine
from .isolation.targets import Range, Targets
from .isolation.user_numbers import UserNumbers

ENDS: Final = (signal.SIGTERM,)
EXIT_ASKED: Final = 10  # the zygote has ended because somebody wanted it to
EXIT_ALONE: Final = 11  # it has ended because nobody came any more
EXIT_REFUSED: Final = 12  # the level cannot be had here, and that has been said
DOOR_MODE: Final = 0o711  # cells of other user numbers pass it; the directory around it is private
LAST_REAP_S: Final = 1.0
REAP_AGAIN_S: Final = 0.001

Inside = Callable[[Quarters, Report, socket.socket], int]
Refuse = Callable[[Report], None]


@dataclass(slots=True)
class House:
    """What a guardian makes ready outside, and removes again."""

    level: Level
    workers: str
    names: Sequence[str]  # of that directory, as the supervisor may call it
    ground: Ground
    work: str
    readable: Sequence[str]
    users: UserNumbers | None
    cages: Cages | None = None
    no_cages: str = ""
    range: Range | None = None

    def remove(self) -> None:
        """Remove all of it. No cell may live any more."""
        if self.range is not None:
            self.range.remove()
            self.range = None
        self.ground.remove()
        if self.cages is not None:
            self.cages.remove()


def hold_ends() -> None:
    """From now on SIGTERM waits until `guard` can end all in order; to be called before `prepare`.

    Else what is made ready outside would be left.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)


def prepare(
    level: Level, workers: str, work: str | None, package_paths: Sequence[str], uid_range: str
) -> House:
    """Make ready what is outside. `work` is a directory for the workers' own, if they may use it.

    Raises:
        ValueError: an argument is wrong.
        OSError, Unsealed: the machine does not give it.
    """
    readable = places.readable(package_paths)
    with step("seccomp"):
        this_machine()
    needed: tuple[int, ...] = (capabilities.SETUID, capabilities.SETGID)
    if level is Level.SEALED:
        needed = (*needed, capabilities.SYS_ADMIN)
    users = None
    if os.geteuid() == 0 and capabilities.has(*needed):
        users = user_numbers.parse(uid_range) if uid_range else user_numbers.usual(os.getpid() * 64)
    names = (workers, os.path.realpath(workers))  # inside, nobody could tell
    mode = 0o700 if users is None else DOOR_MODE
    ground = Ground(mode)
    house = House(level, workers, names, ground, work or "", readable, users)
    try:
        _furnish(house, mode)
    except BaseException:
        house.remove()
        raise
    return house


def _furnish(house: House, mode: int) -> None:
    if house.users is not None:
        os.chmod(house.workers, DOOR_MODE)
    if house.users is not None or not house.work:
        # Cells are users of their own, who may not walk the path to a directory of the user's.
        house.work = scratch.make(house.ground.path, "work")
        os.chmod(house.work, mode)
    try:
        house.cages = find()
    except NoCgroup as error:
        house.no_cages = str(error)
    house.range = Range(house.ground.path, house.workers)


def guard(house: House, warm_up: Callable[[], None], inside: Inside, refuse: Refuse) -> int:
    """Have a zygote in this house; returns how it ended, and everything in it has too.

    `warm_up` is called in the zygote while it is tried whether the level holds; `inside` when it
    does, with what tells the zygote to end, and its result is the exit status. `refuse` is called,
    in whichever process, when the level does not hold.
    """
    kernel.set_process(kernel.PR_SET_CHILD_SUBREAPER, 1)
    line, end = socket.socketpair()
    proc = namespaces.open_proc()
    assert house.range is not None
    targets = house.range.targets
    try:
        if house.level is Level.SEALED:
            with step("own user and process namespaces"):
                if house.users is None:
                    namespaces.leave_users(namespaces.PROCESSES, proc)
                else:
                    kernel.unshare(namespaces.PROCESSES)
        pid = os.fork()
    except Unsealed as error:
        refuse(findings.of_refusal(house.level, error))
        return EXIT_REFUSED
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        line.close()
        _end_with_parent(end)
        zygote = _Zygote(house, targets, proc, end, warm_up, inside, refuse)
        if house.level is Level.SEALED:
            _be_first(zygote)
        zygote.be()
    end.close()
    return _attend(pid, line, house)


def _attend(pid: int, line: socket.socket, house: House) -> int:
    """Wait for the zygote's end; hand on what ends it."""

    def pass_on(number: int, frame: object) -> None:
        with suppress(OSError):
            line.send(b"end")

    signal.signal(signal.SIGTERM, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    line.recv(KIB)  # the self-test is over, or the zygote is
    end_haste()  # the zygote has a session of its own, or will soon
    if house.range is not None:
        house.range.remove()
        house.range = None
    _, status = os.waitpid(pid, 0)
    _reap_rest()
    return os.waitstatus_to_exitcode(status)


def _reap_rest() -> None:
    """The kernel kills workers with their zygote; their files may go when they are gone."""
    deadline = real.monotonic() + LAST_REAP_S
    while real.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                real.sleep(REAP_AGAIN_S)
        except ChildProcessError:
            return


def _end_with_parent(end: socket.socket) -> None:
    kernel.set_process(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    end.setblocking(False)
    try:
        if end.recv(1, socket.MSG_PEEK) == b"":
            os._exit(EXIT_ALONE)  # it was gone before the death signal was set
    except BlockingIOError:
        return


def _be_first(zygote: _Zygote) -> NoReturn:
    """Be the first process of the namespace, with whose end everything in it ends.

    Not the zygote: a process that has the number 1 cannot tell itself from its cells.
    """
    try:
        zygote.enter()
        pid = os.fork()
        if pid == 0:
            zygote.be()
        kernel.close_from(3)
        while True:
            ended, status = os.waitpid(-1, 0)
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
    except Unsealed as error:
        zygote.refuse(findings.of_refusal(zygote.house.level, error))
        os._exit(EXIT_REFUSED)
    finally:
        os._exit(EXIT_ALONE)


@dataclass(slots=True)
class _Zygote:
    house: House
    targets: Targets
    proc: int
    end: socket.socket
    warm_up: Callable[[], None]
    inside: Inside
    refuse: Refuse

    def enter(self) -> None:
        """Enter the root of sealed cells."""
        enter_root(self.house.readable, self.house.workers)
        os.environ.update(HOME=jail_root.WORK, TMPDIR=jail_root.WORK)

    def be(self) -> NoReturn:
        """Try the level out, and be the zygote if it holds. Never returns."""
        status = EXIT_REFUSED
        try:
            status = self._run()
        except Unsealed as error:
            self.refuse(findings.of_refusal(self.house.level, error))
        except BaseException:  # noqa: BLE001 - ends the process
            traceback.print_exc()
        finally:
            os._exit(status)

    def _run(self) -> int:
        house = self.house
        if house.level is Level.RESTRICTED:
            kernel.set_process(kernel.PR_SET_CHILD_SUBREAPER, 1)
        if house.users is not None:
            with step("giving up capabilities"):
                capabilities.bound_nothing()
        quarters = self._quarters()
        trial = self_test.Trial(quarters, self.targets)
        try:
            self.warm_up()
        except BaseException:
            trial.end()
            raise
        report = self._report(trial.found())
        self.end.send(b"tried")
        if findings.missing(report):
            self.refuse(report)
            return EXIT_REFUSED
        return self.inside(quarters, report, self.end)

    def _quarters(self) -> Quarters:
        house = self.house
        if house.level is Level.SEALED:
            with step("own namespaces"):
                return SealedQuarters(self.proc, house.names, house.users, house.cages)
        with step("Landlock"):
            return RestrictedQuarters(
                self.proc, house.work, house.workers, house.readable, house.users, house.cages
            )

    def _report(self, found: dict[str, str]) -> Report:
        house = self.house
        cage = f"cgroup v{house.cages.files.version}" if house.cages else ""
        by = findings.mechanisms(
            house.level, is_root=house.users is not None, abi=landlock.abi(), cage=cage
        )
        properties = findings.of_test(house.level, found, by)
        properties.append(findings.sum_of_memory(cage, house.no_cages))
        return Report(house.level.value, tuple(properties))
