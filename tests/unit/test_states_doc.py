"""docs/STATES.md has the law as it is in the code; `--rewrite` writes its tables anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tidemark.protocol.ids import NO_REQUEST, Incarnation, RequestRef
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, EventKind, Reason, Stepping
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.apply import apply
from tidemark.supervisor.core.facts import Cell, EventMark, Phase
from tidemark.supervisor.core.law import LEGAL, CellState, Resuming, Told, legal

BEGIN = "<!-- generated: begin (pytest tests/unit/test_states_doc.py --rewrite) -->"
END = "<!-- generated: end -->"
FROM_HOSTS = (
    Told.OBSERVE,
    Told.WAIT_TO_PENDING,
    Told.RESUME,
    Told.STEP,
    Told.TERMINATE,
    Told.FINISH_CALL,
    Told.HIBERNATE,
)
FROM_THE_MACHINE = (Told.WORKER_ENDED, Told.NOT_FORKED, Told.TIMER_DUE)
FROM_THE_WORKER = tuple(t for t in Told if t not in FROM_HOSTS and t not in FROM_THE_MACHINE)

REQUEST = RequestRef(1, 2)
BORN = Incarnation(1, 1)


def blank(phase: Phase) -> CellState:
    """A state of this phase, with nothing else in it."""
    cell = Cell(
        id="c",
        session="s",
        kind=CellKind.PAUSABLE,
        stepping=Stepping.DRAIN,
        name="",
        limits=Limits(),
        created_us=0,
        created_by=NO_REQUEST,
        stored_version=0,
        tools_of=1,
        incarnation=BORN,
        generation=1,
    )
    fact = Phase.PAUSED if phase is Phase.CONTINUING else phase
    state = CellState(replace(cell, phase=fact))
    state = resume(state) if phase is Phase.CONTINUING else state
    assert state.phase is phase
    return state


def resume(state: CellState) -> CellState:
    """What asking for the current generation does: a wish, and no fact."""
    if state.phase is not Phase.PAUSED:
        return state
    wish = Resuming(REQUEST, 1, 1, 0, 0, None, (), repeat_ns=1, repeat_at_ns=1)
    return state.waiting(resuming=wish)


def fact(record: r.CellRecord) -> Callable[[CellState], CellState]:
    def act(state: CellState) -> CellState:
        after = replace(state, cell=apply(state.cell, record, 1))
        # What ends a wish is the record that somebody waits for.
        ends = isinstance(record, (r.GenerationConsumed, r.CellCompleted, r.CellTerminated))
        return after.waiting(resuming=None) if ends else after

    return act


def unless_starting(act: Callable[[CellState], CellState]) -> Callable[[CellState], CellState]:
    """A worker that ends before it was given its cell is replaced, and nothing else happens."""
    return lambda state: state if state.phase is Phase.STARTING else act(state)


ENDED = fact(r.CellCompleted(EventMark(EventKind.COMPLETED, 1, 0, 0, reason=Reason.ENDED), 0))
SAID = fact(r.WorkerSaid(BORN, 1, (), ()))
PENDING = EventMark(EventKind.PENDING, 1, 0, 0, generation=2)
#: What happens to a state when the law lets this happen: a record is made, or a wish begins.
ACTS: dict[Told, Callable[[CellState], CellState]] = {
    Told.HELLO: lambda state: state.waiting(greeted_ns=1),
    Told.RESUME: resume,
    Told.STEP: resume,
    Told.TERMINATE: fact(r.CellTerminated(EventMark(EventKind.TERMINATED, 1, 0, 0), REQUEST)),
    Told.CONFIRMED: fact(r.GenerationConsumed(1, 1, REQUEST, 0)),
    Told.PAUSED: fact(r.FrontierReached(PENDING)),
    Told.FINISHED: ENDED,
    Told.WORKER_ENDED: unless_starting(ENDED),
    Told.TIMER_DUE: fact(r.TimerDue(1, 1)),
    **dict.fromkeys((Told.EMITTED, Told.CALLED, Told.ABANDONED, Told.NOTIFIED, Told.WROTE), SAID),
    **dict.fromkeys((Told.YIELD_ASKED, Told.WAITED, Told.FLAGGED), SAID),
}


def transitions() -> dict[tuple[Phase, Phase], list[Told]]:
    """Which events lead from one phase to another."""
    found: dict[tuple[Phase, Phase], list[Told]] = {}
    for phase in Phase:
        if phase is Phase.FINISHED:
            continue  # facts of a finished cell do not change any more, whoever asks
        for told, act in ACTS.items():
            if not legal(blank(phase), told):
                continue
            after = act(blank(phase)).phase
            if after is not phase:
                found.setdefault((phase, after), []).append(told)
    return found


def law_table() -> str:
    lines = [
        "| from | event | " + " | ".join(phase.value for phase in Phase) + " |",
        "|---|---|" + ":-:|" * len(Phase),
    ]
    for whom, rows in (
        ("hosts", FROM_HOSTS),
        ("the worker", FROM_THE_WORKER),
        ("the machine", FROM_THE_MACHINE),
    ):
        for told in rows:
            marks = ["yes" if told in LEGAL[phase] else "" for phase in Phase]
            lines.append(f"| {whom} | {told.value} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> starting: created"]
    for (before, after), why in transitions().items():
        words = ", ".join(told.value for told in why)
        lines.append(f"    {before.value} --> {after.value}: {words}")
    return "\n".join([*lines, "    finished --> [*]", "```"])


def test_the_document_has_the_law_of_the_code(root: Path, expected: Any) -> None:
    path = root / "docs/STATES.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{path} has lost its markers"
    tables = f"### What may happen when\n\n{law_table()}\n\n### What leads where\n\n{diagram()}"
    expected.check(path, f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


def test_every_event_is_in_one_row() -> None:
    rows = [*FROM_HOSTS, *FROM_THE_WORKER, *FROM_THE_MACHINE]
    assert sorted(told.value for told in rows) == sorted(told.value for told in Told)


def test_a_cell_can_reach_every_phase_and_end_from_each() -> None:
    found = transitions()
    assert {after for _, after in found} == set(Phase) - {Phase.STARTING}
    assert {before for before, after in found if after is Phase.FINISHED} == set(Phase) - {
        Phase.FINISHED
    }
