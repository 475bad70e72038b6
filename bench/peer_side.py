"""Peers' side of a case: each is a program of its own, in a virtual environment of its own.

`bench/peers/install.py` makes the environments. A peer's program reads one JSON object per line and
answers with one; what it measures it measures itself, beside what it drives.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from contender import Block, NotHereError

LINE_BYTES_MAX = 1 << 22
ANSWER_SECONDS_MAX = 180.0
ENDS_SECONDS_MAX = 10.0
PLACES = "TIDEMARK_BENCH_PEERS"
# Which program a peer is, and which environment it lives in; "" is this one.
PROGRAMS = {
    "monty": ("monty_peer.py", "monty"),
    "jupyter": ("jupyter_peer.py", "jupyter"),
    "langgraph": ("langgraph_peer.py", "langgraph"),
    "dbos": ("dbos_peer.py", "dbos"),
    "ray": ("ray_peer.py", "ray"),
    "loky": ("pools_peer.py", "pools"),
    "pebble": ("pools_peer.py", "pools"),
    "executor": ("pools_peer.py", ""),
    "fork": ("pools_peer.py", ""),
}


class Peers:
    """Which peers can be had, and with what Python.

    The directory is the one that `peers/install.py` was given; None: only what needs nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._found: dict[str, Any] = {}
        if directory is not None and (directory / "installed.json").exists():
            self._found = json.loads((directory / "installed.json").read_text())

    def python(self, name: str) -> str:
        """The Python that has this peer; raises NotHereError."""
        place = PROGRAMS[name][1]
        if not place:
            return sys.executable
        if self._directory is None or place not in self._found:
            raise NotHereError("not installed: run bench/peers/install.py, see bench/README.md")
        if reason := self._found[place].get("reason"):
            raise NotHereError(f"not installable here: {reason}")
        return str(self._directory / place / "bin" / "python")

    def versions(self) -> dict[str, str]:
        """What is installed, by package."""
        each = (place.get("versions", {}) for place in self._found.values())
        return {name: version for versions in each for name, version in versions.items()}


class Peer:
    """One peer at one kind of work."""

    def __init__(self, peers: Peers, name: str, work: str, cells: int, among: int) -> None:
        self._peers = peers
        self._name = name
        self._asked = {"peer": name, "work": work, "cells": cells, "among": among}
        self._process: asyncio.subprocess.Process | None = None
        self._place: tempfile.TemporaryDirectory[str] | None = None

    async def open(self) -> None:
        python = self._peers.python(self._name)
        self._place = tempfile.TemporaryDirectory(prefix="tmb-peer-")
        script = Path(__file__).parent / "peers" / PROGRAMS[self._name][0]
        self._process = await asyncio.create_subprocess_exec(
            python,
            str(script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            cwd=self._place.name,
            env={**os.environ, "TMPDIR": self._place.name, "PYTHONWARNINGS": "ignore"},
            start_new_session=True,  # one group, so that all of it can be ended
        )
        self._told: asyncio.Task[bytes] = asyncio.ensure_future(self._tail())
        await self._ask(self._asked)

    async def block(self, count: int) -> Block:
        said = await self._ask({"count": count})
        return Block(said["pieces"], said["wall"], said["commits"])

    async def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with suppress(TimeoutError):  # it is killed with all that it has started
                await asyncio.wait_for(self._process.wait(), ENDS_SECONDS_MAX)
            with suppress(ProcessLookupError):  # nothing of it is left
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
            await self._told
        if self._place is not None:
            self._place.cleanup()

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_SECONDS_MAX)
        except TimeoutError:
            raise NotHereError(f"no answer within {ANSWER_SECONDS_MAX:g} s") from None
        if not line:
            said = (await self._told).decode(errors="replace").strip().splitlines() or ["nothing"]
            raise NotHereError(f"it failed here: {said[-1][:200]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _tail(self) -> bytes:
        """The end of what it says on standard error."""
        assert self._process is not None
        assert self._process.stderr is not None
        kept = b""
        while some := await self._process.stderr.read(65_536):
            kept = (kept + some)[-4_096:]
        return kept
