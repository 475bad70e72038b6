"""Attacks on other processes: signals, tracing, limits, programs."""

from __future__ import annotations

from pathlib import Path

from fakes.process_watch import alive
from hostile.attack import Attack, Family, Scene

OPEN = "level process keeps nobody from the processes of the same user"
ROOT = "root's cells keep root's privileges at level process"
TRACING = "the machine's rules for tracing (kernel.yama.ptrace_scope)"
PROGRAMS = "level process forbids no programs"
_SECCOMP = "seccomp, own user (root); own processes"


def _ids(scene: Scene) -> str:
    """Whether the worker has become somebody else, or has entered a namespace."""
    if not scene.pid or not alive(scene.pid):
        return ""
    status = Path(f"/proc/{scene.pid}/status").read_text().splitlines()
    users = next(line.split()[1:] for line in status if line.startswith("Uid:"))
    return f"its users are {users}" if "0" in users and len(set(users)) > 1 else ""


def _on(who: str, act: str) -> str:
    return f"pid = target[{who!r}]\n{act}"


def _plain(name: str, source: str, by: str = _SECCOMP) -> Attack:
    return Attack(name, source, by, open_at={"process": OPEN})


def _tracing(name: str, source: str) -> Attack:
    return Attack(
        name, source, _SECCOMP, open_at={"process as root": ROOT}, depends={"process": TRACING}
    )


_READ_VM = """
class Vector(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
got = ctypes.create_string_buffer(64)
own, far = Vector(ctypes.addressof(got), 60), Vector(target["address"], 60)
call("process_vm_readv", target["victim"], ctypes.byref(own), 1, ctypes.byref(far), 1, 0)
print(got.value.decode())
"""
_PEEK = """
pid = target["victim"]
libc.ptrace.restype = ctypes.c_long
call("ptrace", 16, pid, None, None)
os.waitpid(pid, 0)
places = [ctypes.c_void_p(target["address"] + at) for at in range(0, 32, 8)]
words = [libc.ptrace(2, pid, place, None) for place in places]
print(b"".join(struct.pack("q", word) for word in words).split(b"\\0")[0].decode())
call("ptrace", 17, pid, None, None)
"""
_MEM = """
with open(f"/proc/{target['victim']}/mem", "rb", buffering=0) as memory:
    memory.seek(target["address"])
    print(memory.read(32).split(b"\\0")[0].decode())
"""
_STEAL = """
pidfd = call("syscall", 434, target["victim"], 0)
stolen = call("syscall", 438, pidfd, target["descriptor"], 0)
print(os.pread(stolen, 100, 0).decode())
"""
_SCHEDULE = """
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    breach("it runs before everybody else")
except OSError:
    pass
"""

ATTACKS = (
    _plain("kill a process", _on("victim", "os.kill(pid, signal.SIGKILL)")),
    _plain("stop a process", _on("victim", "os.kill(pid, signal.SIGSTOP)")),
    _plain("kill the supervisor", _on("supervisor", "os.kill(pid, signal.SIGKILL)")),
    _plain("kill the zygote", _on("guardian", "os.kill(pid, signal.SIGKILL)")),
    _plain(
        "kill the worker of a sibling",
        _on("sibling", "os.kill(pid, signal.SIGKILL)"),
    ),
    _plain(
        "stop the worker of a sibling",
        _on("sibling", "os.kill(pid, signal.SIGSTOP)"),
    ),
    _plain(
        "kill its parent",
        "parent = os.getppid()\nif parent > 1: os.kill(parent, signal.SIGKILL)\n",
    ),
    _plain(
        "ask whether it may signal everybody",
        "os.kill(-1, 0)\nbreach('it may')",
    ),
    _plain(
        "signal by a pidfd",
        """
pidfd = call("syscall", 434, target["victim"], 0)
call("syscall", 424, pidfd, int(signal.SIGKILL), None, 0)
""",
    ),
    _plain(
        "have the kernel signal by a descriptor's owner",
        """
import fcntl
first, second = socket.socketpair()
fcntl.fcntl(first, 8, target["victim"])
fcntl.fcntl(first, 10, int(signal.SIGKILL))
fcntl.fcntl(first, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
second.send(b"x")
""",
    ),
    _tracing("trace a process", _PEEK),
    _tracing("read the memory of a process", _READ_VM),
    _tracing("read the memory of a process from /proc", _MEM),
    _tracing("steal an open file from a process", _STEAL),
    _plain(
        "lower the limits of a process",
        _on("victim", "resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, 5))"),
    ),
    _plain(
        "slow a process down",
        _on("victim", "os.setpriority(os.PRIO_PROCESS, pid, 19)"),
    ),
    Attack(
        "put a process on one processor",
        _on("victim", "os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})"),
        _SECCOMP,
        open_at={"process": OPEN},
    ),
    Attack(
        "run before everybody else",
        _SCHEDULE,
        "seccomp, no capabilities",
        open_at={"process as root": ROOT},
        depends={"process as user": "RLIMIT_RTPRIO of the supervisor's user"},
    ),
    Attack(
        "look at the processes of the machine",
        """
for name in os.listdir("/proc"):
    if name == str(target["supervisor"]):
        breach("it sees the supervisor")
""",
        "Landlock; own root without /proc",
        open_at={"process": "level process hides no processes"},
    ),
    Attack(
        "start a program",
        """
subprocess.run(["/bin/sh", "-c", 'echo poison > "$0"/poison', target["open"]], check=True)
""",
        "seccomp",
        open_at={"process": PROGRAMS},
    ),
    Attack(
        "become a program",
        'os.execv("/bin/sh", ["sh", "-c", \'echo poison > "$0"/poison; sleep 2\', target["open"]])',
        "seccomp",
        open_at={"process": PROGRAMS},
    ),
    Attack(
        "become root",
        """
for act in (lambda: os.setuid(0), lambda: os.setresuid(-1, 0, -1), lambda: os.setgroups([0])):
    try:
        act()
    except OSError:
        continue
    if os.getgroups() == [0]:
        breach("it chooses its groups")
ready()
await asyncio.sleep(10)
""",
        "seccomp, no capabilities",
        _ids,
        open_at={"process as root": ROOT},
    ),
    Attack(
        "make namespaces in a fork",
        """
pid = os.fork()
if pid == 0:
    os._exit(0 if libc.unshare(0x10000000) == 0 else 1)
if os.waitpid(pid, 0)[1] == 0:
    breach("a namespace of its own, with all privileges in it")
""",
        "seccomp",
        depends={"process": "whether the machine gives namespaces to users"},
    ),
)
FAMILY = Family("Other processes", ATTACKS)
