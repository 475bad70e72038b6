"""One or more examples of everything that hosts and the supervisor say, by name."""

from __future__ import annotations

from typing import Final

from tidemark.protocol import host_answers as to_host
from tidemark.protocol import host_requests as from_host
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import (
    CellKind,
    EventKind,
    InputKind,
    OnUnknown,
    OutputKind,
    PackedCall,
    PackedEvent,
    PackedOutput,
    Reason,
    Stepping,
    ToolKind,
    ToolSpec,
)

CELL: Final = "c00062a1b3c4d5e6-0badcafe"
NOW: Final = 1_700_000_000_000_000_000
TOKEN: Final = bytes(range(16))
WORD: Final = b"\xa4tide"  # the plain data "tide"
CALL: Final = from_host.CallRef(CELL, 2)

SEARCH: Final = ToolSpec(
    "search",
    "search",
    "Find lines of the corpus.",
    "(query: str) -> list[str]",
    ToolKind.FUNCTION,
    OnUnknown.ASK,
    False,
    0,
)
SHELL: Final = ToolSpec(
    "run shell",
    "run_shell",
    "",
    "(text)",
    ToolKind.FREEFORM,
    OnUnknown.RETRY,
    True,
    5_000_000_000,
)
CLOCK: Final = ToolSpec(
    "clock", "clock", "The time.", "() -> float", ToolKind.FUNCTION, OnUnknown.FAIL, False, 0
)
ALL_LIMITS: Final = Limits(2**30, 60, 90.5, 2**20, 64, 8, 2**24, 2**25)

YIELDED: Final = PackedEvent(
    EventKind.YIELDED, 1, (PackedOutput(0, OutputKind.TEXT, "gr\u00fc\u00df dich\n", None),)
)
PENDING: Final = PackedEvent(
    EventKind.PENDING,
    2,
    (PackedOutput(1, OutputKind.IMAGE, "data:image/png;base64,AA==", "high"),),
    3,
    (
        PackedCall(2, "search", b"\x81\xa5query\xa4tide", True),
        PackedCall(10, "wait", b"\x80", False),
    ),
    NOW,
    ("thread started at line 4",),
)
COMPLETED: Final = PackedEvent(EventKind.COMPLETED, 3, (), reason=Reason.ENDED, value=b"\x07")
RAISED: Final = PackedEvent(
    EventKind.COMPLETED, 3, (), reason=Reason.RAISED, error="ValueError: no tide\n"
)
REFUSED: Final = PackedEvent(
    EventKind.COMPLETED, 1, (), reason=Reason.REFUSED, error="SyntaxError: invalid syntax\n"
)
LIMITED: Final = PackedEvent(
    EventKind.COMPLETED, 3, (), reason=Reason.LIMIT, error="CALLS_OPEN_MAX is 1024, got 1025"
)
POISON: Final = PackedEvent(
    EventKind.COMPLETED, 3, (), reason=Reason.POISON, error="three workers ended by signal 11"
)
LOST: Final = PackedEvent(
    EventKind.COMPLETED, 3, (), reason=Reason.LOST, error="the worker was killed by signal 9"
)
TERMINATED: Final = PackedEvent(EventKind.TERMINATED, 4, ())

ASK_SESSION: Final = from_host.SessionAsk(
    "tides", (SEARCH, SHELL, CLOCK), "process", True, "power", ALL_LIMITS, True
)
ANY_SESSION: Final = from_host.SessionAsk("", (), None, None, None, Limits(), False)

ASKS: Final[dict[str, from_host.Ask]] = {
    "attach": from_host.Attach(TOKEN, 0, 4711, "lighthouse", NOW, 0, ASK_SESSION, ()),
    "attach-plain-session": from_host.Attach(TOKEN, 0, 1, "", 0, 0, ANY_SESSION, ()),
    "attach-again": from_host.Attach(TOKEN, 5, 4711, "lighthouse", NOW, 99, None, (CALL,)),
    "detach": from_host.Detach(),
    "close-session": from_host.CloseSession(),
    "create-cell": from_host.CreateCell(
        CellKind.PAUSABLE,
        b"text(word)",
        b"\x81\xa4word\xa4tide",
        "ebb",
        "key-1",
        ALL_LIMITS,
        Stepping.ONE,
    ),
    "create-cell-least": from_host.CreateCell(
        CellKind.CONTINUING, b"", b"\x80", "", "", Limits(), Stepping.DRAIN
    ),
    "observe": from_host.Observe(CELL, 2, 10_000_000_000, True),
    "observe-first": from_host.Observe(CELL, None, 0, False),
    "wait-to-pending": from_host.WaitToPending(CELL, False),
    "resume": from_host.Resume(CELL, 3, 2),
    "resume-negative": from_host.Resume(CELL, -1, None),
    "step": from_host.Step(CELL, 3, 2),
    "terminate": from_host.Terminate(CELL, None),
    "cancel": from_host.Cancel(7),
    "hibernate": from_host.Hibernate(CELL),
    "ask-status": from_host.AskStatus(CELL),
    "ask-history": from_host.AskHistory(CELL, 10, 1000),
    "ask-events-of-cell": from_host.AskEvents(CELL, "", 2, 100, 0),
    "ask-events-of-session": from_host.AskEvents("", "tides", 0, 1, 30_000_000_000),
    "ask-frontier": from_host.AskFrontier(CELL),
    "list-cells": from_host.ListCells("tides", "paused", 100, CELL),
    "list-sessions": from_host.ListSessions(),
    "ask-info": from_host.AskInfo(),
    "stored-get": from_host.StoredGet("moon"),
    "stored-set": from_host.StoredSet("moon", WORD),
    "stored-delete": from_host.StoredSet("moon", None),
    "stored-keys": from_host.StoredKeys(),
    "list-calls": from_host.ListCalls(),
    "finish-call-result": from_host.FinishCall(CALL, InputKind.RESULT, WORD, "", False),
    "finish-call-error": from_host.FinishCall(CALL, InputKind.ERROR, b"", "no corpus", False),
    "finish-call-cancelled": from_host.FinishCall(CALL, InputKind.ERROR, b"", "", True),
    "run-again": from_host.RunAgain(CALL),
    "notice-received": from_host.NoticeReceived(CELL, 12),
}


def request(ask: from_host.Ask) -> from_host.Request:
    """The ask as the sixth request of an attachment (Attach: as the first of none)."""
    if isinstance(ask, from_host.Attach):
        return from_host.Request(0, 1, 1, (), ask)
    return from_host.Request(5, 6, 4, (from_host.EventRef(CELL, 2),), ask)


ANSWERS: Final[dict[str, to_host.Answer]] = {
    "attached": to_host.Attached(
        5, 2, "tides", True, "process", "crash", "0.1.0", 4712, 0x0BADCAFE
    ),
    "done": to_host.Done(),
    "cell-made": to_host.CellMade(CELL, CellKind.PAUSABLE, "ebb"),
    "event-yielded": to_host.EventGiven(YIELDED),
    "event-pending": to_host.EventGiven(PENDING),
    "event-completed": to_host.EventGiven(COMPLETED),
    "event-raised": to_host.EventGiven(RAISED),
    "event-terminated": to_host.EventGiven(TERMINATED),
    "resumed": to_host.ResumedGiven(3),
    "already": to_host.AlreadyGiven(2, "paused", 3),
    "status": to_host.StatusGiven(
        CELL,
        "tides",
        "ebb",
        CellKind.PAUSABLE,
        "paused",
        3,
        2,
        "2.17",
        4713,
        ("tool-2", "timer"),
        NOW + 1,
        False,
        True,
        "",
        30_000_000,
        12_000_000,
        0,
        NOW,
        "sealed",
    ),
    "status-without-worker": to_host.StatusGiven(
        CELL,
        "tides",
        "",
        CellKind.CONTINUING,
        "idle",
        0,
        0,
        "",
        0,
        (),
        None,
        True,
        False,
        "a thread was started at line 4",
        None,
        None,
        1,
        NOW,
        "process",
    ),
    "history": to_host.HistoryGiven((to_host.HistoryRow(8, NOW, "call_dispatched", "tool-2"),)),
    "events": to_host.EventsGiven((to_host.EventRow(CELL, 9, TERMINATED),), True),
    "frontier": to_host.FrontierGiven(PENDING),
    "frontier-none": to_host.FrontierGiven(None),
    "cells": to_host.CellsGiven(
        (to_host.CellRow(CELL, "tides", "ebb", CellKind.PAUSABLE, "paused", 3, 2, NOW, NOW),)
    ),
    "sessions": to_host.SessionsGiven((to_host.SessionRow("tides", "lighthouse/4711", NOW, 1),)),
    "info": to_host.InfoGiven("0.1.0", 4712, 2, 99, "process", "crash", NOW, 1, 1, 0),
    "stored": to_host.StoredGiven(WORD),
    "stored-none": to_host.StoredGiven(None),
    "keys": to_host.KeysGiven(("ebb", "moon")),
    "hibernated": to_host.Hibernated(""),
    "calls": to_host.CallsGiven((to_host.OpenCall(CALL, "search", b"\x80", True),)),
}

MESSAGES: Final[dict[str, to_host.ToHost]] = {
    "answered": to_host.Answered(6, 99, 1, 1, b"\x92\x02\x90"),
    "answered-part": to_host.Answered(6, 99, 2, 3, b"\x00" * 8),
    "refused": to_host.Refused(
        6,
        99,
        "wrong_cell_kind",
        "the cell is pausable: use wait_to_pending",
        b"\x81\xa4kind\xa8pausable",
    ),
    "refused-unnumbered": to_host.Refused(0, 0, "protocol", "unknown message code 9", b"\x80"),
    "unattached": to_host.Unattached(6, 3),
    "call-offered": to_host.CallOffered(CALL, "tides", "search", b"\x81\xa5query\xa4tide", 1),
    "call-withdrawn": to_host.CallWithdrawn(CALL),
    "notice-offered": to_host.NoticeOffered(CELL, 12, "high water"),
    "session-lost": to_host.SessionLost("tides", "lighthouse/4714"),
}
