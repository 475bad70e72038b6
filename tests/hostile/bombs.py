"""Attacks on what the machine has: processes, memory, disk, descriptors. All of them bounded."""

from __future__ import annotations

import os
from contextlib import suppress

from tidemark import Limits

from fakes.process_watch import alive, marked
from fakes.waiting import until
from hostile.attack import Attack, Family, Scene, not_by_limit

MIB = 2**20
NO_PROGRAMS = "level process forbids no forks, and counts nobody's processes apart"
NO_COUNT = "without a user number of its own, a cell's threads are not counted apart"
NOT_COUNTED = "RLIMIT_AS does not count it, and level process forbids nothing"
NO_QUOTA = "only a file system of its own bounds the sum of a cell's files"
FORKS = 100
_TINY = Limits(memory_bytes=256 * MIB)

_FORKS = f"""
for _ in range({FORKS}):
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
ready()
await asyncio.sleep(30)
"""
_TREE = """
# Each process makes two, six deep: at most 126.
depth = 0
while depth < 6:
    depth += 1
    if os.fork() != 0 and os.fork() != 0:
        break
if depth == 6:
    time.sleep(30)
    os._exit(0)
ready()
time.sleep(30)
"""
_THREADS = """
never = threading.Event()
threading.stack_size(65536)
for _ in range(300):
    threading.Thread(target=never.wait, daemon=True).start()
breach("300 threads")
"""
_DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        time.sleep(60)
    os._exit(0)
os.wait()
breach("a daemon is on its way")
"""
_MEMORY = """
kept = []
while len(kept) < 512:
    kept.append(bytearray(os.urandom(1)) * 2**20)
breach("it has", len(kept), "MiB")
"""
_MEMFD = """
fd = os.memfd_create("bomb")
for _ in range(400):
    os.write(fd, b"x" * 2**20)
breach("400 MiB without a name")
"""
_SHM = """
import tempfile
with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix=target["mark"]) as file:
    for _ in range(400):
        file.write(b"x" * 2**20)
    breach("400 MiB in shared memory")
"""
_MAPPED = """
import mmap
kept = [mmap.mmap(-1, 64 * 2**20) for _ in range(8)]
for part in kept:
    for at in range(0, len(part), 4096):
        part[at] = 1
breach("512 MiB shared with nobody")
"""
_PIPES = """
import fcntl
held = 0
for _ in range(300):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        fcntl.fcntl(writing, 1031, 2**20)
    except OSError:
        pass
    try:
        while True:
            held += os.write(writing, b"x" * 65536)
    except BlockingIOError:
        pass
    if held > 256 * 2**20:
        breach("more than 256 MiB in pipes")
        break
"""
_DISK = """
for number in range(48):
    with open(f"part{number}", "wb") as file:
        file.write(b"x" * 2**20)
ready()
await asyncio.sleep(20)
"""
_ONE_FILE = """
with open("bomb", "wb") as file:
    for _ in range(48):
        file.write(b"x" * 2**20)
        file.flush()
breach("48 MiB in one file")
"""
_NAMES = """
for number in range(3000):
    open(f"n{number}", "w").close()
breach("3000 files")
"""
_DESCRIPTORS = """
kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(400)]
breach("400 open files")
"""
_SPARSE = """
with open("sparse", "wb") as file:
    file.truncate(2**40)
breach("a file of 1 TiB")
"""


def _multiplied(scene: Scene) -> str:
    """How many processes the cell is now."""

    def many() -> bool:
        return len(marked(str(scene.ground.state))) > FORKS // 2

    if scene.event is None and not many():
        with suppress(AssertionError):  # it may just not have come so far yet
            until(many, seconds=3)
    return f"it is more than {FORKS // 2} processes" if many() else ""


def _on_disk(scene: Scene) -> str:
    """How much the cell has written, looking through its process's eyes."""
    if not scene.pid or not alive(scene.pid):
        return ""
    work = f"/proc/{scene.pid}/cwd"
    sizes = [os.stat(f"{work}/{name}").st_size for name in os.listdir(work)]
    return f"{sum(sizes) // MIB} MiB are on the disk" if sum(sizes) > 32 * MIB else ""


def _limited(name: str, source: str, limit: str, limits: Limits) -> Attack:
    """One that every level ends."""
    return Attack(name, source, "limits of the process", not_by_limit(limit), limits=limits)


_UNCOUNTED = {"process": NO_PROGRAMS, "restricted as user": NO_COUNT}
ATTACKS = (
    Attack("fork bomb", _FORKS, "seccomp", _multiplied, open_at={"process": NO_PROGRAMS}),
    Attack(
        "bomb of forks of forks", _TREE, "seccomp", _multiplied, open_at={"process": NO_PROGRAMS}
    ),
    Attack("daemon", _DAEMON, "seccomp", open_at={"process": NO_PROGRAMS}),
    Attack(
        "thread bomb",
        _THREADS,
        "limit of processes, counted per user",
        not_by_limit("processes"),
        open_at=_UNCOUNTED,
        limits=Limits(processes=40),
    ),
    _limited("memory bomb", _MEMORY, "memory_bytes", _TINY),
    Attack(
        "memory bomb of shared mappings",
        _MAPPED,
        "limits of the process",
        limits=_TINY,
    ),
    Attack(
        "memory bomb without a name",
        _MEMFD,
        "seccomp",
        open_at={"process": NOT_COUNTED},
        limits=_TINY,
    ),
    Attack(
        "memory bomb in shared memory",
        _SHM,
        "Landlock; own root",
        open_at={"process": NOT_COUNTED},
        limits=_TINY,
    ),
    Attack(
        "memory bomb in pipes",
        _PIPES,
        "limit of open files",
        open_at={"process as root": NOT_COUNTED},
        depends={"process as user": "kernel.pipe-user-pages-soft"},
        limits=_TINY,
    ),
    Attack(
        "disk bomb",
        _DISK,
        "a file system of its own",
        _on_disk,
        open_at={"process": NO_QUOTA, "restricted": NO_QUOTA},
        limits=Limits(work_bytes=16 * MIB, file_bytes=8 * MIB),
    ),
    _limited("disk bomb of one file", _ONE_FILE, "file_bytes", Limits(file_bytes=8 * MIB)),
    _limited("disk bomb of nothing", _SPARSE, "file_bytes", Limits(file_bytes=8 * MIB)),
    Attack(
        "bomb of names",
        _NAMES,
        "a file system of its own",
        open_at={"process": NO_QUOTA, "restricted": NO_QUOTA},
        limits=Limits(work_bytes=4 * MIB),
    ),
    _limited("descriptor bomb", _DESCRIPTORS, "open_files", Limits(open_files=64)),
    _limited("processor bomb", "while True: pass", "cpu_seconds", Limits(cpu_seconds=1)),
    _limited(
        "waiting for ever",
        "await asyncio.Event().wait()",
        "wall_seconds",
        Limits(wall_seconds=1),
    ),
    _limited(
        "hanging for ever",
        "ctypes.PyDLL(None).sleep(1000)",
        "wall_seconds",
        Limits(wall_seconds=1),
    ),
)
FAMILY = Family("Bombs", ATTACKS)
