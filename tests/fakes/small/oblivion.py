"""What makes two scenes different and no difference to anything: requests that nobody can repeat.

A host that has its answer never asks under that number again, so all that anybody still remembers
of the number (the supervisor, until the host's next request; the worker, in its last confirmation;
the journal) decides nothing any more. Forgetting it makes one scene of many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from tidemark.protocol.ids import NO_REQUEST, RequestRef

from ..frozen_objects import Frozen
from .host import SmallHost
from .supervisor import OPENED, Mind
from .worker import SmallWorker

IsOver: TypeAlias = Callable[[RequestRef], bool]
_BY_REQUEST = ("answers", "places")


def over(hosts: tuple[Frozen, ...]) -> IsOver:
    """Which requests nobody waits for."""
    waiting = set()
    for number, frozen in enumerate(hosts, 1):
        core = frozen.seen.core
        numbers = {*core._book, core._attachment.attaching}
        waiting |= {(number, each) for each in numbers}
    return lambda ref: bool(ref) and (ref.attachment, ref.number) not in waiting


def mind_without(mind: Mind, is_over: IsOver) -> Mind:
    """The supervisor's memory of requests that are not over."""
    shelves = []
    for name, items in mind.shelves:
        kept = items
        if name in _BY_REQUEST:
            kept = tuple([item for item in items if not is_over(item[0])])
        if kept:
            shelves.append((name, kept))
    cells = tuple([(name, _cell_without(facts, is_over)) for name, facts in mind.cells])
    return mind._replace(cells=cells, shelves=tuple(shelves))


def _cell_without(facts: Frozen, is_over: IsOver) -> Frozen:
    state = facts.seen
    cell = state.cell
    gone: dict[str, Any] = {
        name: NO_REQUEST for name in ("consumed_by", "created_by") if is_over(getattr(cell, name))
    }
    return Frozen(replace(state, cell=replace(cell, **gone)), OPENED) if gone else facts


def worker_without(frozen: Frozen, is_over: IsOver) -> Frozen:
    """The worker without the name of a request that is over."""
    seen: SmallWorker = frozen.seen
    confirmed = None if seen.steps is None else seen.steps._confirmed
    if confirmed is None or not is_over(confirmed.request):
        return frozen
    worker: SmallWorker = frozen.copied()
    assert worker.steps is not None
    worker.steps._confirmed = replace(confirmed, request=NO_REQUEST)
    return Frozen(worker)


def host_without(frozen: Frozen) -> Frozen:
    """A host that will not ask again, without what only its next request would show."""
    seen: SmallHost = frozen.seen
    if seen.asked or not (seen.last or seen.stop or seen.generation or seen.acknowledged):
        return frozen
    host: SmallHost = frozen.copied()
    host.last = host.stop = host.generation = host.acknowledged = 0
    return Frozen(host)


def record_without(record: Any, is_over: IsOver) -> Any:
    """A record without the name of a request that is over."""
    request = getattr(record, "request", NO_REQUEST)
    return replace(record, request=NO_REQUEST) if is_over(request) else record
