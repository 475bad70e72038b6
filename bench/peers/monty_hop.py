"""A server that runs Monty for a host, one message away: `python monty_hop.py DIRECTORY CELLS`.

Sources arrive on a ROUTER socket; each cell has a worker of Monty's pool. At each call of the
cell's code the paused cell is dumped and the dump committed (SQLite, WAL, synchronous=FULL: one
commit per beat for all cells), and then the call goes to the host: one durable point per cycle.
With a journal from before, what is unfinished is loaded from its dump when it is asked for.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

import msgpack
import pydantic_monty
import zmq

SPARE = 2


class Hop:
    """Cells of one host."""

    def __init__(self, directory: Path, cells: int) -> None:
        self.sql = sqlite3.connect(directory / "dumps.db", isolation_level=None)
        self.sql.execute("PRAGMA journal_mode = WAL")
        self.sql.execute("PRAGMA synchronous = FULL")
        self.sql.execute("CREATE TABLE IF NOT EXISTS dumps (cell INTEGER PRIMARY KEY, body BLOB)")
        self.pool = pydantic_monty.Monty(min_processes=SPARE, max_processes=cells + SPARE)
        self.pool.__enter__()
        self.sessions: dict[int, Any] = {}
        self.paused: dict[int, Any] = {}
        self.rows: list[tuple[int, bytes]] = []
        self.answers: list[list[Any]] = []
        self.commits = 0
        self.hosts = zmq.Context().socket(zmq.ROUTER)
        self.hosts.bind(f"ipc://{directory}/hop.sock")

    def serve(self) -> None:
        """Drain, one commit, speak; until it is killed."""
        while True:
            who, body = self.hosts.recv_multipart()
            self.on_message(msgpack.unpackb(body))
            while True:
                try:
                    who, body = self.hosts.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                self.on_message(msgpack.unpackb(body))
            if self.rows:
                self.sql.execute("BEGIN IMMEDIATE")
                self.sql.executemany("INSERT OR REPLACE INTO dumps VALUES (?, ?)", self.rows)
                self.sql.execute("COMMIT")
                self.commits += 1
                self.rows.clear()
            for answer in self.answers:
                self.hosts.send_multipart([who, msgpack.packb(answer)])
            self.answers.clear()

    def on_message(self, said: list[Any]) -> None:
        """A source to run, a result, or a cell to load again."""
        kind, cell, *rest = said
        if kind == "run":
            session = self.checkout(cell)
            self.on_snapshot(cell, session.feed_start(rest[0]))
        elif kind == "result":
            self.on_snapshot(cell, self.paused[cell].resume({"return_value": rest[0]}))
        elif kind == "count":
            self.answers.append(["counted", self.commits])
        elif kind == "load":
            ((body,),) = self.sql.execute("SELECT body FROM dumps WHERE cell = ?", (cell,))
            self.paused[cell] = self.checkout(cell).load_snapshot(body)
            self.answers.append(["loaded", cell])

    def checkout(self, cell: int) -> Any:
        """A worker for this cell."""
        session = self.pool.checkout()
        session.__enter__()
        self.sessions[cell] = session
        return session

    def on_snapshot(self, cell: int, found: Any) -> None:
        """A cell has stopped: at a call, or at its end."""
        while isinstance(found, pydantic_monty.NameLookupSnapshot):
            found = found.resume(value=asked_of_host(found.variable_name))
        if isinstance(found, pydantic_monty.MontyComplete):
            self.rows.append((cell, b"over"))
            self.answers.append(["over", cell])
            self.sessions.pop(cell).__exit__(None, None, None)
            return
        self.paused[cell] = found
        self.rows.append((cell, found.dump()))
        self.answers.append(["call", cell, list(found.args)])


def asked_of_host(name: str) -> Any:
    """What a name that the cell does not know is: a function of the host."""

    def function(*arguments: Any) -> Any:
        raise AssertionError("the host answers each call itself")

    function.__name__ = name
    return function


if __name__ == "__main__":
    Hop(Path(sys.argv[1]), int(sys.argv[2])).serve()
