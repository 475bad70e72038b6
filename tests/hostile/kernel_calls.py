"""Attacks on the kernel's surface: calls that a cell has no use for."""

from __future__ import annotations

from hostile.attack import Attack, Family

OPEN = "level process filters no system calls"
ROOT = "root's cells keep root's privileges at level process"
MACHINE = "what this kernel has, and gives to users"
_TRY = """
number = {number}
arguments = ({arguments},)
ctypes.set_errno(0)
libc.syscall.restype = ctypes.c_long
result = libc.syscall(ctypes.c_long(number), *arguments)
if result != -1:
    breach("system call", number, "gives", result)
"""
_X86 = "import platform\nif platform.machine() != 'x86_64': exit()\n"
_MACHINE_CODE = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex({code!r}))
function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
found = function()
if 0 < found < 2**22:
    breach("the kernel answers", found)
"""


def _calls(name: str, number: int, arguments: str, *, root_only: str = "") -> Attack:
    """`root_only`: why an ordinary user is refused by the kernel itself."""
    source = _X86 + _TRY.format(number=number, arguments=arguments)
    if root_only:
        return Attack(name, source, "seccomp", open_at={"process as root": ROOT})
    return Attack(name, source, "seccomp", open_at={"process": OPEN})


def _depends(name: str, number: int, arguments: str) -> Attack:
    source = _X86 + _TRY.format(number=number, arguments=arguments)
    return Attack(name, source, "seccomp", depends={"process": MACHINE})


def _made_and_removed(name: str, make: str, remove: str) -> Attack:
    """What would stay on the machine otherwise."""
    rest = "0, 0" if remove == "semctl" else "0, None"
    source = f"made = {make}\nbreach('it has', made)\nlibc.{remove}(made, {rest})\n"
    return Attack(name, source, "seccomp; own shared memory", open_at={"process": OPEN})


_BUFFER = "ctypes.create_string_buffer(128)"
ATTACKS = (
    _depends("io_uring", 425, f"4, {_BUFFER}"),
    _depends(
        "bpf", 321, "0, ctypes.create_string_buffer(struct.pack('IIII', 2, 4, 4, 1), 128), 72"
    ),
    _depends("userfaultfd", 323, "1"),
    _depends(
        "perf_event_open",
        298,
        "ctypes.create_string_buffer(struct.pack('II', 1, 112), 112), 0, -1, -1, 0",
    ),
    _depends("keyrings of the kernel", 250, "0, -4, 1"),
    _calls("memory without a name", 319, "b'poison', 0"),
    _made_and_removed("shared memory of System V", "call('shmget', 0, 4096, 0o1600)", "shmctl"),
    _made_and_removed("messages of System V", "call('msgget', 0, 0o1600)", "msgctl"),
    _made_and_removed("semaphores of System V", "call('semget', 0, 1, 0o1600)", "semctl"),
    Attack(
        "a message queue",
        """
path = ("/" + target["mark"]).encode()
rt = ctypes.CDLL("librt.so.1", use_errno=True)
if rt.mq_open(path, os.O_RDWR | os.O_CREAT, 0o600, None) != -1:
    rt.mq_unlink(path)
    breach("it has made a queue")
""",
        "seccomp; own shared memory",
        depends={"process": MACHINE},
    ),
    _calls("another personality", 135, "0x0040000"),
    _depends("fanotify", 300, "0x200, 0"),
    _depends("secret memory", 447, "0"),
    _calls("kcmp", 312, "os.getpid(), os.getpid(), 1, 0, 0"),
    _depends("a chroot", 161, "b'.'"),
    Attack(
        "calls of 32-bit programs",
        # mov eax, 20 (getpid); int 0x80; ret
        _X86 + _MACHINE_CODE.format(code="b814000000cd80c3"),
        "seccomp",
        depends={"process": "whether the kernel runs 32-bit programs"},
    ),
    Attack(
        "calls of the x32 table",
        _X86 + _TRY.format(number=0x40000000 + 39, arguments="0"),
        "seccomp",
        depends={"process": "whether the kernel has the x32 table"},
    ),
    Attack(
        "load a filter, or widen its Landlock",
        """
if libc.prctl(38, 1, 0, 0, 0) == 0:
    pass
rules = ctypes.create_string_buffer(struct.pack("QQQ", 1, 0, 0), 24)
if libc.syscall(444, rules, 8, 0) >= 0:
    breach("it can make rules")
""",
        "seccomp",
        depends={"process": MACHINE},
    ),
    Attack(
        "be dumped with a core",
        """
resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
breach("it may leave core files")
""",
        "limits of the process",
        depends={"process as root": "whether this root may raise limits (CAP_SYS_RESOURCE)"},
    ),
    Attack(
        "raise its own limits",
        """
for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS):
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (hard + 1000, hard + 1000) if hard > 0 else (hard, hard))
    except (OSError, ValueError):
        continue
    breach("limit", kind)
""",
        "limits of the process",
        open_at={"process": "level process sets no limits but those that are asked for"},
    ),
    Attack(
        "get a privilege",
        """
class Head(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
class Sets(ctypes.Structure):
    _fields_ = [("e", ctypes.c_uint32), ("p", ctypes.c_uint32), ("i", ctypes.c_uint32)]
have = (Sets * 2)()
call("capget", ctypes.byref(Head(0x20080522, 0)), have)
if any(each.p or each.e for each in have):
    breach("capabilities", [hex(each.p) for each in have])
""",
        "no capabilities",
        open_at={"process as root": ROOT},
    ),
)
FAMILY = Family("The kernel's surface", ATTACKS)
