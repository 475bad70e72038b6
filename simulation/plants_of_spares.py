"""Planted bugs: spare workers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..protocol.ids import worker_token
from ..supervisor.core import fleet as fleets
from ..supervisor.core import replay_routes, worker_starts
from ..supervisor.core.facts import Cell
from ..supervisor.core.fleet import Fleet
from ..supervisor.core.law import CellState
from .planting import planted, planted_in, put
from .promise import Promise


@planted(100, Promise.ONE_CELL)
def a_spare_worker_stays_in_the_pool(stack: ExitStack) -> None:
    give = worker_starts._give_spare

    def give_and_keep(fleet: Fleet, state: CellState, token: bytes, now_ns: int) -> None:
        spare = fleet.spares[token]
        give(fleet, state, token, now_ns)
        fleet.spares[token] = spare

    put(stack, worker_starts, "_give_spare", give_and_keep)


@planted(300, Promise.LIVENESS)
def a_spare_worker_gets_no_work_directory(stack: ExitStack) -> None:
    def only_the_cell(fleet: Fleet, state: CellState, gift: Any) -> None:
        fleet.speak(gift)

    put(stack, replay_routes, "_give", only_the_cell)


@planted(2_000, Promise.HONEST)
def a_successor_does_not_know_spare_workers(stack: ExitStack) -> None:
    def as_if_forked_for_it(secret: bytes, cell: Cell) -> bytes:
        life = cell.incarnation
        return b"" if life is None else worker_token(secret, cell.id, life)

    put(stack, fleets, "_token_of", as_if_forked_for_it)


PLANTS = planted_in(globals())
