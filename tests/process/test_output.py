"""Output is never lost and never twice: numbers, acknowledgements, observers that vanish."""

from __future__ import annotations

import asyncio
import os
import pickle

import pytest
import tidemark
from tidemark import Pending, Terminated, Text, Yielded

from fakes.cells import completed, in_state, pending, queued, shown, texts
from fakes.doors import Doors
from fakes.running_supervisor import HostProcess, RunningSupervisor
from fakes.waiting import until

TALK = """
text("one")
await tools.knock(door="a")
text("two")
await tools.knock(door="b")
text("three")
"""


def continuing(client: tidemark.Client, cell: str, after: int | None = None) -> tidemark.Cell:
    handle = client.cell(cell, after=after)
    assert isinstance(handle, tidemark.Cell)
    return handle


def pausable(client: tidemark.Client, cell: str) -> tidemark.PausableCell:
    handle = client.cell(cell)
    assert isinstance(handle, tidemark.PausableCell)
    return handle


def test_yields_carry_what_no_event_has_carried(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_cell(TALK)
    doors.until_knocked("a")
    first = cell.observe(0)
    assert first == Yielded(1, (Text("one", 0),))
    nothing = cell.observe(0)
    assert nothing == Yielded(1, ())  # without output it makes no event
    doors.open("a")
    doors.until_knocked("b")
    assert cell.observe(0) == Yielded(2, (Text("two", 1),))
    doors.open("b")
    end = completed(cell)
    assert (end.number, end.output) == (3, (Text("three", 2),))


def test_the_first_yield_before_any_observation_is_remembered(session: tidemark.Session) -> None:
    cell = session.create_cell("""
text("before")
yield_control()
text("after")
yield_control()
text("later")
await asyncio.Event().wait()
""")
    until(lambda: cell.status().stuck)
    assert cell.observe(60) == Yielded(1, (Text("before", 0),))
    rest = cell.observe(0)
    assert texts(rest.output) == ["after", "later"]
    assert rest.number == 2


def test_a_yield_that_an_observer_waits_for_answers_it(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_cell("""
yield_control()
await tools.knock(door="a")
text("now")
yield_control()
text("behind")
await asyncio.Event().wait()
""")
    assert cell.observe(60) == Yielded(0, ())  # the yield before the first observation
    doors.open("a")
    assert cell.observe(60) == Yielded(1, (Text("now", 0),))
    assert shown(cell.observe(0.05)) == "behind"


def test_yield_after_counts_from_the_start_of_the_cell(session: tidemark.Session) -> None:
    cell = session.create_cell("text('on')\nwhile True: pass")
    first = cell.observe(0.05)
    assert isinstance(first, Yielded)
    until(lambda: cell.status().state == "running")
    if not first.output:
        first = cell.observe(0.2)
    assert shown(first) == "on"
    assert isinstance(cell.terminate(), Terminated)


def test_a_yield_does_nothing_in_a_pausable_cell(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_pausable_cell("text('a')\nyield_control()\n" + TALK)
    event = pending(cell)
    assert texts(event.output) == ["a", "one"]
    assert event.number == 1


def test_an_event_that_nobody_acknowledged_can_be_had_again(
    session: tidemark.Session, client: tidemark.Client, doors: Doors
) -> None:
    cell = session.create_cell(TALK)
    doors.until_knocked("a")
    first = cell.observe(0)
    anew = continuing(client, cell.id)
    assert anew.observe(0) == first  # by another host, byte for byte
    assert session.cell(cell.id).observe(0) == first  # type: ignore[union-attr]
    cell.observe(0)  # this asks for the next, and so acknowledges the first
    assert continuing(client, cell.id).observe(0) == Yielded(1, ())
    doors.open("a", "b")
    end = completed(cell)
    again = continuing(client, cell.id)
    assert again.observe(0) == end
    assert continuing(client, cell.id, after=end.number - 1).observe(0) == end
    with pytest.raises(tidemark.CellClosedError) as caught:
        cell.observe(0)
    assert caught.value.outcome == "completed"


def test_observing_behind_an_event_that_was_never_made_is_refused(
    session: tidemark.Session, client: tidemark.Client
) -> None:
    cell = session.create_cell("await asyncio.Event().wait()")
    with pytest.raises(tidemark.ProtocolError, match="never made"):
        continuing(client, cell.id, after=7).observe(0)


def test_repeated_frontiers_are_equal_for_everybody(
    session: tidemark.Session, client: tidemark.Client
) -> None:
    cell = session.create_pausable_cell(TALK)
    event = pending(cell)
    assert pending(cell) is event or pending(cell) == event
    other = pending(pausable(client, cell.id))
    assert other == event
    assert pickle.loads(pickle.dumps(event)) == event
    assert "generation=1, tool_calls=(ToolCall(id='tool-1'" in repr(event)


def test_output_of_a_frontier_that_nobody_acknowledged_comes_with_the_next(
    session: tidemark.Session, client: tidemark.Client, doors: Doors
) -> None:
    doors.open("a")
    cell = session.create_pausable_cell(TALK)
    in_state(cell, "paused")
    # This handle never received frontier 1, so its resume acknowledges nothing.
    pausable(client, cell.id).resume(1)
    event = pending(cell)
    assert event.generation == 2
    assert texts(event.output) == ["one", "two"]
    assert [item.index for item in event.output] == [0, 1]
    assert event.number == 2  # number 1 was skipped


def test_a_handle_never_hands_an_item_out_twice(
    session: tidemark.Session, client: tidemark.Client, doors: Doors
) -> None:
    doors.open("a")
    cell = session.create_pausable_cell(TALK)
    assert texts(pending(cell).output) == ["one"]
    pausable(client, cell.id).resume(1)  # without an acknowledgement
    event = pending(cell)
    assert texts(event.output) == ["two"]
    assert texts(pending(pausable(client, cell.id)).output) == ["one", "two"]


def test_terminate_carries_what_was_not_delivered(
    session: tidemark.Session, client: tidemark.Client, doors: Doors
) -> None:
    cell = session.create_cell(TALK)
    doors.until_knocked("a")
    assert shown(cell.observe(0)) == "one"
    doors.open("a")
    doors.until_knocked("b")
    end = cell.terminate()
    assert end == Terminated(2, (Text("two", 1),))
    assert cell.terminate() == end
    assert continuing(client, cell.id).terminate() == end
    assert continuing(client, cell.id).observe(0) == end


def test_terminate_skips_the_number_of_a_frontier_that_nobody_acknowledged(
    session: tidemark.Session,
) -> None:
    cell = session.create_pausable_cell(TALK)
    in_state(cell, "paused")
    end = cell.terminate()
    assert end == Terminated(2, (Text("one", 0),))
    assert cell.wait_to_pending() == end


def test_a_waiting_observer_gets_the_same_end_as_who_terminates(
    session: tidemark.Session, supervisor: RunningSupervisor
) -> None:
    async def main() -> None:
        cell = session.create_cell("text('x')\nawait asyncio.Event().wait()")
        async with tidemark.connect_async(supervisor.endpoint) as client:
            handle = await client.cell(cell.id)
            assert isinstance(handle, tidemark.AsyncCell)
            observation = asyncio.create_task(handle.observe(60))
            await until_observed(client, cell.id)
            end = await asyncio.to_thread(cell.terminate)
            assert await observation == end

    asyncio.run(main())


async def until_observed(client: tidemark.AsyncClient, cell: str) -> None:
    """Wait until some observation waits on the cell: then a second one is refused."""
    deadline = asyncio.get_running_loop().time() + 10
    while True:
        probe = await client.cell(cell)
        try:
            async with asyncio.timeout(0.05):
                if isinstance(probe, tidemark.AsyncCell):
                    await probe.observe(30)
                else:
                    await probe.wait_to_pending()
        except tidemark.BusyObserverError:
            return
        except TimeoutError:
            assert asyncio.get_running_loop().time() < deadline


def test_a_second_observer_is_told_who_waits(
    supervisor: RunningSupervisor, session: tidemark.Session
) -> None:
    async def main() -> None:
        cell = session.create_pausable_cell("await tools.knock(door='a')\nwhile True: pass")
        await asyncio.to_thread(pending, cell)
        await asyncio.to_thread(cell.resume, 1)
        async with (
            tidemark.connect_async(supervisor.endpoint) as one,
            tidemark.connect_async(supervisor.endpoint) as two,
        ):
            first, second = await one.cell(cell.id), await two.cell(cell.id)
            assert isinstance(first, tidemark.AsyncPausableCell)
            assert isinstance(second, tidemark.AsyncPausableCell)
            waiting = asyncio.create_task(first.wait_to_pending())
            await until_observed(one, cell.id)  # on its connection: in this order
            with pytest.raises(tidemark.BusyObserverError) as caught:
                await second.wait_to_pending()
            assert str(os.getpid()) in caught.value.by
            assert caught.value.since > 1.6e9
            assert not waiting.done()
            took = asyncio.create_task(second.wait_to_pending(take_over=True))
            with pytest.raises(tidemark.BusyObserverError):
                await waiting
            assert not took.done()
            end = await first.terminate()
            assert await took == end

    asyncio.run(main())


def test_a_cancelled_observation_loses_nothing_and_is_in_nobodys_way(
    session: tidemark.Session, supervisor: RunningSupervisor, doors: Doors
) -> None:
    async def main() -> None:
        cell = session.create_cell(TALK)
        async with tidemark.connect_async(supervisor.endpoint) as client:
            handle = await client.cell(cell.id)
            assert isinstance(handle, tidemark.AsyncCell)
            observation = asyncio.create_task(handle.observe(60))
            await until_observed(client, cell.id)
            observation.cancel()
            with pytest.raises(asyncio.CancelledError):
                await observation
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await handle.observe(60)
            doors.open("a", "b")
            event = await handle.observe(60)
            assert shown(event) == "onetwothree"
            assert isinstance(event, tidemark.Completed)

    asyncio.run(main())


def test_an_observation_is_cancelled_at_the_moment_of_its_answer(
    session: tidemark.Session, supervisor: RunningSupervisor
) -> None:
    async def main() -> None:
        cell = session.create_cell("""
for n in range(400):
    text(str(n) + " ")
    yield_control()
    await asyncio.sleep(0.001)
""")
        got: list[str] = []
        async with tidemark.connect_async(supervisor.endpoint) as client:
            handle = await client.cell(cell.id)
            assert isinstance(handle, tidemark.AsyncCell)
            turn = 0
            while True:
                turn += 1
                try:
                    async with asyncio.timeout(0.0005 * (turn % 7)):
                        event = await handle.observe(10)
                except TimeoutError:
                    continue
                got += shown(event).split()
                if isinstance(event, tidemark.Completed):
                    break
        assert got == [str(n) for n in range(400)]

    asyncio.run(main())


OBSERVER = """
with tidemark.connect(sys.argv[1]) as client:
    cell = client.cell(sys.argv[2])
    say(cell.observe(0).number)
    cell.observe(600)
"""


def test_an_observer_whose_process_is_killed_frees_its_place(
    session: tidemark.Session, supervisor: RunningSupervisor, doors: Doors
) -> None:
    cell = session.create_cell(TALK)
    doors.until_knocked("a")
    host = HostProcess(OBSERVER, supervisor.endpoint, cell.id)
    try:
        assert host.hear() == 1

        def busy() -> bool:
            try:
                cell.observe(0.01)
            except tidemark.BusyObserverError as error:
                return str(host.process.pid) in error.by
            return False

        until(busy)
        host.kill()
        until(lambda: not busy(), what="the place of the killed observer")
    finally:
        host.close()
    doors.open("a", "b")
    assert texts(completed(cell).output) == ["two", "three"]


def test_a_resume_from_another_host_of_what_a_killed_one_saw(
    session: tidemark.Session, supervisor: RunningSupervisor, doors: Doors
) -> None:
    cell = session.create_pausable_cell(TALK)
    pending_there = """
with tidemark.connect(sys.argv[1]) as client:
    say(client.cell(sys.argv[2]).wait_to_pending().number)
    hear()
"""
    host = HostProcess(pending_there, supervisor.endpoint, cell.id)
    assert host.hear() == 1
    host.kill()
    host.close()
    doors.open("a")
    queued(cell, 1)
    cell.resume(1)
    assert texts(pending(cell).output) == ["one", "two"]


def test_history_tells_everything_in_order(session: tidemark.Session, doors: Doors) -> None:
    doors.open("a", "b")
    cell = session.create_pausable_cell(TALK)
    event: object = pending(cell)
    while isinstance(event, Pending):
        event = cell.step(event.generation)
    entries = cell.history()
    numbers = [entry.number for entry in entries]
    assert numbers == sorted(set(numbers))
    times = [entry.at for entry in entries]
    assert times == sorted(times)
    words = [entry.what for entry in entries]
    wanted = ["cell created", "frontier reached", "generation consumed", "call finished"]
    assert [word for word in wanted if word not in words] == []
    assert words[0] == "cell created"
    first = cell.history(limit=2)
    assert first == entries[:2]
    assert cell.history(after=first[-1].number) == entries[2:]
    assert cell.history(after=numbers[-1]) == ()


def test_watching_moves_and_acknowledges_nothing(
    session: tidemark.Session, client: tidemark.Client, doors: Doors
) -> None:
    cell = session.create_pausable_cell(TALK)
    watcher = pausable(client, cell.id).watch()
    first = next(watcher)
    assert first == pending(cell)
    assert next(pausable(client, cell.id).watch()) == first
    doors.open("a", "b")
    second = cell.step(1)
    assert next(watcher) == second
    end = cell.step(2)
    assert next(watcher) == end
    with pytest.raises(StopIteration):
        next(watcher)
    kept = list(cell.watch())
    assert "".join(shown(event) for event in kept) == "onetwothree"
    assert list(cell.watch(after=end.number)) == []  # type: ignore[union-attr]


def test_events_of_a_session_come_in_the_order_of_the_journal(
    session: tidemark.Session, doors: Doors
) -> None:
    doors.open("a", "b")
    events = session.events()
    pausing = session.create_pausable_cell(TALK)
    first = next(events)
    assert first.cell_id == pausing.id
    assert isinstance(first.event, Pending)
    quick = session.create_cell("text('quick')")
    second = next(events)
    assert (second.cell_id, shown(second.event)) == (quick.id, "quick")
    assert second.position > first.position
    pausing.terminate()
    third = next(events)
    assert (third.cell_id, type(third.event)) == (pausing.id, Terminated)
    again = session.events(after=first.position)
    assert next(again) == second
    assert next(again) == third
    events.close()  # type: ignore[attr-defined]
    again.close()  # type: ignore[attr-defined]


def test_images_and_plain_values_are_output(session: tidemark.Session) -> None:
    cell = session.create_cell("""
class Picture:
    def _repr_png_(self):
        return b"\\x89PNG\\r\\n\\x1a\\nrest"
text("a", 1, [True, None], {"k": 1.5})
image(Picture(), detail="low")
image("data:image/gif;base64,R0lGODlhAQABAAAAACw=")
try:
    image("https://example.org/x.png")
except ValueError as error:
    print("refused")
""")
    one, two, three, four = completed(cell).output
    assert one == Text('a 1 [true, null] {"k": 1.5}', 0)
    assert isinstance(two, tidemark.Image)
    assert two.url.startswith("data:image/png;base64,")
    assert (two.detail, two.index) == ("low", 1)
    assert isinstance(three, tidemark.Image)
    assert (three.detail, three.index) == (None, 2)
    assert four == Text("refused\n", 3)


def test_what_a_signal_calls_never_speaks_in_the_middle_of_a_message() -> None:
    """Large messages go out in parts, between which Python runs what a cell does on signals."""
    source = """
import signal
left = list(range(200))  # however long the loop takes: output is bounded
signal.signal(signal.SIGALRM, lambda *_: left and left.pop() and text("h" * 70_000))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
for _ in range(20):
    text("m" * 300_000)
signal.setitimer(signal.ITIMER_REAL, 0)
exit("whole")
"""
    with tidemark.Session(isolation="process") as session:
        cell = session.create_cell(source)
        said = []
        while not isinstance(event := cell.observe(10.0), tidemark.Completed):
            said += event.output
        said += event.output
    assert event.value == "whole", (event.reason, event.error)
    assert {(set(item.text).pop(), len(item.text)) for item in said} == {
        ("m", 300_000),
        ("h", 70_000),
    }
    assert sum(item.text[0] == "m" for item in said) == 20


def test_a_signal_that_comes_when_the_cell_has_ended_changes_nothing(
    supervisor: RunningSupervisor,
) -> None:
    source = """
import signal
def late(*_):
    raise RuntimeError("late")
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.0004, 0.0003)
exit("done")
"""
    with tidemark.Session(endpoint=supervisor.endpoint, replay=False) as session:
        ends = [completed(session.create_cell(source)) for _ in range(100)]
        session.close()
    assert {end.reason for end in ends} <= {"ended", "raised"}  # it may come before the end, too
    assert "done" in {end.value for end in ends}
