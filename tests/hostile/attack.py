"""What an attack is, how it is carried out, and how it is judged: from outside."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import tidemark
from tidemark import Cell, Completed, Limits, PausableCell, Tool, Yielded
from tidemark.protocol.values import NotPlainData

from fakes.cells import shown
from fakes.hostile_ground import Ground, Place, memory_watched
from fakes.process_watch import alive
from fakes.waiting import until

BREACH = "BREACH"  # a cell says so when the system has allowed what it must not
READY = "READY"  # and so when it is time to look at it, while it lives
TERMINATE_SECONDS_MAX = 5.0
# An attack that ends by one of these has not been carried out.
BROKEN = re.compile(
    r"^(NameError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError|TypeError)", re.M
)
# Every source begins with this. `target` is what `Ground.told` has.
PREFACE = """
import ctypes, errno, os, resource, signal, socket, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

def breach(*words):
    print("BREACH", *words)

def ready():
    print("READY")
    yield_control()

"""


@dataclass(slots=True)
class Scene:
    """An attack under way, as its judge sees it.

    Attributes:
        said: all output so far.
        event: how the cell has ended; None: it has not.
        pid: its worker's process when it was last seen; 0: nobody has seen it.
    """

    ground: Ground
    session: tidemark.Session
    cell: Cell | PausableCell
    said: str = ""
    event: Completed | None = None
    pid: int = 0


Judge = Callable[[Scene], str]  # what the attack has achieved; empty: nothing


def nothing(_: Scene) -> str:
    """A judge for attacks that show in the canaries, the sibling or the supervisor alone."""
    return ""


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile cell.

    Attributes:
        by: what stops it, for the table.
        judge: looks while the cell lives, or right after it has ended by itself.
        after: looks when its worker is gone.
        open_at: where it is not stopped, and why that is so: a level, or a `Place` in words.
        known_hole: why it is not stopped at any level though it should be.
        depends: where the machine decides, and on what.
        memory: bytes that the supervisor must not take more are watched, and the sibling's speed.
        seconds: how long to wait for READY or the end.
    """

    name: str
    source: str
    by: str
    judge: Judge = nothing
    after: Judge = nothing
    open_at: Mapping[str, str] = field(default_factory=dict)
    depends: Mapping[str, str] = field(default_factory=dict)
    unsettled: str = ""  # a defect that shows at times: either result is taken until it is mended
    known_hole: str = ""  # not stopped anywhere, and to be mended; then this line must go
    limits: Limits | None = None
    tools: tuple[Tool | Callable[..., Any], ...] = ()
    pausable: str = ""  # any text: the cell stops at frontiers, and is judged at its first
    may_break: str = ""  # any text: an error of its own making is what it is about
    floods: str = ""  # what it floods with; then speed and memory are judged too
    seconds: float = 15.0

    def expected_open(self, place: Place) -> str:
        """Why it is not stopped there; empty: it must be."""
        return self.known_hole or self.open_at.get(str(place), self.open_at.get(place.level, ""))

    def machine_decides(self, place: Place) -> str:
        """On what of the machine it depends there; empty: on nothing."""
        if self.expected_open(place):
            return ""
        return self.unsettled or self.depends.get(str(place), self.depends.get(place.level, ""))


@dataclass(frozen=True, slots=True)
class Family:
    """Attacks of one kind, one file each."""

    name: str
    attacks: tuple[Attack, ...]


def carry_out(attack: Attack, ground: Ground) -> str:
    """What the attack has achieved; empty: it was held. The ground is as before afterwards."""
    with memory_watched(ground) as taken:
        with _revived(ground):
            found = _attacked(attack, ground)
        found.append(ground.harm())
    return "; ".join(each for each in [*found, *taken] if each)


def _attacked(attack: Attack, ground: Ground) -> list[str]:
    """Run the cell to its end, which is the judge's to choose; what was seen of it meanwhile."""
    session = ground.session(tools=attack.tools) if attack.tools else ground.session()
    found: list[str] = []
    try:
        session.open()
        create = session.create_pausable_cell if attack.pausable else session.create_cell
        inputs = {"target": ground.told()}
        cell = create(PREFACE + attack.source, inputs=inputs, limits=attack.limits)
        scene = Scene(ground, session, cell)
        _watch(scene, attack.seconds)
        _check(attack, scene)
        found += [_claimed(scene), _leaked(scene), attack.judge(scene)]
        if attack.floods:
            found.append(ground.slowed(attack.floods))
        found.append(_end(scene))
        found.append(attack.after(scene))
        _check_flood(attack, scene)
    except tidemark.SupervisorUnavailableError:
        found.append("the supervisor does not answer")
    except NotPlainData as error:
        found.append(f"what it has said cannot be read: {error}")
    finally:
        session.close()
    return found


@contextmanager
def _revived(ground: Ground) -> Iterator[None]:
    """A supervisor that is ended has a successor at once, or its hosts would wait for long."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            ground.revive()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(scene: Scene, seconds: float) -> None:
    """Collect what the cell says until it is ready, is paused or has ended."""
    if isinstance(scene.cell, PausableCell):
        paused = scene.cell.wait_to_pending(timeout=seconds)
        scene.said += shown(paused)
        scene.pid = scene.cell.status().pid or 0
        return
    until(lambda: scene.cell.status().state != "starting", what="the attack's beginning")
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        event = scene.cell.observe(min(left, 0.25))
        scene.said += shown(event)
        if isinstance(event, Completed):
            scene.event = event
            return
        scene.pid = scene.cell.status().pid or scene.pid
        if READY in scene.said or not isinstance(event, Yielded):
            return


def _check(attack: Attack, scene: Scene) -> None:
    """An attack that fails by its own mistake would be held for ever."""
    error = scene.event.error if scene.event is not None else None
    mistake = BROKEN.search(error or "")
    assert attack.may_break or not mistake, f"the attack is broken: {error}"


def _check_flood(attack: Attack, scene: Scene) -> None:
    """One that has ended by its own error was none."""
    event = scene.event
    if attack.floods and event is not None:
        assert event.reason in ("lost", "limit"), f"no flood: {event.reason}: {event.error}"


def _end(scene: Scene) -> str:
    """End the cell; its worker must be gone soon after."""
    began = time.monotonic()
    event = scene.cell.terminate()
    took = time.monotonic() - began
    scene.said += shown(event)
    if isinstance(event, Completed):
        scene.event = event
    if took > TERMINATE_SECONDS_MAX:
        return f"it took {took:.1f} s to end it"
    if scene.pid:
        try:
            until(lambda: not alive(scene.pid), seconds=5)
        except AssertionError:
            return "its worker lives on"
    return ""


def _claimed(scene: Scene) -> str:
    lines = [line for line in scene.said.splitlines() if line.startswith(BREACH)]
    return f"the cell says: {'; '.join(lines):.200}" if lines else ""


def _leaked(scene: Scene) -> str:
    secrets = scene.ground.canaries.secrets
    found = [name for name, text in secrets.items() if text in scene.said]
    return f"it has read the secret of: {', '.join(found)}" if found else ""


# -- judges that several families use --------------------------------------------------------------


def lives_on(scene: Scene) -> str:
    """For what no honest worker says: it ends the worker."""
    event = scene.event
    if event is None:
        return "the worker lives on"
    return "" if event.reason in ("lost", "limit") else f"the cell has {event.reason}"


def has_ended(scene: Scene) -> str:
    """For a worker that ends without saying so: that is no completion."""
    event = scene.event
    if event is not None and event.reason in ("ended", "raised"):
        return f"the cell has {event.reason}"
    return ""


def not_by_limit(name: str) -> Judge:
    """For bombs: the cell must end by this limit, which its error names."""

    def judge(scene: Scene) -> str:
        event = scene.event
        if event is None:
            return "no limit has ended the cell"
        if event.reason != "limit":
            return f"the cell has {event.reason}: {event.error or ''!s:.200}"
        return "" if name in (event.error or "") else f"another limit: {event.error!r:.200}"

    return judge
