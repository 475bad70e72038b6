"""Text stories: each file of commands is told anew, and must read as it is written.

A line at the margin is a command (or, with #, a comment); indented lines are what it caused, in
order: what was committed to the journal, then what was said. `pytest --rewrite` writes them anew.
What the commands are is seen best in a story; all of them are in `COMMANDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tidemark.protocol import host_requests as h
from tidemark.protocol import values
from tidemark.protocol import worker_messages as w
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, InputKind, OnUnknown, Stepping
from tidemark.supervisor.core.records import CellCreated, Entry

from transcripts import saying
from transcripts.players import Host, Worker, creation
from transcripts.stage import MS, SECOND, Killed, Stage
from transcripts.storyteller import Storyteller

STORIES = sorted(Path(__file__).parent.glob("*.txt"))
UNITS = {"ms": MS, "s": SECOND}


class Story:
    """One stage, the names of a story, and what was heard since the last command."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self.teller = Storyteller()
        self.stage = Stage(path)
        self.hosts: dict[str, Host] = {}
        self.cells: dict[str, str] = {}
        self.next_cell = ""
        self.deaf: set[str] = set()
        self.stage.wires.told = self._told
        self.stage.processes.told = self._ordered
        self._listen()
        self.stage.run()
        self.lines.clear()

    def _listen(self) -> None:
        self.stage.store.told = self._committed

    def _committed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if isinstance(entry.record, CellCreated):
                self.cells[self.next_cell] = entry.scope
                self.teller.cells[entry.scope] = self.next_cell
        self.lines += self.teller.commit(entries)

    def _told(self, whom: str, name: bytes, message: Any) -> None:
        if whom == "host":
            found = next((n for n, each in self.hosts.items() if each.connection == name), "?")
            lost = "  (lost)" if found in self.deaf else ""
            self.lines.append(f"-> {found}: {self.teller.to_host(message)}{lost}")
        else:
            self.lines.append(f"-> {self._worker(name)}: {self.teller.to_worker(message)}")

    def _ordered(self, what: str, token: bytes) -> None:
        self.lines.append(f"-> zygote: {what} {self._worker(token)}")

    def _worker(self, token: bytes) -> str:
        cell, incarnation = self.stage.processes.names[token]
        return f"{self.teller.cell(cell)}'s worker {incarnation}"

    def worker(self, cell: str) -> Worker:
        return self.stage.worker(self.cells[cell])

    def tell(self, command: str) -> list[str]:
        """Carry out one command; what it caused."""
        self.lines.clear()
        for pattern, act in COMMANDS:
            found = re.fullmatch(pattern, command)
            if found is not None:
                try:
                    act(self, **found.groupdict())
                except Killed:
                    self.lines.append("(the supervisor is killed here)")
                    self.stage.crash()
                return list(self.lines)
        raise AssertionError(f"no such command: {command!r}")


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _opens(
    story: Story,
    host: str,
    session: str,
    tools: str | None,
    replay: str | None,
    over: str | None,
) -> None:
    named = [saying.tool(*_tool(each)) for each in (tools or "").split(", ") if each]
    made = Host(
        story.stage,
        len(story.stage.hosts) + 1,
        session,
        tuple(named),
        {"take_over": over is not None, "replay": replay is None},
    )
    _enters(story, host, made)


def _tool(text: str) -> tuple[str, OnUnknown]:
    name, _, on_unknown = text.partition(":")
    return name, OnUnknown(on_unknown or "ask")


def _visits(story: Story, host: str) -> None:
    _enters(story, host, Host(story.stage, len(story.stage.hosts) + 1, None, (), {}))


def _enters(story: Story, name: str, host: Host) -> None:
    story.stage.hosts.append(host)
    story.hosts[name] = host
    host.attach()
    story.teller.hosts[host.attachment] = name


def _creates(story: Story, host: str, kind: str, cell: str, how: str | None) -> None:
    wishes: dict[str, Any] = {}
    for word in (how or "").split(", "):
        name, _, value = word.partition(" ")
        if name == "key":
            wishes["key"] = value
        elif name == "stepping":
            wishes["stepping"] = Stepping(value)
        elif name == "output":
            wishes["limits"] = Limits(output_bytes=int(value))
    story.next_cell = cell
    story.hosts[host].sends(creation(CellKind(kind), **wishes))


def _asks(make: Callable[..., h.Ask]) -> Callable[..., None]:
    def act(story: Story, host: str, **words: str | None) -> None:
        if "cell" in words:
            words["cell"] = story.cells[words["cell"] or ""]
        story.hosts[host].sends(make(**words))

    return act


def _observe(
    cell: str, after: str | None, time: str | None, unit: str | None, over: str | None
) -> h.Ask:
    ns = 10 * SECOND if time is None else int(time) * UNITS[unit or "s"]
    return h.Observe(cell, _number(after), ns, over is not None)


def _finish(cell: str, number: str, how: str | None, value: str | None) -> h.Ask:
    ref = h.CallRef(cell, int(number))
    if how == "with an error":
        return h.FinishCall(ref, InputKind.ERROR, b"", value or "", False)
    return h.FinishCall(ref, InputKind.RESULT, values.encode(value), "", False)


def _wait(cell: str) -> h.Ask:
    return h.WaitToPending(cell, take_over=False)


def _resume(cell: str, generation: str, after: str | None) -> h.Ask:
    return h.Resume(cell, int(generation), _number(after))


def _step(cell: str, generation: str, after: str | None) -> h.Ask:
    return h.Step(cell, int(generation), _number(after))


def _terminate(cell: str) -> h.Ask:
    return h.Terminate(cell, None)


def _let_go(cell: str, number: str) -> h.Ask:
    ref = h.CallRef(cell, int(number))
    return h.FinishCall(ref, InputKind.ERROR, b"", "", cancelled=True)


def _store(key: str, value: str) -> h.Ask:
    return h.StoredSet(key, values.encode(value))


def _repeats(story: Story, host: str, number: str, cell: str | None) -> None:
    story.next_cell = cell or ""
    story.hosts[host].repeats(int(number))


def _cancels(story: Story, host: str) -> None:
    who = story.hosts[host]
    who.sends(h.Cancel(who.last))


def _comes_back(story: Story, host: str) -> None:
    story.hosts[host].reconnects()


def _vanishes(story: Story, host: str) -> None:
    story.hosts[host].vanishes()


def _says(story: Story, cell: str, words: str) -> None:
    worker = story.worker(cell)
    calls = sum(isinstance(item, w.Called) for items in worker.said for item in items)
    items: list[w.Item] = []
    for word in words.split("; "):
        many = re.fullmatch(r"called (\w+) (\d+) times", word)
        for _ in range(int(many[2]) if many else 1):
            calls += word.startswith("called ")
            items.append(_item(worker, f"called {many[1]}" if many else word, calls))
    worker.says(*items)


def _item(worker: Worker, word: str, calls: int) -> w.Item:
    word, _, line = word.partition(" at line ")
    verb, _, rest = word.partition(" ")
    number, _, after = rest.partition(" after input ")
    taken = int(rest.removeprefix("after input ") or 0) if rest.startswith("after") else 0
    items: dict[str, Callable[[], w.Item]] = {
        "confirms": lambda: saying.confirms(worker.last(w.Continue)),
        "called": lambda: saying.called(calls, rest),
        "paused": lambda: saying.paused(int(number), int(after or 0)),
        "text": lambda: saying.text(rest.strip('"')),
        "yields": saying.yielded,
        "waits": lambda: saying.waited(taken),
        "stores": lambda: saying.wrote(*rest.split(" = ")),
        "notifies": lambda: saying.notified(rest.strip('"')),
        "abandons": lambda: saying.abandoned(int(rest.removeprefix("tool-"))),
        "ended": lambda: saying.ended(taken=taken),
        "raised": lambda: saying.raised(rest.strip('"')),
    }
    item = items[verb]()
    return replace(item, line=int(line)) if line else item  # type: ignore[type-var]


def _starts(story: Story, cell: str) -> None:
    story.worker(cell).hello()


def _dies(story: Story, cell: str) -> None:
    story.worker(cell).ends(-9)


def _adopted(story: Story, cell: str) -> None:
    story.worker(cell).adopted()


def _pass(story: Story, time: str, unit: str) -> None:
    story.stage.passes(int(time) * UNITS[unit])


def _killed(story: Story) -> None:
    story.stage.crash()


def _killed_at(story: Story, when: str) -> None:
    setattr(story.stage.store, f"dies_{when}", True)


def _begins(story: Story) -> None:
    story.stage.restart()
    story._listen()


def _disk(story: Story, how: str) -> None:
    story.stage.store.full = how == "is full"


def _answers(story: Story, host: str, how: str) -> None:
    (story.deaf.add if how == "get lost" else story.deaf.discard)(host)


def _kills(story: Story, how: str) -> None:
    story.stage.processes.kills = how == "works again"


HOST = r"(?P<host>[A-Z])"
CELL = r"(?P<cell>c\d)"
COMMANDS: list[tuple[str, Callable[..., None]]] = [
    (
        rf"host {HOST} opens (?P<session>\w+)(?: with (?P<tools>[\w:, ]+?))?"
        r"(?P<replay>, without replay)?(?P<over>, taking it over)?",
        _opens,
    ),
    (rf"host {HOST} visits", _visits),
    (rf"{HOST} creates (?P<kind>pausable|continuing) {CELL}(?: with (?P<how>.*))?", _creates),
    (
        rf"{HOST} observes {CELL}(?: after (?P<after>\d+))?"
        r"(?: for (?P<time>\d+) (?P<unit>ms|s))?(?P<over>, taking over)?",
        _asks(_observe),
    ),
    (rf"{HOST} waits for {CELL}", _asks(_wait)),
    (rf"{HOST} resumes {CELL} at (?P<generation>\d+)(?: after (?P<after>\d+))?", _asks(_resume)),
    (rf"{HOST} steps {CELL} at (?P<generation>\d+)(?: after (?P<after>\d+))?", _asks(_step)),
    (rf"{HOST} terminates {CELL}", _asks(_terminate)),
    (
        rf"{HOST} finishes tool-(?P<number>\d+) of {CELL}"
        r"(?: (?P<how>with|with an error) \"(?P<value>.*)\")?",
        _asks(_finish),
    ),
    (rf"{HOST} lets go of tool-(?P<number>\d+) of {CELL}", _asks(_let_go)),
    (rf"{HOST} looks at the frontier of {CELL}", _asks(h.AskFrontier)),
    (rf"{HOST} asks for the status of {CELL}", _asks(h.AskStatus)),
    (rf"{HOST} lists open calls", _asks(h.ListCalls)),
    (rf"{HOST} stores (?P<key>\w+) = (?P<value>\w+)", _asks(_store)),
    (rf"{HOST} loads (?P<key>\w+)", _asks(h.StoredGet)),
    (rf"{HOST} closes", _asks(h.CloseSession)),
    (rf"{HOST} detaches", _asks(h.Detach)),
    (rf"{HOST} repeats request (?P<number>\d+)(?:, which makes {CELL})?", _repeats),
    (rf"{HOST} cancels its last request", _cancels),
    (rf"{HOST} comes back", _comes_back),
    (rf"{HOST}'s process ends", _vanishes),
    (rf"answers to {HOST} (?P<how>get lost|arrive again)", _answers),
    (rf"{CELL} starts", _starts),
    (rf"{CELL} says (?P<words>.*)", _says),
    (rf"{CELL} answers Adopt", _adopted),
    (rf"{CELL}'s worker dies", _dies),
    (r"(?P<time>\d+) (?P<unit>ms|s) pass", _pass),
    (r"the supervisor is killed", _killed),
    (r"the supervisor will be killed (?P<when>before|after) its next commit", _killed_at),
    (r"a supervisor begins", _begins),
    (r"the disk (?P<how>is full|has room)", _disk),
    (r"killing (?P<how>takes long|works again)", _kills),
]


def told(text: str, path: Path) -> str:
    """The story, its commands carried out and what they cause written anew."""
    story = Story(path)
    lines = []
    try:
        for line in text.splitlines():
            if line.startswith(" "):
                continue
            lines.append(line)
            if line and not line.startswith("#"):
                lines += [f"    {each}" for each in story.tell(line)]
    finally:
        story.stage.store.close()
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path, tmp_path: Path, expected: Any) -> None:
    expected.check(path, told(path.read_text(encoding="utf-8"), tmp_path / "journal.db"))


def test_there_are_stories() -> None:
    assert len(STORIES) >= 15
