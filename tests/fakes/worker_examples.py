"""One or more examples of everything that workers, zygote and supervisor say, by name."""

from __future__ import annotations

from typing import Final

from tidemark.protocol import worker_messages as worker
from tidemark.protocol import zygote_messages as zygote
from tidemark.protocol.ids import NO_LIFE, NO_REQUEST, Incarnation, RequestRef
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import (
    CellKind,
    InputKind,
    OutputKind,
    PackedInput,
    Reason,
    Stepping,
)

from fakes.host_examples import ALL_LIMITS, CELL, NOW, SEARCH, SHELL, TOKEN, WORD

DIGEST: Final = bytes(range(16, 32))
SEED: Final = bytes(range(32))
BORN: Final = Incarnation(2, 17)
RESUME: Final = RequestRef(5, 6)

RESULT: Final = PackedInput(1, InputKind.RESULT, 2, WORD, "", False, 0, NOW)
ERROR: Final = PackedInput(2, InputKind.ERROR, 10, b"", "no corpus", True, 0, NOW)
TIMER: Final = PackedInput(3, InputKind.TIMER, 0, b"", "", False, NOW, NOW + 1)

ITEMS: Final[dict[str, worker.Item]] = {
    "emitted-text": worker.Emitted(OutputKind.TEXT, "gr\u00fc\u00df dich\n", None, DIGEST),
    "emitted-image": worker.Emitted(OutputKind.IMAGE, "data:image/png;base64,AA==", "high", DIGEST),
    "called": worker.Called(2, "search", b"\x81\xa5query\xa4tide", DIGEST),
    "abandoned": worker.Abandoned(2),
    "notified": worker.Notified("high water", DIGEST),
    "wrote": worker.Wrote("moon", WORD, DIGEST),
    "wrote-deleted": worker.Wrote("moon", None, DIGEST),
    "yield-asked": worker.YieldAsked(),
    "confirmed": worker.Confirmed(3, 2, RESUME, 2),
    "confirmed-unrequested": worker.Confirmed(1, 1, NO_REQUEST, 0),
    "paused": worker.Paused(4, 2, NOW, ("thread started at line 4",)),
    "paused-no-timer": worker.Paused(1, 0, None, ()),
    "waited": worker.Waited(2, NOW, ()),
    "waited-own-work": worker.Waited(0, None, ("socket opened at line 9",)),
    "flagged": worker.Flagged("a thread was started", 4),
    "finished": worker.Finished(Reason.ENDED, None, b"\x07", 3),
    "finished-raised": worker.Finished(Reason.RAISED, "ValueError: no tide\n", None, 0),
    "finished-refused": worker.Finished(Reason.REFUSED, "SyntaxError: invalid syntax", None, 0),
    "finished-limit": worker.Finished(Reason.LIMIT, "CALLS_OPEN_MAX is 1024", None, 0),
}

FROM_WORKER: Final[dict[str, worker.FromWorker]] = {
    "hello": worker.Hello(CELL, BORN, 0, False, 0, 0, 4713, "3.11.7"),
    "hello-adopted": worker.Hello(CELL, BORN, 3, True, 41, 2, 4713, "3.11.7", 98, 41),
    "said": worker.Said(2, 41, ((1, NOW), (2, NOW + 1_000_000)), tuple(ITEMS.values())),
    "said-nothing": worker.Said(2, 42, (), (), 12),
    "fetch": worker.Fetch(2, 1, "moon"),
    "fetch-keys": worker.Fetch(2, 2, None),
}

TO_WORKER: Final[dict[str, worker.ToWorker]] = {
    "start": worker.Start(
        2,
        CELL,
        BORN,
        CellKind.PAUSABLE,
        Stepping.ONE,
        "ebb",
        "text(word)",
        b"\x81\xa4word\xa4tide",
        (SEARCH, SHELL),
        ALL_LIMITS,
        SEED,
        NOW,
        123_456_789,
        NOW - 1_000,
        98,
    ),
    "start-again": worker.Start(
        epoch=3,
        cell=CELL,
        incarnation=BORN,
        kind=CellKind.PAUSABLE,
        stepping=Stepping.ONE,
        name="ebb",
        source="text(word)",
        inputs=b"\x80",
        tools=(),
        limits=Limits(),
        seed=SEED,
        now_ns=NOW + 1_000_000_000,
        monotonic_ns=123_456_789,
        began_ns=NOW,
        journal=99,
        earlier=worker.EarlierLife(2, 7, 3, 2, 2, 4),
    ),
    "start-least": worker.Start(
        epoch=1,
        cell=CELL,
        incarnation=BORN,
        kind=CellKind.CONTINUING,
        stepping=Stepping.DRAIN,
        name="",
        source="",
        inputs=b"\x80",
        tools=(),
        limits=Limits(),
        seed=SEED,
        now_ns=0,
        monotonic_ns=0,
        began_ns=0,
        journal=0,
    ),
    "remember": worker.Remember(3, ((1, NOW + 1_000_000), (2, 0))),
    "adopt": worker.Adopt(3, 41, 120),
    "acknowledge": worker.Acknowledge(2, 41, 99),
    "deliver": worker.Deliver(2, 41, (RESULT, ERROR, TIMER)),
    "continue": worker.Continue(2, 41, 3, 2, RESUME, 2, (RESULT,)),
    "continue-nothing-queued": worker.Continue(2, 41, 1, 1, NO_REQUEST, 0, ()),
    "fetched": worker.Fetched(2, 1, WORD, None),
    "fetched-none": worker.Fetched(2, 1, None, None),
    "fetched-keys": worker.Fetched(2, 2, None, ("ebb", "moon")),
    "bye": worker.Bye(2),
}

HELD: Final = zygote.Property(
    "no-network", True, True, "seccomp", "connect to 127.0.0.1; open netlink", "", ""
)
MISSING: Final = zygote.Property(
    "bounded-sum-of-memory", False, False, "", "", "Permission denied", "delegate a cgroup"
)

FROM_ZYGOTE: Final[dict[str, zygote.FromZygote]] = {
    "living": zygote.Living(((TOKEN, 4713),), False),
    "living-none": zygote.Living((), True),
    "forked": zygote.Forked(TOKEN, 4713),
    "fork-failed": zygote.ForkFailed(TOKEN, "Resource temporarily unavailable"),
    "ended": zygote.Ended(TOKEN, 0, 12_000_000, 30_000_000, False),
    "ended-killed": zygote.Ended(TOKEN, -9, 0, 0, True),
    "ended-limit": zygote.Ended(TOKEN, -9, 3_010_000_000, 0, False, "", "cpu_seconds", 4),
    "report": zygote.Report("sealed", (HELD, MISSING)),
    "report-empty": zygote.Report("process", ()),
}

TO_ZYGOTE: Final[dict[str, zygote.ToZygote]] = {
    "command": zygote.Command(3, 4712),
    "fork": zygote.Fork(TOKEN, CELL, BORN, "ipc:///run/tidemark/worker.sock", ALL_LIMITS),
    "fork-unlimited": zygote.Fork(TOKEN, CELL, BORN, "ipc:///w", Limits()),
    "fork-spare": zygote.Fork(TOKEN, "", NO_LIFE, "ipc:///w", Limits()),
    "lodge": zygote.Lodge(TOKEN, CELL),
    "kill": zygote.Kill(TOKEN),
    "forget": zygote.Forget(TOKEN),
    "quit": zygote.Quit(),
}
