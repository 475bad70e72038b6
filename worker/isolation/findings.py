"""What this machine gives of a level, property by property, and what would help."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from ...protocol.zygote_messages import Property, Report
from . import levels
from .attempts import ATTEMPTS, USES
from .levels import PROMISED, Level, Unsealed

BY_CONSTRUCTION: Final = "by construction: each step is done, or the cell is not"
_USERS: Final = (
    "allow user namespaces (sysctl user.max_user_namespaces, an AppArmor profile, or the "
    "container's seccomp profile), run as root, or take level restricted"
)
REMEDIES: Final = {
    "own user and process namespaces": _USERS,
    "a mount namespace": _USERS,
    "an own root": (
        "allow mounts in namespaces (the container's seccomp or AppArmor profile; Linux 5.12), or "
        "take level restricted"
    ),
    "an own user number": "give a --uid-range that is mapped here, and CAP_SETUID and CAP_SETGID",
    "Landlock": "boot Linux 6.2 or later with landlock in its list of security modules",
    "seccomp": "allow seccomp(2): the container's profile may deny it",
    "the interpreter": "use a Python outside of home directories, or level sealed",
}
_ELSE: Final = "see what the kernel said; level process needs none of this"


def mechanisms(level: Level, *, is_root: bool, abi: int, cage: str) -> dict[str, str]:
    """By what each property is enforced here."""
    own_user = "user number of its own" if is_root else "user namespace of its own"
    landlock = f"Landlock ABI {abi}" if abi else "no Landlock: a single layer"
    memory = f"address space (RLIMIT_AS){', ' + cage if cage else ''}"
    found = {
        levels.OWN_PROCESS: "a process of its own, SIGKILL by pidfd, dies with the zygote",
        levels.NOTHING_INHERITED: "close_range, own session, scrubbed environment",
        levels.LIMITS: f"rlimits; {memory}",
    }
    if level is Level.PROCESS:
        return found
    seal = level is Level.SEALED
    shared = own_user if is_root else "no_new_privs"
    found |= {
        levels.NO_PRIVILEGES: f"no capabilities, no_new_privs, not dumpable; "
        f"{own_user if seal else shared}",
        levels.USABLE: "read-only binds" if seal else "Landlock's rules",
        levels.FILES: f"own root, {landlock}" if seal else f"{landlock}; {shared}",
        levels.PROGRAMS: "seccomp",
        levels.NETWORK: "seccomp, empty network namespace" if seal else "seccomp",
        levels.HOST_SOCKETS: (
            "no such path in the root, empty network namespace"
            if seal
            else "seccomp: no socket after the worker is connected"
        ),
        levels.OTHER_PROCESSES: "process namespace, seccomp" if seal else f"seccomp, {landlock}",
        levels.SHARED_NAMES: "namespaces, seccomp" if seal else f"seccomp, {landlock}",
    }
    if seal:
        found[levels.DISK] = "tmpfs with a size and a number of files"
        found[levels.OWN_ROOT] = "pivot_root; no /proc, /sys, /dev/shm"
    return found


def of_test(level: Level, found: dict[str, str], by: dict[str, str]) -> list[Property]:
    """Properties, from what a self-test cell found."""
    properties = []
    for name in PROMISED[level]:
        tried = [each.what for each in (*USES, *ATTEMPTS) if each.of == name]
        missed = [what for what in tried if what not in found]
        wrong = [found[what] for what in tried if found.get(what)]
        wrong += [f"not tried: {what}" for what in missed]
        remedy = ""
        if wrong:
            remedy = REMEDIES["the interpreter"] if name == levels.USABLE else _ELSE
        how = "; ".join(tried) or BY_CONSTRUCTION
        reason = "; ".join(wrong)[:2000]
        properties.append(Property(name, not wrong, True, by[name], how, reason, remedy))
    return properties


def of_open() -> Report:
    """The report of level `process`, which promises nothing that a machine could refuse."""
    by = mechanisms(Level.PROCESS, is_root=False, abi=0, cage="")
    properties = [
        Property(name, True, True, by[name], BY_CONSTRUCTION, "", "")
        for name in PROMISED[Level.PROCESS]
    ]
    return Report(Level.PROCESS.value, tuple(properties))


def of_refusal(level: Level, refusal: Unsealed) -> Report:
    """The report of a level that could not even be entered."""
    remedy = REMEDIES.get(refusal.step, _ELSE)
    below = PROMISED[Level.PROCESS]
    properties = [
        Property(name, False, True, "", "", f"not reached: {refusal}"[:2000], remedy)
        for name in PROMISED[level]
        if name not in below
    ]
    return Report(level.value, tuple(properties))


def of_failed_preload(level: Level, what: str) -> Report:
    """The report of a level whose zygote cannot import what all its cells are to have."""
    remedy = "install it for this Python, name its directory with --package-path, or leave it out"
    failed = Property(levels.USABLE, False, True, "", "import it", what, remedy)
    return Report(level.value, (failed,))


def sum_of_memory(cage: str, reason: str) -> Property:
    """Whether all memory of a cell together is bounded, which no level needs."""
    how = "make a group and give it a bound"
    remedy = reason.rpartition("; ")[2] if reason else ""
    return Property(levels.MEMORY_SUM, not reason, False, cage, how, reason[:2000], remedy)


def missing(report: Report) -> list[Property]:
    """What is needed and does not hold."""
    return [each for each in report.properties if each.needed and not each.held]


def as_json(report: Report) -> str:
    """One line, for people's programs."""
    found: dict[str, Any] = asdict(report)
    found["granted"] = not missing(report)
    return json.dumps(found)
