"""The filters of system calls, run by a small machine of our own, for each architecture."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from tidemark.worker.isolation import bpf, filters
from tidemark.worker.isolation.filters import Marks, Policy
from tidemark.worker.isolation.quarters import Sockets
from tidemark.worker.isolation.syscalls import ARCHITECTURES, LAST_KNOWN, NUMBERS, X32, Architecture

PID = 4_711
ALLOW = bpf.ALLOW
DENY = bpf.refuse(errno.EPERM)
# Numbers that everything needs, from the kernel's own tables.
READ = {"x86_64": 0, "aarch64": 63}
CLONE_OF_A_THREAD = 0x3D0F00


def judge(program: bytes, audit: int, number: int, *arguments: int) -> int:
    """What the kernel would do: the subset of its machine that the filters use."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    call = struct.pack("=IIQ6Q", number & 0xFFFF_FFFF, audit, 0, *padded)
    steps = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    for _ in range(len(steps)):
        code, if_true, if_false, constant = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", call, constant)
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x06:
            return int(constant)
        else:
            found = {
                0x15: accumulator == constant,
                0x35: accumulator >= constant,
                0x25: accumulator > constant,
                0x45: bool(accumulator & constant),
            }[code]
            at += if_true if found else if_false
    raise AssertionError("a program without an end")


@pytest.fixture(params=ARCHITECTURES.values(), ids=lambda each: each.name)
def machine(request: pytest.FixtureRequest) -> Architecture:
    found: Architecture = request.param
    return found


def cells(
    machine: Architecture, marks: Marks = Marks.REAL, sockets: Sockets = Sockets.KEPT
) -> bytes:
    return filters.for_process(filters.first_filter(machine, Policy(marks, sockets)), PID)


def verdict(machine: Architecture, program: bytes, name: str, *arguments: int) -> int | None:
    number = machine.number(name)
    return None if number is None else judge(program, machine.audit, number, *arguments)


def test_calls_of_another_machine_end_the_process(machine: Architecture) -> None:
    assert judge(cells(machine), 0x4000_0003, 3) == bpf.KILL_PROCESS  # i386's read
    assert judge(filters.no_sockets_filter(machine), 0x4000_0003, 3) == bpf.KILL_PROCESS


def test_what_nobody_judged_does_not_exist(machine: Architecture) -> None:
    program = cells(machine)
    assert judge(program, machine.audit, LAST_KNOWN) != bpf.refuse(errno.ENOSYS)
    assert judge(program, machine.audit, LAST_KNOWN + 1) == bpf.refuse(errno.ENOSYS)
    assert judge(program, machine.audit, X32 | 0) == bpf.refuse(errno.ENOSYS)
    assert judge(program, machine.audit, READ[machine.name]) == ALLOW


@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in filters.MARKS_OF_FILES])
def test_every_named_call_is_refused_or_judged(machine: Architecture, name: str) -> None:
    found = verdict(machine, cells(machine), name, 2**31, 2**31)
    judged_otherwise = {"socket", "socketpair", "ioctl", "clone3", "fcntl", "connect", "clone"}
    if name not in judged_otherwise:
        assert found in (None, DENY)


def test_marks_of_files_do_nothing_where_the_files_are_the_users(machine: Architecture) -> None:
    for name in filters.MARKS_OF_FILES.split():
        program = cells(machine, Marks.WITHOUT_EFFECT)
        assert verdict(machine, program, name) in (None, bpf.refuse(0))
        assert verdict(machine, cells(machine), name) in (None, ALLOW)


def test_threads_and_nothing_else_can_be_made(machine: Architecture) -> None:
    program = cells(machine)
    assert verdict(machine, program, "clone", CLONE_OF_A_THREAD) == ALLOW
    assert verdict(machine, program, "clone", 17) == DENY
    assert verdict(machine, program, "clone", CLONE_OF_A_THREAD | 0x1000_0000) == DENY
    assert verdict(machine, program, "clone3") == bpf.refuse(errno.ENOSYS)


def test_sockets_are_unix_streams(machine: Architecture) -> None:
    program = cells(machine)
    for name in ("socket", "socketpair"):
        stream = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
        assert verdict(machine, program, name, socket.AF_UNIX, stream) == ALLOW
        for family in range(1, 46):
            for kind in range(1, 11):
                if (family, kind) != (socket.AF_UNIX, socket.SOCK_STREAM):
                    assert verdict(machine, program, name, family, kind) != ALLOW
    last = filters.no_sockets_filter(machine)
    for name in ("socket", "connect", "seccomp"):
        assert verdict(machine, last, name, socket.AF_UNIX, socket.SOCK_STREAM) == DENY
    assert verdict(machine, cells(machine), "seccomp") == DENY
    assert verdict(machine, cells(machine, sockets=Sockets.GIVEN_UP), "seccomp") == ALLOW


def test_signals_and_limits_are_for_oneself(machine: Architecture) -> None:
    program = cells(machine)
    for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        assert verdict(machine, program, name, PID, 9) == ALLOW
        for other in (0, 1, PID + 1, 2**64 - 1, 2**64 - PID):
            assert verdict(machine, program, name, other, 9) == DENY
    for pid, expected in ((0, ALLOW), (PID, ALLOW), (1, DENY)):
        assert verdict(machine, program, "prlimit64", pid) == expected
    assert verdict(machine, program, "sched_setscheduler", 0, 0) == ALLOW
    assert verdict(machine, program, "sched_setscheduler", 0, 1) == DENY


def test_the_kernel_truncates_what_it_is_asked(machine: Architecture) -> None:
    program = cells(machine)
    high = 1 << 40
    assert verdict(machine, program, "ioctl", 0, high | 0x5412) == bpf.refuse(errno.ENOTTY)
    assert verdict(machine, program, "ioctl", 0, 0x5421) == ALLOW
    assert verdict(machine, program, "prctl", 38) == DENY
    assert verdict(machine, program, "prctl", 15) == ALLOW
    assert verdict(machine, program, "fcntl", 0, high | 8) == DENY
    assert verdict(machine, program, "fcntl", 0, 2) == ALLOW


def test_neighbours_with_one_verdict_are_one_run() -> None:
    assert list(bpf.runs({3: 1, 1: 1, 2: 1, 5: 1, 6: 2})) == [(1, 3, 1), (5, 5, 1), (6, 6, 2)]
    assert list(bpf.runs({})) == []


def test_a_program_that_the_kernel_would_not_take_is_an_error() -> None:
    with pytest.raises(ValueError, match="4097 instructions"):
        bpf.assemble([bpf.verdict(ALLOW)] * 4_097)
    with pytest.raises(ValueError, match="more than 255"):
        bpf.assemble(bpf.only_if_equal(1, [bpf.verdict(ALLOW)] * 256))
