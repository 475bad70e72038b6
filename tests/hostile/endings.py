"""Attacks by the way in which a cell hangs, crashes or ends."""

from __future__ import annotations

from hostile.attack import Attack, Family, Scene, has_ended

_NO_COMPLETION = "only its own completion completes a cell"
_KILLED = "SIGKILL from outside"


def _says_nothing_else(scene: Scene) -> str:
    """For a cell that has ended while something of it hangs."""
    return "" if scene.event is None or scene.event.reason != "lost" else "the cell was lost"


def _crash(name: str, source: str) -> Attack:
    return Attack(name, source, _NO_COMPLETION, has_ended)


def _hang(name: str, source: str) -> Attack:
    return Attack(name, "ready()\nawait asyncio.sleep(0.1)\n" + source, _KILLED, has_ended)


ATTACKS = (
    _crash("segmentation fault", "ctypes.string_at(8)"),
    _crash("abort", "os.abort()"),
    _crash("exit with status 0 and no completion", "print('done')\nos._exit(0)"),
    _crash(
        "exit with status 0 in a thread",
        "threading.Thread(target=os._exit, args=(0,)).start()\nawait asyncio.sleep(5)",
    ),
    _crash(
        "stack overflow in C",
        "sys.setrecursionlimit(10**9)\ndef f(*_): [0].sort(key=f)\nf()",
    ),
    _crash(
        "overflow of nested lists",
        """
nest = []
for _ in range(10**6):
    nest = [nest]
sys.setrecursionlimit(10**9)
repr(nest)
ctypes.string_at(8)
""",
    ),
    _crash("illegal instruction", "os.kill(os.getpid(), signal.SIGILL)\nctypes.string_at(8)"),
    _crash("kill itself", "os.kill(os.getpid(), signal.SIGKILL)\nctypes.string_at(8)"),
    _crash(
        "kill its process group",
        "try:\n    os.killpg(os.getpgrp(), signal.SIGKILL)\nfinally:\n    ctypes.string_at(8)",
    ),
    _hang("stop itself", "os.kill(os.getpid(), signal.SIGSTOP)\nos._exit(0)"),
    _hang("hang in C with the interpreter's lock", "ctypes.PyDLL(None).sleep(1000)"),
    _hang("hang in a loop", "while True: pass"),
    _hang("hang in arithmetic", "10 ** 10 ** 9"),
    _hang("hang in a regular expression", "import re\nre.match('(a*)*b', 'a' * 40)"),
    _hang(
        "ignore every signal",
        """
for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True:
    pass
""",
    ),
    _hang(
        "spin in many threads",
        """
def spin():
    while True: pass
for _ in range(20):
    threading.Thread(target=spin).start()
await asyncio.sleep(100)
""",
    ),
    _hang(
        "catch every exception",
        """
while True:
    try:
        time.sleep(0.1)
    except BaseException:
        pass
""",
    ),
    Attack(
        "hang at the end in a finalizer",
        """
class Trap:
    def __del__(self):
        while True: pass
trap = Trap()
ready()
del trap
""",
        _KILLED,
        has_ended,
    ),
    Attack(
        "hang at exit",
        """
import atexit
atexit.register(time.sleep, 1000)
threading.Thread(target=time.sleep, args=(1000,)).start()
""",
        "a worker does not wait for what the cell registers",
        _says_nothing_else,
    ),
    Attack(
        "hang while it is cancelled",
        """
async def never():
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            ready()
            time.sleep(1000)
asyncio.create_task(never())
await asyncio.sleep(0.01)
""",
        _KILLED,
    ),
)
FAMILY = Family("Hangs, crashes and ends", ATTACKS)
