"""Workers that are made before there is a cell for them.

A spare worker is forked, confined, connected and rehearsed, has said Hello, and holds nothing of
any cell. When a cell needs a worker of its kind it becomes that cell's, by a record, and never
another's. Its token is derived from its number, and the record has the number.

Nothing about spares that no cell has is a fact: a supervisor that begins does not know those of the
one before it, so they are killed when the zygote lists them.
"""

from __future__ import annotations

from typing import Final

from ...protocol.ids import NO_LIFE, spare_token
from ...protocol.limits import LIMITS_OF_LEVEL, Limits
from ...protocol.worker_messages import FromWorker, Hello
from .effects import ForkWorker, KillWorker
from .facts import Cell
from .fleet import Fleet
from .hosts import Session
from .levels import level_of_cell
from .spare import Kind, Spare

QUIET_NS: Final = 1_000_000  # after a cell was given its worker, before a spare is made
REST_NS: Final = 20_000_000  # the same while enough are left: what cells do goes before
ENOUGH: Final = 3  # that is so while more than this part of them is left
BUSY_NS: Final = 5_000_000  # how often to look whether cells still wait for workers
COMING_MAX: Final = 2  # on their way at once: cells that run have the machine first
COMING_NS_MAX: Final = 5_000_000_000  # a spare that takes longer to say Hello is given up
AGAIN_NS: Final = 1_000_000_000  # before another is made, when one could not be or has ended
UNUSED_NS: Final = 60_000_000_000  # then spares of a kind that no cell has needed are dropped


def expects(fleet: Fleet, token: bytes) -> bool:
    """Whether there is, or will be, a worker with this token."""
    return token in fleet.spares or fleet.by_token(token) is not None


def kind_of(fleet: Fleet, cell: Cell) -> Kind:
    """The kind of worker that this cell needs."""
    return _kind(level_of_cell(fleet, cell), cell.limits)


def _kind(level: str, limits: Limits) -> Kind:
    # The supervisor and the worker itself see to the others.
    set_at_fork = Limits(
        memory_bytes=limits.memory_bytes,
        cpu_seconds=limits.cpu_seconds,
        open_files=limits.open_files,
        processes=limits.processes,
        file_bytes=limits.file_bytes,
        work_bytes=limits.work_bytes,
    )
    return Kind(level, set_at_fork.over(LIMITS_OF_LEVEL[level]))


def expect_cells(fleet: Fleet, session: Session, limits: Limits, now_ns: int) -> None:
    """A host has opened this session, with these limits for its cells: there will be some."""
    note_use(fleet, _kind(session.isolation, limits), now_ns)


def note_use(fleet: Fleet, kind: Kind, now_ns: int) -> None:
    """A cell has needed a worker of this kind: soon there are spares of it again."""
    if fleet.world.spares:
        fleet.kinds.pop(kind)
        fleet.kinds[kind] = now_ns  # so the last of them was used last
        _look_at(fleet, now_ns + QUIET_NS)


def ready(fleet: Fleet, kind: Kind) -> bytes | None:
    """The oldest spare worker of this kind that can be given a cell; None: there is none."""
    for token, spare in fleet.spares.items():
        if spare.kind == kind and spare.is_ready:
            return token
    return None


def free(fleet: Fleet) -> dict[Kind, int]:
    """How many spare workers of each kind can be given a cell."""
    counts: dict[Kind, int] = {}
    for spare in fleet.spares.values():
        if spare.is_ready:
            counts[spare.kind] = counts.get(spare.kind, 0) + 1
    return counts


def coming(fleet: Fleet) -> dict[Kind, int]:
    """How many spare workers of each kind are on their way."""
    counts: dict[Kind, int] = {}
    for spare in fleet.spares.values():
        if not spare.is_ready:
            counts[spare.kind] = counts.get(spare.kind, 0) + 1
    return counts


# -- what is heard of them ------------------------------------------------------------------------


def on_spoke(fleet: Fleet, token: bytes, message: FromWorker, now_ns: int) -> None:
    """A spare worker says Hello. Without a cell it has nothing else to say."""
    spare = fleet.spares[token]
    is_spare = isinstance(message, Hello) and not message.started and not message.cell
    if not is_spare or not isinstance(message, Hello) or message.incarnation != NO_LIFE:
        drop(fleet, token, now_ns + AGAIN_NS)
        return
    fleet.spares[token] = spare.greeted(message.python)
    _look_at(fleet, now_ns)


def on_forked(fleet: Fleet, token: bytes, pid: int) -> None:
    """The zygote has made it."""
    fleet.spares[token] = fleet.spares[token].forked(pid)


def on_gone(fleet: Fleet, token: bytes, now_ns: int) -> None:
    """It could not be made, or has ended by itself."""
    fleet.spares.pop(token)
    _look_at(fleet, now_ns + AGAIN_NS)


def drop(fleet: Fleet, token: bytes, look_at_ns: int) -> None:
    """End a spare worker; look then whether there should be another."""
    fleet.spares.pop(token)
    fleet.speak(KillWorker(token))
    _look_at(fleet, look_at_ns)


def drop_all(fleet: Fleet) -> None:
    """End all of them; there will be others when cells have been made again."""
    for token in list(fleet.spares):
        fleet.spares.pop(token)
        fleet.speak(KillWorker(token))
    for kind in list(fleet.kinds):
        fleet.kinds.pop(kind)
    fleet.spares_at_ns = None


def forget_level(fleet: Fleet, level: str, now_ns: int) -> None:
    """The zygote of this level is gone, and they with it."""
    for token, spare in list(fleet.spares.items()):
        if spare.kind.level == level:
            on_gone(fleet, token, now_ns)


# -- how many there are ---------------------------------------------------------------------------


def on_time(fleet: Fleet, now_ns: int) -> None:
    """Make one that is missing, and drop those that nobody needs."""
    if fleet.spares_at_ns is None or fleet.spares_at_ns > now_ns:
        return
    fleet.spares_at_ns = None
    _drop_needless(fleet, now_ns)
    if not fleet.draining and sum(coming(fleet).values()) < COMING_MAX:
        if len(fleet.fork_queue) or len(fleet.forking):
            _look_at(fleet, now_ns + BUSY_NS)
        else:
            _make_one(fleet, now_ns)
    for spare in fleet.spares.values():
        if not spare.is_ready:
            _look_at(fleet, spare.asked_ns + COMING_NS_MAX)
    for used_ns in fleet.kinds.values():
        _look_at(fleet, used_ns + UNUSED_NS)


def _look_at(fleet: Fleet, at_ns: int) -> None:
    if fleet.spares_at_ns is None or at_ns < fleet.spares_at_ns:
        fleet.spares_at_ns = at_ns


def _wanted(fleet: Fleet) -> dict[Kind, int]:
    """How many there should be: an equal share for each kind, the last used ones first."""
    most = fleet.world.spares
    kinds = list(fleet.kinds)[-most:][::-1]
    return {kind: most // len(kinds) for kind in kinds}


def _drop_needless(fleet: Fleet, now_ns: int) -> None:
    for kind, used_ns in list(fleet.kinds.items()):
        if used_ns + UNUSED_NS <= now_ns:
            fleet.kinds.pop(kind)
    wanted = _wanted(fleet)
    for token, spare in list(fleet.spares.items()):
        wanted[spare.kind] = left = wanted.get(spare.kind, 0) - 1
        late = not spare.is_ready and spare.asked_ns + COMING_NS_MAX <= now_ns
        if left < 0 or late:
            drop(fleet, token, now_ns)


def _make_one(fleet: Fleet, now_ns: int) -> None:
    wanted = _wanted(fleet)
    missing = dict(wanted)
    for spare in fleet.spares.values():
        missing[spare.kind] -= 1
    for kind, count in missing.items():
        if count > 0 and kind.level in fleet.listed:
            rested_ns = fleet.kinds[kind] + REST_NS
            if rested_ns > now_ns and (wanted[kind] - count) * ENOUGH > wanted[kind]:
                _look_at(fleet, rested_ns)
                continue
            number = fleet.next_number("spare")
            token = spare_token(fleet.world.secret, fleet.world.epoch, number)
            fleet.spares[token] = Spare(kind, number, now_ns)
            fleet.speak(ForkWorker(token, "", NO_LIFE, kind.limits, kind.level))
            return
