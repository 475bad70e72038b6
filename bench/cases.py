"""The cases: what is done, how often in one block, by whom, and what has to be reached.

Each case has its contenders: Tidemark, the hand-written minimum of the same work, and peers. They
live beside each other while their case runs, and in each round every one has a block, in an order
drawn anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import minimum_side as by_hand
import runtime_side as runtime
from contender import Block, Contender, Starts
from peer_side import Peer, Peers

IMPORTS = "import zmq, msgpack; print('hello', flush=True)"
WARM = 12  # workers that the minimum keeps ahead: more than a block of `create` takes
MANY = 1_000


@dataclass(frozen=True, slots=True)
class Must:
    """What has to be reached: a figure of Tidemark, against the same of another side."""

    figure: str  # "p50" or "per_second"
    times: float
    against: str = "minimum"


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of work, and who does it.

    Attributes:
        count: pieces of work (for `cells` cells: each) in one block.
        rounds: blocks of each side in a full run.
        cells: how many go at once.
        has_rate: whether pieces per second say something.
        unit: what one piece is measured in: "ms" or "MB".
        sides: makers of contenders, Tidemark and the minimum first.
        peer_count: pieces in a peer's block, where it is much slower.
    """

    name: str
    what: str
    count: int
    rounds: int
    sides: Mapping[str, Callable[[], Contender]]
    musts: tuple[Must, ...]
    cells: int = 1
    has_rate: bool = False
    unit: str = "ms"
    peer_count: int | None = None
    blocks: dict[str, list[Block]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)

    def count_of(self, side: str, asked: int | None) -> int:
        """Pieces in one block of a side."""
        is_peer = side.split()[0] not in {"tidemark", "minimum"}
        usual = self.peer_count if is_peer and self.peer_count else self.count
        return min(usual, asked) if asked else usual


# Of a durable tool cycle, whichever way a host asks for it.
ONE = (Must("p50", 1.6), Must("p99", 2.5), Must("p50", 1.0, "jupyter"))
SIXTY_FOUR = (Must("per_second", 0.5), Must("per_second", 1.0, "monty"), Must("frontiers", 13, ""))


def all_cases(durability: str, peers: Peers, many: int = MANY) -> list[Case]:
    """Every case of the table, none of them opened."""
    return [
        *_cycles(durability, peers),
        *_creations(durability, peers),
        *_kills(durability, peers),
        _start(peers),
        *_crowds(durability, peers, many),
    ]


def _cycles(durability: str, peers: Peers) -> list[Case]:
    one = ["monty", "jupyter", "langgraph", "dbos"]
    return [
        Case(
            "cycle-1",
            "durable tool cycle of one pausable cell: result, resume confirmed, next frontier",
            50,
            20,
            {
                "tidemark": lambda: runtime.Cycles(durability, 1),
                "minimum": lambda: by_hand.Cycles(durability, 1),
                **_peers(peers, "cycle", one, cells=1),
            },
            ONE,
            has_rate=True,
            peer_count=20,
        ),
        *(_cycle_many(durability, peers, cells) for cells in (4, 16, 64, 256)),
        Case(
            "step-1",
            "cycle-1 in one request: `step` instead of `resume` and `wait_to_pending`",
            50,
            20,
            {
                "tidemark": lambda: runtime.Cycles(durability, 1, steps=True),
                "minimum": lambda: by_hand.Cycles(durability, 1, steps=True),
                **_peers(peers, "cycle", ["monty", "jupyter"], cells=1),
            },
            ONE,
            has_rate=True,
            peer_count=20,
        ),
        _cycle_many(durability, peers, 64, steps=True),
    ]


def _cycle_many(durability: str, peers: Peers, cells: int, *, steps: bool = False) -> Case:
    return Case(
        f"step-{cells}" if steps else f"cycle-{cells}",
        f"the same with {cells} cells at once",
        8 if cells <= 64 else 3,
        20 if cells == 64 else 5,
        {
            "tidemark": lambda: runtime.Cycles(durability, cells, steps=steps),
            "minimum": lambda: by_hand.Cycles(durability, cells, steps=steps),
            **_peers(peers, "cycle", ["monty"], cells=cells),
        },
        SIXTY_FOUR if cells == 64 else (),
        cells=cells,
        has_rate=True,
    )


def _creations(durability: str, peers: Peers) -> list[Case]:
    return [
        Case(
            "create-process",
            "create to completed; fork on demand, level `process`",
            10,
            20,
            {
                "tidemark": lambda: runtime.Creates(durability, isolation="process"),
                "minimum": lambda: by_hand.Creates(durability),
                **_peers(peers, "create", ["fork", "ray", "jupyter"]),
            },
            (Must("p50", 1.5),),
            peer_count=2,
        ),
        Case(
            "create",
            "create to completed at the default level; the minimum has warm workers",
            10,
            20,
            {
                "tidemark": lambda: runtime.Creates(durability),
                "minimum": lambda: by_hand.Creates(durability, WARM),
                **_peers(peers, "create", ["monty", "executor"]),
            },
            (Must("p50", 1.7),),
        ),
        Case(
            "burst",
            "200 creates at once, all completed (peers: 8)",
            200,
            3,
            {
                "tidemark": lambda: runtime.Bursts(durability),
                "minimum": lambda: by_hand.Bursts(durability),
                **_peers(peers, "burst", ["jupyter", "ray"]),
            },
            (Must("per_second", 0.6),),
            has_rate=True,
            peer_count=8,
        ),
    ]


def _kills(durability: str, peers: Peers) -> list[Case]:
    return [
        Case(
            "killed-told",
            "a worker is killed by SIGKILL: the host has been told",
            5,
            20,
            {
                "tidemark": lambda: runtime.Losses(durability),
                "minimum": lambda: by_hand.Losses(durability),
                **_peers(peers, "told", ["executor", "pebble", "jupyter", "ray"]),
            },
            (Must("p50", 2.0),),
            peer_count=1,
        ),
        Case(
            "killed-resumed",
            "a worker is killed by SIGKILL: its frontier is resumed, 10 inputs replayed",
            3,
            20,
            {
                "tidemark": lambda: runtime.Returns(durability),
                "minimum": lambda: by_hand.Returns(durability),
                **_peers(peers, "return", ["monty", "loky", "jupyter", "dbos"]),
            },
            (Must("p50", 2.0),),
            peer_count=1,
        ),
    ]


def _start(peers: Peers) -> Case:
    here = Path(__file__).parent
    run = [str(Path(sys.executable).parent / "tidemark"), "run", str(here / "hello.py")]
    return Case(
        "start",
        "`tidemark run hello.py` to its first output; the minimum: importing zmq and msgpack",
        1,
        20,
        {
            "tidemark": lambda: Starts(run),
            "minimum": lambda: Starts([sys.executable, "-c", IMPORTS]),
            **_peers(peers, "start", ["jupyter"]),
        },
        (Must("p50", 4.0),),
    )


def _crowds(durability: str, peers: Peers, many: int) -> list[Case]:
    few = min(many, 64)
    return [
        Case(
            "memory",
            "memory of one more paused cell, PSS of all processes",
            1,
            3,
            {
                "tidemark": lambda: runtime.Memory(durability, few),
                "minimum": lambda: by_hand.Memory(durability, few),
                **_peers(peers, "memory", ["monty", "jupyter", "ray"], cells=min(few, 8)),
            },
            (Must("p50", 1.5),),
            unit="MB",
        ),
        Case(
            "paused-many",
            f"{many:,} cells created and paused: all of it",
            1,
            2,
            {
                "tidemark": lambda: runtime.Pauses(durability, many),
                "minimum": lambda: by_hand.Pauses(durability, many),
                **_peers(peers, "pauses", ["monty"], cells=many),
            },
            (Must("p50", 2.0),),
        ),
        Case(
            "cycle-among-many",
            f"cycle-1 while {many:,} cells are paused; `tidemark alone`: while none is",
            50,
            5,
            {
                "tidemark": lambda: runtime.Cycles(durability, 1, among=many),
                "minimum": lambda: by_hand.Cycles(durability, 1, among=many),
                "tidemark alone": lambda: runtime.Cycles(durability, 1),
                "minimum alone": lambda: by_hand.Cycles(durability, 1),
                **_peers(peers, "cycle", ["monty"], cells=1, among=many),
            },
            (Must("p50", 1.3, "tidemark alone"),),
        ),
    ]


def _peers(
    peers: Peers, work: str, names: list[str], cells: int = 1, among: int = 0
) -> dict[str, Callable[[], Contender]]:
    return {name: _maker(peers, name, work, cells, among) for name in names}


def _maker(peers: Peers, name: str, work: str, cells: int, among: int) -> Callable[[], Contender]:
    return lambda: Peer(peers, name, work, cells, among)
