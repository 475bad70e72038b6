"""What a run says of a cell that gets no worker."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from tidemark import Status
from tidemark.command import attendant
from tidemark.command.attendant import Attendant
from tidemark.command.terminal import Screen

FULL = "a worker exited with status 80: no descriptor\x1b[31m is left"


def status(
    state: str, reason: str | None, *, pid: int | None = None, stuck: bool = False
) -> Status:
    fields: dict[str, Any] = dict.fromkeys(Status.__match_args__)
    fields |= {"state": state, "reason": reason, "pid": pid, "stuck": stuck}
    return Status(**fields | {"waiting_on": (), "kind": "continuing"})


class Cell:
    """Says these, one each time that it is asked."""

    def __init__(self, *said: Status) -> None:
        self._left = list(said)

    async def status(self) -> Status:
        return self._left.pop(0)


def told(monkeypatch: pytest.MonkeyPatch, *said: Status) -> list[str]:
    monkeypatch.setattr(attendant, "_ASK_SECONDS", 0.0)
    out, err = io.StringIO(), io.StringIO()
    cell: Any = Cell(*said, status("idle", None, stuck=True))
    asyncio.run(Attendant(Screen(out, err)).until_stuck(cell))
    assert not out.getvalue()
    return err.getvalue().splitlines()


@pytest.mark.parametrize("state", ["starting", "recovering"])
def test_why_a_cell_gets_no_worker_is_told_once(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    (line,) = told(monkeypatch, *[status(state, FULL)] * 4)
    assert "no descriptor" in line
    assert "\x1b" not in line
    assert "Ctrl-C" in line


def test_each_new_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = status("starting", "no memory"), status("starting", "no process")
    lines = told(monkeypatch, first, first, other, other, first, first)
    assert len(lines) == 2


@pytest.mark.parametrize(
    "said",
    [
        [status("starting", FULL), status("running", None, pid=7)],  # it was over at once
        [status("running", "it uses threads", pid=7)] * 3,
        [status("paused", "could not be restored")] * 3,
        [status("completed", "ended")] * 3,
    ],
)
def test_what_is_no_trouble_is_not_told(
    monkeypatch: pytest.MonkeyPatch, said: list[Status]
) -> None:
    assert not told(monkeypatch, *said)
