"""A first cell that tries to break out, before any other is made."""

from __future__ import annotations

import json
import os
import select
import signal
from typing import Final, NoReturn

from ...protocol.classes import dataclass
from ...protocol.limits import LIMITS_OF_LEVEL, MIB, Limits
from .. import real, scratch
from ..confinement import Ties, begin_session, changed_signals, confine
from ..exits import EXIT_DEFECT, EXIT_DONE
from .attempts import reach_supervisor, try_all
from .levels import PROMISED, Level, Unsealed, step
from .quarters import Berth, Quarters
from .targets import Targets

SECONDS_MAX: Final = 10.0
NOBODY: Final = bytes(16)
LIMITS: Final = Limits(
    cpu_seconds=10, open_files=64, file_bytes=8 * MIB, work_bytes=MIB, memory_bytes=512 * MIB
)
ANSWER_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Cell:
    quarters: Quarters
    berth: Berth
    targets: Targets
    door: str
    told: int
    zygote: int


class Trial:
    """A first cell that is being tried. `found` has to follow."""

    def __init__(self, quarters: Quarters, targets: Targets) -> None:
        """Begin.

        Raises:
            Unsealed: a cell cannot even be made here.
        """
        self._quarters = quarters
        with step("a first cell"):
            limits = LIMITS.over(LIMITS_OF_LEVEL[quarters.level.value])
            self._berth = quarters.prepare("self-test", limits)
            door = quarters.endpoint(f"ipc://{targets.door}").removeprefix("ipc://")
            self._heard, told = os.pipe()
            cell = _Cell(quarters, self._berth, targets, door, told, os.getpid())
            self._pid = quarters.fork(os.fork)
        if self._pid == 0:
            _be(cell)
        os.close(told)

    def found(self) -> dict[str, str]:
        """What came of each attempt; see `attempts.try_all`. Blocks until the cell has ended.

        Raises:
            Unsealed: a cell cannot even be confined here.
        """
        try:
            text = _hear(self._heard)
        finally:
            self.end()
        if not text.startswith("{"):
            name, _, reason = text.partition(" ")[2].strip().partition(": ")
            raise Unsealed(name or "a first cell", reason or "it ended without a word")
        return dict(json.loads(text))

    def end(self) -> None:
        """Nothing of it is left."""
        os.close(self._heard)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._quarters.clear(self._berth)
        if self._quarters.level is not Level.SEALED:
            scratch.remove(self._berth.work)


def _be(cell: _Cell) -> NoReturn:
    try:
        ties = Ties(NOBODY, cell.told)
        try:
            confine(cell.quarters, cell.berth, ties, cell.zygote, changed_signals())
            if cell.quarters.level is not Level.PROCESS:
                with step("the way to the supervisor"):
                    reach_supervisor(cell.door)
            cell.quarters.give_up_sockets(cell.berth)
            begin_session()
        except Unsealed as error:
            ties.confess(str(error))
        ties.pass_door()
        targets = cell.targets.beside((ties.confession, ties.memory))
        found = try_all(targets, PROMISED[cell.quarters.level])
        os.write(ties.confession, json.dumps(found).encode())
        os._exit(EXIT_DONE)
    finally:
        os._exit(EXIT_DEFECT)


def _hear(descriptor: int) -> str:
    parts = []
    deadline = real.monotonic() + SECONDS_MAX
    while (left_s := deadline - real.monotonic()) > 0:
        if select.select([descriptor], [], [], left_s)[0]:
            part = os.read(descriptor, ANSWER_BYTES)
            if not part:
                break
            parts.append(part)
    return b"".join(parts).decode()
