"""Ports of a supervisor that is put back into earlier states: they keep what a beat did to them.

There is no time in this world: the clock stands still, and whatever is due is made due by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from tidemark.protocol.host_answers import ToHost
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import ToolSpec
from tidemark.protocol.worker_messages import ToWorker
from tidemark.protocol.zygote_messages import Forget, Fork, Kill
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.events import FleetEvent, HostAsked
from tidemark.supervisor.shell.ports import CellSummary, StoredRecord

NOW_NS = 1_700_000_000_000_000_000
ENDS = (r.CellCompleted, r.CellTerminated)


class StillClock:
    """See `ports.Clock`."""

    def now_ns(self) -> int:
        return NOW_NS

    def monotonic_ns(self) -> int:
        return NOW_NS


class BranchingStore:
    """See `ports.Store`. Journal numbers are not told to anybody: they would tell states apart.

    Attributes:
        entries: all that is committed.
        batches: what was committed since `entries` was last set, commit by commit.
    """

    last_number = 0

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.entries: list[r.Entry] = []
        self.batches: list[tuple[r.Entry, ...]] = []

    def commit(self, entries: Sequence[r.Entry], at_ns: int) -> int:
        self.entries.extend(entries)
        self.batches.append(tuple(entries))
        return self.last_number

    def _records(self, scope: str) -> list[StoredRecord]:
        return [
            StoredRecord(number, NOW_NS, entry.record)
            for number, entry in enumerate(self.entries, 1)
            if entry.scope == scope
        ]

    def _of_kind(self, kind: Any) -> list[Any]:
        return [entry.record for entry in self.entries if isinstance(entry.record, kind)]

    def session_records(self) -> Iterator[StoredRecord]:
        for number, entry in enumerate(self.entries, 1):
            if not entry.scope or entry.scope.startswith("session:"):
                yield StoredRecord(number, NOW_NS, entry.record)

    def unfinished_cells(self) -> Iterator[str]:
        ended = {entry.scope for entry in self.entries if isinstance(entry.record, ENDS)}
        for record in self._of_kind(r.CellCreated):
            if record.cell not in ended:
                yield record.cell

    def cell_records(self, cell: str, after: int = 0, limit: int = -1) -> list[StoredRecord]:
        records = [record for record in self._records(cell) if record.number > after]
        return records if limit < 0 else records[:limit]

    def created(self, cell: str) -> r.CellCreated:
        made: list[r.CellCreated] = self._of_kind(r.CellCreated)
        return next(record for record in made if record.cell == cell)

    def tools(self, attachment: int) -> tuple[ToolSpec, ...]:
        opened: list[r.AttachmentOpened] = self._of_kind(r.AttachmentOpened)
        return next((each.tools for each in opened if each.attachment == attachment), ())

    def contents(self, cell: str, kind: str, first: int, stop: int) -> list[bytes]:
        rows = {
            content.number: content.body
            for entry in self.entries
            for content in entry.contents
            if (content.cell, content.kind) == (cell, kind)
        }
        return [rows[number] for number in range(first, stop) if number in rows]

    def key_owner(self, session: str, key: str) -> tuple[str, bytes] | None:
        for record in self._of_kind(r.CellCreated):
            if (record.session, record.key) == (session, key):
                return record.cell, record.ask_digest
        return None

    def cells(self, session: str, state: str, limit: int, before: str) -> list[CellSummary]:
        made: list[r.CellCreated] = self._of_kind(r.CellCreated)
        newest = sorted(made, key=lambda each: each.cell, reverse=True)[:limit]
        return [
            CellSummary(
                each.cell, each.session, each.name, each.kind.value, "", 0, each.created_us, NOW_NS
            )
            for each in newest
        ]

    def retire(self, now_ns: int) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing to let go of."""

    def _absent(self, *_: object) -> NoReturn:
        raise AssertionError("nobody asks for this in the small world")

    cell_events = session_events = stored = stored_keys = _absent


class BranchingWires:
    """See `ports.Wires`.

    Attributes:
        arrived: what the next beat reads.
        sent: to whom (a connection or a token), and what.
        connected: names of all that can be sent something.
        on_send: told of each message before it counts as sent.
    """

    def __init__(self, on_send: Callable[[bytes, Any], None]) -> None:
        self.arrived: list[FleetEvent] = []
        self.sent: list[tuple[bytes, Any]] = []
        self.connected: set[bytes] = set()
        self.on_send = on_send

    def drain(self, most: int) -> list[FleetEvent]:
        events, self.arrived = self.arrived, []
        return events

    def drain_hosts(self, most: int) -> list[FleetEvent]:
        asked = [at for at, event in enumerate(self.arrived) if isinstance(event, HostAsked)]
        return [self.arrived.pop(at) for at in reversed(asked[:most])][::-1]

    def tell_host(self, connection: bytes, message: ToHost) -> bool:
        return self._tell(connection, message)

    def flush(self) -> None:
        """Nothing is held here."""

    def tell_worker(self, token: bytes, message: ToWorker) -> bool:
        return self._tell(token, message)

    def _tell(self, name: bytes, message: Any) -> bool:
        if name not in self.connected:
            return False
        self.on_send(name, message)
        self.sent.append((name, message))
        return True


class BranchingProcesses:
    """See `ports.Processes`. Hosts never end here."""

    def __init__(self) -> None:
        self.happened: list[FleetEvent] = []
        self.orders: list[Fork | Kill | Forget] = []

    def drain(self) -> list[FleetEvent]:
        events, self.happened = self.happened, []
        return events

    def examine(self, level: str) -> None:
        raise AssertionError("every session here asks for a level that needs no examination")

    def fork(
        self, token: bytes, cell: str, incarnation: Incarnation, limits: Limits, level: str
    ) -> None:
        self.orders.append(Fork(token, cell, incarnation, "small://", limits))

    def lodge(self, token: bytes, cell: str) -> None:
        raise AssertionError("there are no spare workers here")

    def kill(self, token: bytes) -> None:
        self.orders.append(Kill(token))

    def forget(self, token: bytes) -> None:
        self.orders.append(Forget(token))

    def watch_host(self, attachment: int, pid: int, started_ns: int) -> None:
        """They do not end."""

    def usage(self, pid: int) -> tuple[int | None, int | None]:
        return None, None
