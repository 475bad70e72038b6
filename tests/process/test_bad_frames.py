"""Bytes that no honest peer could have sent, on each socket: refused, and nothing is changed."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import tidemark
from tidemark.protocol import codec
from tidemark.protocol.host_answers import Answered, Refused, Unattached
from tidemark.protocol.host_requests import AskInfo, Attach, Request
from tidemark.protocol.limits import MESSAGE_BYTES_MAX
from tidemark.protocol.worker_messages import Said

from fakes.cells import completed, pending, pid_of, run_through
from fakes.doors import Doors
from fakes.process_watch import alive, zygote_of
from fakes.raw_wire import RawWire
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

ATTACH = Attach(b"t" * 16, 0, os.getpid(), "raw", 0, 0, None, ())
HELLO = codec.FROM_HOST.encode(Request(0, 1, 1, (), ATTACH))


def run_of(supervisor: RunningSupervisor) -> Path:
    """The directory of its sockets."""
    return Path(json.loads((supervisor.state / "supervisor.json").read_text())["run"])


@pytest.fixture
def bystander(
    supervisor: RunningSupervisor, session: tidemark.Session, doors: Doors
) -> Iterator[None]:
    """A paused cell that must not notice anything; the supervisor must not have been restarted."""
    cell = session.create_pausable_cell("await tools.knock(door='a')\nexit('unharmed')")
    before = pending(cell)
    with tidemark.connect(supervisor.endpoint) as client:
        was = client.info()
        yield
        now = client.info()
    assert (now.pid, now.epoch) == (was.pid, was.epoch)
    assert pending(cell) == before
    doors.open("a")
    assert run_through(cell).value == "unharmed"


def cuts(frames: list[bytes]) -> list[list[bytes]]:
    """The message cut short, with frames missing and with one too many."""
    header, body = frames
    truncated = [[header, body[:length]] for length in range(len(body))]
    headers = [[header[:length], body] for length in range(len(header))]
    return [*truncated, *headers, [header], [body], [], [b""], [header, body, b"more"]]


def refusal(wire: RawWire) -> Refused | None:
    """What the supervisor answers, if it answers."""
    frames = wire.hear()
    if frames is None:
        return None
    message = codec.TO_HOST.decode(frames)
    assert isinstance(message, Refused), message
    return message


@pytest.mark.usefixtures("bystander")
def test_truncated_messages_of_a_host_are_refused(supervisor: RunningSupervisor) -> None:
    with RawWire(supervisor.endpoint) as wire:
        wrong = [frames for frames in cuts(HELLO) if frames]
        for frames in wrong:
            wire.say(frames)
            answer = refusal(wire)
            assert answer is not None, frames
            assert (answer.code, answer.number) == ("protocol", 0)
        wire.say(HELLO)
        attached = wire.hear()
        assert attached is not None
        assert isinstance(codec.TO_HOST.decode(attached), Answered)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\xff\xff\xff\xff",  # an array that claims four thousand million items
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\xc1",
        b"\x80",
        os.urandom(1_000),
        b"\x94\x00\x01\x01\x90\x92\x01\x98" + b"\xc0" * 8,
    ],
    ids=["array", "map", "bytes", "nested", "reserved", "empty-map", "random", "nils"],
)
def test_hostile_bodies_of_a_host_are_refused(supervisor: RunningSupervisor, body: bytes) -> None:
    with RawWire(supervisor.endpoint) as wire:
        wire.say([HELLO[0], body])
        answer = refusal(wire)
        assert answer is not None
        assert answer.code == "protocol"


@pytest.mark.usefixtures("bystander")
def test_an_oversized_frame_of_a_host_never_arrives(supervisor: RunningSupervisor) -> None:
    with RawWire(supervisor.endpoint) as wire:
        wire.say([HELLO[0], b"\x00" * (MESSAGE_BYTES_MAX + 1_000_000)])
        answer = wire.hear(1_000)
        if answer is not None:
            message = codec.TO_HOST.decode(answer)
            assert isinstance(message, Refused)
            assert message.code == "protocol"


@pytest.mark.usefixtures("bystander")
def test_another_version_of_the_protocol_is_told_so(supervisor: RunningSupervisor) -> None:
    with RawWire(supervisor.endpoint) as wire:
        for version in (0, 2, 255):
            wire.say([b"TM" + bytes([version]) + HELLO[0][3:], b"whatever that version has here"])
            answer = refusal(wire)
            assert answer is not None
            assert answer.code == "protocol"
            assert f"version {version}" in answer.message
            assert "same release" in answer.message


@pytest.mark.usefixtures("bystander")
def test_a_request_before_attaching_asks_to_attach(supervisor: RunningSupervisor) -> None:
    with RawWire(supervisor.endpoint) as wire:
        for attachment in (0, 1, 99_999):
            wire.say(codec.FROM_HOST.encode(Request(attachment, 7, 1, (), AskInfo())))
            frames = wire.hear()
            assert frames is not None
            message = codec.TO_HOST.decode(frames)
            assert isinstance(message, (Unattached, Refused))
            assert message.number == 7


@pytest.mark.usefixtures("bystander")
def test_strangers_at_the_socket_of_workers_are_ignored(supervisor: RunningSupervisor) -> None:
    endpoint = f"ipc://{run_of(supervisor)}/workers/worker.sock"
    said = codec.FROM_WORKER.encode(Said(1, 1, (), ()))
    for identity in (None, b"\x80" + b"x" * 15, b"short"):
        with RawWire(endpoint, identity) as wire:
            for frames in [said, *(cut for cut in cuts(said) if cut)]:
                wire.say(frames)
            wire.say([said[0], b"\x00" * (MESSAGE_BYTES_MAX + 1)])
            assert wire.hear(100) is None


@pytest.mark.usefixtures("bystander")
def test_strangers_at_the_socket_of_the_zygote_are_ignored(supervisor: RunningSupervisor) -> None:
    path = str(next(run_of(supervisor).glob("zygote-*.sock")))
    zygote = zygote_of(str(supervisor.state))
    for message in (b"", b"TM", b"nonsense", b"TM\x01\x03" + b"\x91\xc4\x10" + b"x" * 16):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wire:
            wire.settimeout(5)
            wire.connect(path)
            if message:
                wire.send(message)
                try:
                    assert wire.recv(100) == b""
                except ConnectionResetError:
                    continue
    assert alive(zygote)


@pytest.mark.usefixtures("bystander")
def test_a_worker_that_breaks_the_protocol_is_ended_and_its_cell_with_it(
    session: tidemark.Session,
) -> None:
    cell = session.create_cell("""
import gc
from tidemark.protocol import zmtp
from tidemark.worker.link import Link
text("out")
yield_control()
await asyncio.sleep(0.05)
gc.unfreeze()  # what the zygote has made
links = [thing for thing in gc.get_objects() if type(thing) is Link]
text(len(links))
for link in links:
    link._wire._socket.sendmsg(zmtp.packed(b"TM\\x01\\x02", b"\\x91garbage"))
await asyncio.Event().wait()
""")
    pid = pid_of(cell)
    end = completed(cell)
    if end.reason == "raised":
        pytest.skip(f"this cell cannot reach its own socket: {end.error}")
    assert end.reason == "lost"
    assert end.error is not None
    assert "protocol" in end.error
    until(lambda: not alive(pid))


def test_the_directory_of_the_sockets_is_private(supervisor: RunningSupervisor) -> None:
    run = run_of(supervisor)
    assert run.stat().st_mode & 0o777 == 0o700
    # Below it, workers of other users have to come through; what they find is one socket.
    assert (run / "workers").stat().st_mode & 0o066 == 0
    assert [path.name for path in (run / "workers").iterdir()] == ["worker.sock"]
