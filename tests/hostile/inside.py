"""Attacks on Tidemark's own code in the cell's process: all of it is the cell's to ruin."""

from __future__ import annotations

from contextlib import suppress

from fakes.waiting import until
from hostile.attack import Attack, Family, Scene, has_ended, lives_on
from hostile.floods import OPEN_CALLS
from hostile.wire import WIRE

WORTHLESS = "nothing in the cell's process is trusted"


def _unreadable(scene: Scene) -> str:
    """Whether the host can read what the cell has stored, or that it has stored nothing."""
    scene.session.stored.get("k")
    return ""


def _only_itself(name: str, source: str) -> Attack:
    """It may ruin its own cell in any way; it is judged by everybody else."""
    return Attack(name, WIRE + source, WORTHLESS, seconds=1, may_break="on purpose")


def _not_moved(scene: Scene) -> str:
    """A paused cell is where it was, or has ended; no generation was consumed."""
    with suppress(AssertionError):  # it is held, if nothing moves within that time
        until(lambda: _moved(scene) or scene.cell.status().state == "completed", seconds=1)
    return _moved(scene)


def _moved(scene: Scene) -> str:
    status = scene.cell.status()
    if status.consumed_generation:
        return f"generation {status.consumed_generation} was consumed by nobody"
    frontier = scene.cell.frontier() if hasattr(scene.cell, "frontier") else None
    if frontier is not None and frontier.generation != 1:
        return f"it has frontier {frontier.generation}"
    return ""


# Without its pause: the thread must be there before the first frontier.
AT_ONCE = WIRE.replace("await asyncio.sleep(0.02)", "")


def _paused(name: str, act: str) -> Attack:
    """A thread of a paused cell says what only the gate may say."""
    source = f"""{AT_ONCE}
import time as _time
def act():
    while link.steps is None or stream.pending:
        pass
    _time.sleep(0.2)
    try:
        {act}
    except Exception as error:
        text("BROKEN", repr(error))
threading.Thread(target=act, daemon=True).start()
await tools.wait(value=0)
"""
    return Attack(
        name, source, "the supervisor's own state", _not_moved, pausable="yes", tools=OPEN_CALLS
    )


ATTACKS = (
    _only_itself("hold the link's lock for ever", "link.lock.acquire()\nawait asyncio.sleep(100)"),
    _only_itself("close every descriptor", "os.closerange(3, 1024)\nawait asyncio.sleep(100)"),
    _only_itself(
        "put other files in the place of its sockets",
        "for number in range(3, 64): os.dup2(0, number)\nawait asyncio.sleep(100)",
    ),
    _only_itself(
        "kill the link's thread",
        """
for number in sys._current_frames():
    if number != threading.get_ident():
        error = ctypes.py_object(KeyError)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(number), error)
await asyncio.sleep(100)
""",
    ),
    _only_itself(
        "replace the codec",
        "codec.FROM_WORKER.__class__.encode = lambda *_: [b'x', b'y']\nprint('tide')\nexit(1)",
    ),
    _only_itself(
        "remove all modules",
        "sys.modules.clear()\nprint('tide')\nimport decimal\nawait asyncio.sleep(100)",
    ),
    _only_itself("replace every builtin", "import builtins\nvars(builtins).clear()\nprint('tide')"),
    _only_itself(
        "trace the harness",
        """
def trace(frame, event, argument):
    raise RuntimeError("traced")
sys.setprofile(trace)
threading.setprofile(trace)
print("tide")
""",
    ),
    _only_itself(
        "replace the loop's selector",
        "asyncio.get_running_loop()._selector = None\nawait asyncio.sleep(100)",
    ),
    _only_itself("stop the loop", "asyncio.get_running_loop().stop()\nawait asyncio.sleep(100)"),
    _only_itself("another loop", "asyncio.new_event_loop().run_until_complete(asyncio.sleep(1))"),
    _only_itself(
        "close its own connection", "link._wire._socket.close()\nawait asyncio.sleep(100)"
    ),
    _only_itself(
        "write over its own memory",
        "for at in range(0, 2**16, 8): ctypes.memset(id(link) + at, 255, 8)\nprint('tide')",
    ),
    _only_itself("forge its own end", "link.finish(Reason.ENDED, None, b'\\x07')"),
    Attack(
        "an end with a value that is none",
        WIRE + "link.finish(Reason.ENDED, None, b'\\xc1')",
        WORTHLESS,
    ),
    Attack(
        "a stored value that is none",
        WIRE + "say(said(wm.Wrote('k', b'\\xc1', b'd' * 16)))\nexit(1)",
        WORTHLESS,
        after=_unreadable,
    ),
    Attack(
        "end by an error that claims to be a limit of ours",
        "import sys\nprint('exceeded')\nos._exit(70)",
        WORTHLESS,
        has_ended,
    ),
    Attack(
        "an end for a cell that has not ended",
        f"{WIRE}say(said(wm.Finished(Reason.POISON, 'x', None, 0)))\nawait asyncio.sleep(100)",
        "reasons that are the supervisor's to give",
        lives_on,
    ),
    _paused(
        "confirm a resume that nobody asked for",
        "say(said(wm.Confirmed(1, 1, RequestRef(1, 1), 0)))",
    ),
    _paused("show a frontier beyond the next", "say(said(wm.Paused(9, 0, None, ())))"),
    _paused("show a second frontier without a resume", "say(said(wm.Paused(2, 0, None, ())))"),
    _paused("open its own gate", "link.steps.left, link.steps.upto = 1, 10**6; link.open_gate()"),
)
FAMILY = Family("The harness in the cell's process", ATTACKS)
