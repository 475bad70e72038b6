"""The hand-written minimum's supervisor: drain, one commit, then send. And nothing else.

It makes the commits and sends the messages that Tidemark's promises require (a tool cycle: result;
consumed; calls and frontier; in one request, result; consumed, calls and frontier. A cell:
creation; completion), on the same kinds of sockets, with the same journal settings. It validates
nothing, keeps no history, fences nobody and knows no errors. With WARM above 0 it keeps so many
connected workers ahead, and forks the next after the completion. A worker that has ended costs one
commit; a pausable cell is then run again with what it had taken.

`python supervisor.py DIRECTORY DURABILITY WARM`; it ends when its standard input does.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import zmq

EVENTS_MAX = 256
AGAIN_MS = 1  # before the zygote is asked for the rest of many workers
SYNCHRONOUS = {"power": "FULL", "crash": "NORMAL"}
Row = tuple[int, str, int, bytes]


@dataclass(slots=True)
class Cell:
    """What the supervisor must remember about one cell."""

    source: str
    is_pausable: bool
    event: list[Any] | None = None
    is_watched: bool = False
    is_stepping: bool = False
    inputs: list[Any] = field(default_factory=list)
    unconfirmed: list[Any] = field(default_factory=list)
    taken: list[list[Any]] = field(default_factory=list)
    resuming: int = 0
    confirming: int = 0
    worker: int = 0
    pid: int = 0
    is_restored: bool = True
    is_over: bool = False


class Journal:
    """Rows that wait for the next commit, and how many commits there were."""

    def __init__(self, directory: Path, durability: str) -> None:
        self.sql = sqlite3.connect(directory / "journal.db", isolation_level=None)
        self.sql.execute("PRAGMA journal_mode = WAL")
        self.sql.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        self.sql.execute(
            "CREATE TABLE records (n INTEGER PRIMARY KEY, cell INTEGER, kind TEXT, "
            "number INTEGER, body BLOB)"
        )
        self.rows: list[Row] = []
        self.idle_rows: list[Row] = []  # that nobody is told of: they wait for others
        self.commits = 0

    def commit(self) -> None:
        """All rows that wait, at once."""
        if not self.rows:
            return
        self.sql.execute("BEGIN IMMEDIATE")
        self.sql.executemany(
            "INSERT INTO records (cell, kind, number, body) VALUES (?, ?, ?, ?)",
            self.idle_rows + self.rows,
        )
        self.sql.execute("COMMIT")
        self.commits += 1
        self.idle_rows.clear()
        self.rows.clear()


class Zygote:
    """The process that forks workers; told by their numbers, tells of their ends."""

    def __init__(self, endpoint: str) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        script = Path(__file__).parent / "zygote.py"
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(theirs.fileno()), endpoint],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.socket.recv(16)  # it is ready
        self.socket.setblocking(False)
        self.to_fork: deque[int] = deque()

    def ended(self) -> int | None:
        """The process of a worker that has ended, if there is news."""
        try:
            pid, _ = self.socket.recv(256).split()
        except BlockingIOError:
            return None
        return int(pid)

    def speak(self) -> None:
        """Have forked what waits for it, as far as the zygote takes it now."""
        while self.to_fork:
            try:
                self.socket.send(b"%d" % self.to_fork[0])
            except BlockingIOError:
                return
            self.to_fork.popleft()

    def end(self) -> None:
        """End it, and with it the workers."""
        self.socket.close()
        self.process.wait()


class Minimum:
    """One supervisor, one host, any number of cells."""

    def __init__(self, directory: Path, durability: str, warm: int) -> None:
        self.journal = Journal(directory, durability)
        self.rows = self.journal.rows
        self.context = zmq.Context()
        self.hosts = self._router(f"ipc://{directory}/host.sock")
        self.workers = self._router(f"ipc://{directory}/worker.sock")
        self.zygote = Zygote(f"ipc://{directory}/worker.sock")
        self.cells: dict[int, Cell] = {}
        self.host = b""
        self.to_host: deque[list[Any]] = deque()
        self.to_workers: deque[tuple[int, list[Any]]] = deque()
        self.cell_of: dict[int, int] = {}  # by worker; 0: it waits for a cell
        self.cell_of_pid: dict[int, int] = {}
        self.warm: deque[int] = deque()
        self.warm_pids: dict[int, int] = {}
        self.workers_made = 0
        self.is_warm = warm > 0
        for _ in range(warm):
            self._fork(0)

    def _router(self, endpoint: str) -> zmq.Socket[bytes]:
        router: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        router.linger = 0
        router.bind(endpoint)
        return router

    def serve(self) -> None:
        """Until standard input ends."""
        poller = zmq.Poller()
        lifeline = sys.stdin.fileno()
        for source in (self.hosts, self.workers, self.zygote.socket.fileno(), lifeline):
            poller.register(source, zmq.POLLIN)
        while True:
            while self._drain():
                self.journal.commit()
                self._speak()
            if lifeline in dict(poller.poll(AGAIN_MS if self.zygote.to_fork else None)):
                return
            self.zygote.speak()

    def _drain(self) -> bool:
        taken = 0
        while taken < EVENTS_MAX:
            before = taken
            for router, on_message in (
                (self.workers, self._on_worker),
                (self.hosts, self._on_host),
            ):
                try:
                    who, body = router.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    continue
                taken += 1
                on_message(who, msgpack.unpackb(body))
            if pid := self.zygote.ended():
                taken += 1
                self._on_end(pid)
            if taken == before:
                break
        return taken > 0

    def _fork(self, number: int) -> None:
        self.workers_made += 1
        self.cell_of[self.workers_made] = number
        self.zygote.to_fork.append(self.workers_made)

    def _speak(self) -> None:
        while self.to_workers:
            worker, said = self.to_workers.popleft()
            self.workers.send_multipart([b"%d" % worker, msgpack.packb(said)], zmq.NOBLOCK)
        while self.to_host:
            self.hosts.send_multipart(
                [self.host, msgpack.packb(self.to_host.popleft())], zmq.NOBLOCK
            )
        self.zygote.speak()

    # -- what a host says -------------------------------------------------------------------------

    def _on_host(self, who: bytes, said: list[Any]) -> None:
        self.host = who
        kind, number = said[0], said[1]
        if kind == "create":
            self.cells[number] = Cell(said[2], said[3])
            self.rows.append((number, kind, 0, said[2].encode()))
            self.to_host.append(["created", number])
            if self.warm:
                worker = self.warm.popleft()
                self.cell_of[worker] = number
                self._begin(worker, number, self.warm_pids.pop(worker))
            else:
                self._fork(number)
        elif kind == "observe":
            self.cells[number].is_watched = True
            self._answer_observer(number)
        elif kind == "result":
            self.rows.append((number, kind, said[2], msgpack.packb(said[3])))
            self.cells[number].inputs.append(said[2:])
            self.to_host.append(["noted", number, said[2]])
            self._continue(number)
        elif kind in ("resume", "step"):
            self.cells[number].resuming = said[2]
            self.cells[number].is_stepping = kind == "step"
            self._continue(number)
        elif kind == "count":
            self.to_host.append(["counted", self.journal.commits])
        elif kind == "warm":
            self.to_host.append(["warm", len(self.warm)])
        elif kind == "pid":
            self.to_host.append(["pid", number, self.cells[number].pid])

    def _continue(self, number: int) -> None:
        cell = self.cells[number]
        if cell.resuming and cell.inputs and cell.is_restored:
            self.to_workers.append((cell.worker, ["continue", cell.resuming, cell.inputs]))
            cell.unconfirmed, cell.inputs = cell.inputs, []
            cell.confirming, cell.resuming = cell.resuming, 0

    def _begin(self, worker: int, number: int, pid: int) -> None:
        cell = self.cells[number]
        cell.worker, cell.pid = worker, pid
        self.cell_of_pid[pid] = number
        past = None if cell.is_restored else cell.taken
        self.to_workers.append((worker, ["start", cell.source, past]))

    def _answer_observer(self, number: int) -> None:
        cell = self.cells[number]
        if cell.is_watched and cell.event is not None:
            self.to_host.append(["event", number, *cell.event])
            cell.is_watched = False

    # -- what a worker says -----------------------------------------------------------------------

    def _on_worker(self, who: bytes, said: list[Any]) -> None:
        worker = int(who)
        kind, number = said[0], self.cell_of[worker]
        if kind == "hello" and number == 0:
            self.warm.append(worker)
            self.warm_pids[worker] = said[1]
            return
        cell = self.cells[number]
        if kind == "hello":
            self._begin(worker, number, said[1])
        elif kind == "confirmed":
            rows = self.journal.idle_rows if cell.is_stepping else self.rows
            rows.append((number, kind, said[1], b""))
            cell.is_watched |= cell.is_stepping
            if not cell.is_stepping:
                self.to_host.append(["resumed", number, said[1]])
            cell.taken.append(cell.unconfirmed)
            cell.event, cell.unconfirmed, cell.confirming = None, [], 0
        elif kind == "restored":
            cell.is_restored = True
            self._continue(number)
        elif kind == "paused" and cell.is_pausable:
            self._on_paused(number, said)
        elif kind == "finished":
            self.rows.append((number, kind, 0, msgpack.packb(said)))
            self._on_over(number, [0, said[1], []])
            self.to_workers.append((worker, ["bye"]))

    def _on_paused(self, number: int, said: list[Any]) -> None:
        _, generation, output, calls = said
        for call in calls:
            self.rows.append((number, "call", call[0], msgpack.packb(call)))
            self.to_host.append(["offer", number, *call])
        self.rows.append((number, "paused", generation, msgpack.packb(said)))
        self.cells[number].event = [generation, output, calls]
        self._answer_observer(number)

    def _on_over(self, number: int, event: list[Any]) -> None:
        cell = self.cells[number]
        cell.event, cell.is_over = event, True
        self._answer_observer(number)
        if self.is_warm:  # another one in its place
            self._fork(0)

    def _on_end(self, pid: int) -> None:
        """A worker has ended: mostly because its cell is over."""
        number = self.cell_of_pid.pop(pid, 0)
        if not number or self.cells[number].is_over:
            return
        self.rows.append((number, "lost", pid, b""))
        cell = self.cells[number]
        cell.pid = 0
        if cell.is_pausable:
            cell.is_restored = False
            cell.inputs, cell.unconfirmed = cell.unconfirmed + cell.inputs, []
            cell.resuming, cell.confirming = cell.resuming or cell.confirming, 0
            self._fork(number)
        else:
            self._on_over(number, [-1, [], []])

    def end(self) -> None:
        """End the zygote, and with it the workers."""
        self.zygote.end()
        self.context.destroy(linger=0)
        self.journal.sql.close()


def main() -> None:
    """Serve; then leave nothing."""
    directory = Path(sys.argv[1])
    minimum = Minimum(directory, sys.argv[2], int(sys.argv[3]))
    try:
        print("ready", flush=True)
        minimum.serve()
    finally:
        minimum.end()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
