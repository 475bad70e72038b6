"""Which system calls a cell may make, and how.

What is not named here is allowed: a cell is any Python program with any library. What the tables do
not know does not exist for a cell (ENOSYS), so a newer kernel gives it nothing that nobody judged.
"""

from __future__ import annotations

import errno
import socket
import struct
from enum import Enum
from functools import cache
from typing import Final

from ...protocol.classes import dataclass
from . import bpf
from .bpf import Instruction
from .quarters import Sockets
from .syscalls import LAST_KNOWN, X32, Architecture

NOT_PERMITTED: Final = bpf.refuse(errno.EPERM)
NOT_THERE: Final = bpf.refuse(errno.ENOSYS)
NO_EFFECT: Final = bpf.refuse(0)

MOUNTS: Final = (
    "mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick "
    "mount_setattr setns unshare"
)
OTHER_PROCESSES: Final = (
    "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_open "
    "pidfd_getfd pidfd_send_signal kcmp tkill setpriority sched_setattr sched_setparam "
    "sched_setaffinity ioprio_set migrate_pages move_pages set_mempolicy_home_node"
)
KERNEL_SURFACE: Final = (
    "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register add_key "
    "request_key keyctl name_to_handle_at open_by_handle_at fanotify_init fanotify_mark quotactl "
    "quotactl_fd personality vmsplice splice tee iopl ioperm modify_ldt lookup_dcookie uselib "
    "ustat sysfs _sysctl nfsservctl query_module get_kernel_syms mknod mknodat"
)
SHARED_MEMORY: Final = (
    "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open "
    "mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr memfd_create memfd_secret"
)
MACHINE: Final = (
    "init_module finit_module delete_module create_module kexec_load kexec_file_load settimeofday "
    "clock_settime clock_adjtime adjtimex syslog acct swapon swapoff reboot sethostname "
    "setdomainname vhangup"
)
# Not setsid, which a worker does last of all: the leader of a session can begin no other.
IDENTITY: Final = (
    "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset "
    "setpgid landlock_create_ruleset landlock_add_rule landlock_restrict_self"
)
NEW_PROGRAMS: Final = "fork vfork execve execveat"
LISTENING: Final = "bind listen accept accept4"
# Landlock does not see these, so with the user's own number a cell could do them to all of the
# user's files. Refusing them would break copying of files; so they do nothing.
MARKS_OF_FILES: Final = (
    "chmod fchmod fchmodat chown fchown lchown fchownat utime utimes futimesat utimensat setxattr "
    "lsetxattr fsetxattr removexattr lremovexattr fremovexattr"
)
SOCKETS: Final = "socket connect seccomp"

CLONE_THREAD: Final = 0x0001_0000
CLONE_NEW_NAMESPACES: Final = 0x7E02_0080  # every CLONE_NEW* bit
SOCKET_KIND: Final = 0xF  # the rest of the argument are flags
PRCTL_ALLOWED: Final = (
    3,  # GET_DUMPABLE
    15,  # SET_NAME
    16,  # GET_NAME
    21,  # GET_SECCOMP
    23,  # CAPBSET_READ
    39,  # GET_NO_NEW_PRIVS
    0x5356_4D41,  # SET_VMA: names of anonymous memory, by glibc
)
IOCTL_ALLOWED: Final = (
    0x5401,  # TCGETS: isatty
    0x540F,  # TIOCGPGRP
    0x5413,  # TIOCGWINSZ
    0x541B,  # FIONREAD
    0x5421,  # FIONBIO
    0x5450,  # FIONCLEX
    0x5451,  # FIOCLEX
)
_ANY_PROCESS: Final = 0x7EAD_BEEF  # stands for the number of the cell's process
# F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY: signals to whom one likes.
FCNTL_DENIED: Final = (8, 10, 15, 1024, 1026)


class Marks(Enum):
    """What becomes of changes to the owner, mode and times of files."""

    REAL = "real"  # the cell can reach no files but its own, or has a user number of its own
    WITHOUT_EFFECT = "without effect"


@dataclass(frozen=True, slots=True)
class Policy:
    """What varies between filters.

    Attributes:
        sockets: when they are given up later, the filter for that must still be loaded.
    """

    marks: Marks
    sockets: Sockets


def for_process(program: bytes, pid: int) -> bytes:
    """The program for a process with this number."""
    return program.replace(struct.pack("=I", _ANY_PROCESS), struct.pack("=I", pid))


@cache
def first_filter(architecture: Architecture, policy: Policy) -> bytes:
    """The program for a cell; `for_process` must complete it."""
    program: list[Instruction] = [
        bpf.load_architecture(),
        *bpf.unless_equal(architecture.audit, bpf.KILL_PROCESS),
        bpf.load_number(),
    ]
    if architecture.name == "x86_64":
        program += bpf.if_any_bit(X32, NOT_THERE)
    program += bpf.if_above(LAST_KNOWN, NOT_THERE)
    for low, high, then in bpf.runs(_verdicts(architecture, policy)):
        program += bpf.if_between(low, high, then)
    for name, block in _judged(_ANY_PROCESS).items():
        number = architecture.number(name)
        if number is not None:
            program += bpf.only_if_equal(number, block)
    program.append(bpf.verdict(bpf.ALLOW))
    return bpf.assemble(program)


@cache
def no_sockets_filter(architecture: Architecture) -> bytes:
    """The program after which no socket can be opened or connected, nor another filter loaded."""
    program = [
        bpf.load_architecture(),
        *bpf.unless_equal(architecture.audit, bpf.KILL_PROCESS),
        bpf.load_number(),
    ]
    for number in _numbers(architecture, SOCKETS):
        program += bpf.if_equal(number, NOT_PERMITTED)
    program.append(bpf.verdict(bpf.ALLOW))
    return bpf.assemble(program)


def without(architecture: Architecture, names: str) -> bytes:
    """A program that refuses only these (EPERM): a machine that does not give them."""
    program = [bpf.load_number()]
    for number in _numbers(architecture, names):
        program += bpf.if_equal(number, NOT_PERMITTED)
    program.append(bpf.verdict(bpf.ALLOW))
    return bpf.assemble(program)


def _numbers(architecture: Architecture, names: str) -> list[int]:
    numbers = [architecture.number(name) for name in names.split()]
    return [number for number in numbers if number is not None]


def _verdicts(architecture: Architecture, policy: Policy) -> dict[int, int]:
    groups = [MOUNTS, OTHER_PROCESSES, KERNEL_SURFACE, SHARED_MEMORY, MACHINE, IDENTITY]
    groups += [NEW_PROGRAMS, LISTENING]
    if policy.sockets is Sockets.KEPT:
        groups.append("seccomp")
    refused = dict.fromkeys(_numbers(architecture, " ".join(groups)), NOT_PERMITTED)
    if policy.marks is Marks.WITHOUT_EFFECT:
        refused.update(dict.fromkeys(_numbers(architecture, MARKS_OF_FILES), NO_EFFECT))
    # Its flags are in memory, where a filter cannot look; libc then takes `clone`.
    refused.update(dict.fromkeys(_numbers(architecture, "clone3"), NOT_THERE))
    return refused


def _judged(pid: int) -> dict[str, list[Instruction]]:
    """Calls that depend on their arguments."""
    own_only = [
        bpf.load_argument(0),
        *bpf.if_equal(pid, bpf.ALLOW),
        bpf.verdict(NOT_PERMITTED),
    ]
    unix_streams = [
        bpf.load_argument(0),
        *bpf.unless_equal(socket.AF_UNIX, bpf.refuse(errno.EAFNOSUPPORT)),
        bpf.load_argument(1),
        bpf.mask(SOCKET_KIND),
        # A datagram socket, even of a pair, can be turned to any address.
        *bpf.unless_equal(socket.SOCK_STREAM, bpf.refuse(errno.ESOCKTNOSUPPORT)),
        bpf.verdict(bpf.ALLOW),
    ]
    return {
        "clone": [
            bpf.load_argument(0),
            *bpf.if_any_bit(CLONE_NEW_NAMESPACES, NOT_PERMITTED),
            *bpf.if_any_bit(CLONE_THREAD, bpf.ALLOW),
            bpf.verdict(NOT_PERMITTED),
        ],
        "socket": unix_streams,
        "socketpair": unix_streams,
        "prlimit64": [
            bpf.load_argument(0),
            *bpf.if_equal(0, bpf.ALLOW),
            *bpf.if_equal(pid, bpf.ALLOW),
            bpf.verdict(NOT_PERMITTED),
        ],
        "kill": own_only,
        "tgkill": own_only,
        "rt_sigqueueinfo": own_only,
        "rt_tgsigqueueinfo": own_only,
        # libzmq asks for it, with the policy that it has, and ends the process when refused.
        "sched_setscheduler": [
            bpf.load_argument(1),
            *bpf.if_equal(0, bpf.ALLOW),
            bpf.verdict(NOT_PERMITTED),
        ],
        "prctl": _one_of(0, PRCTL_ALLOWED, NOT_PERMITTED),
        "ioctl": _one_of(1, IOCTL_ALLOWED, bpf.refuse(errno.ENOTTY)),
        "fcntl": [
            bpf.load_argument(1),
            *[step for command in FCNTL_DENIED for step in bpf.if_equal(command, NOT_PERMITTED)],
            bpf.verdict(bpf.ALLOW),
        ],
    }


def _one_of(index: int, values: tuple[int, ...], otherwise: int) -> list[Instruction]:
    return [
        bpf.load_argument(index),
        *[step for value in values for step in bpf.if_equal(value, bpf.ALLOW)],
        bpf.verdict(otherwise),
    ]
