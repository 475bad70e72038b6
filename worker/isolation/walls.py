"""The steps that `restricted` and `sealed` share."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Final

from ...protocol.limits import Limits
from .. import kernel
from . import capabilities, landlock, places, seccomp
from .cgroups import OWN_BYTES, Cage, Cages
from .landlock import Rule
from .levels import step

_PLACE_FLAGS: Final = os.O_PATH | os.O_CLOEXEC
NOT_DUMPABLE: Final = 0


def open_rules(readable: Sequence[str]) -> list[Rule]:
    """Landlock's rules for these places and the devices; the descriptors stay open.

    Raises:
        OSError: one of them cannot be opened.
    """
    rules = [Rule(os.open(place, _PLACE_FLAGS), landlock.READ) for place in readable]
    for device in places.DEVICES:
        if os.path.exists(device):
            rules.append(Rule(os.open(device, _PLACE_FLAGS), landlock.DEVICE))
    return rules


def cage_for(cages: Cages | None, limits: Limits) -> Cage | None:
    """A group for a cell with these limits, where groups can be made.

    Raises:
        OSError: the system refused.
    """
    if cages is None or limits.memory_bytes is None:
        return None
    return cages.make(limits.memory_bytes + (limits.work_bytes or 0) + OWN_BYTES)


def become(user: int | None) -> None:
    """Have this user number, and no other, and no privilege at all.

    Raises:
        Unsealed.
    """
    if user is not None:
        with step("an own user number"):
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
    with step("giving up capabilities"):
        capabilities.drop_all()
    with step("no new privileges"):
        kernel.set_process(kernel.PR_SET_NO_NEW_PRIVS, 1)
    with step("not dumpable"):
        kernel.set_process(kernel.PR_SET_DUMPABLE, NOT_DUMPABLE)
    with step("death with the zygote"):
        # Not before: changing the user number takes it back.
        kernel.set_process(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def wall_off(rules: Sequence[Rule], work: str, abi: int) -> None:
    """Landlock: these rules, and the work directory.

    Raises:
        Unsealed.
    """
    with step("Landlock"):
        place = os.open(work, _PLACE_FLAGS)
        landlock.restrict([*rules, Rule(place, landlock.WORK)], abi)


def bar(program: bytes) -> None:
    """seccomp: this filter.

    Raises:
        Unsealed.
    """
    with step("seccomp"):
        seccomp.load(program)
