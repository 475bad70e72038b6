"""The worker's connection, with a ROUTER of libzmq at the other end, and with none."""

from __future__ import annotations

import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest
import zmq
from tidemark.protocol import zmtp
from tidemark.worker.wire import Wire

from fakes.waiting import until

TOKEN = b"t" * 16


class Router:
    """The supervisor's end as libzmq has it."""

    def __init__(self, directory: Path) -> None:
        self.endpoint = f"ipc://{directory}/w"
        self.context = zmq.Context()
        self.socket: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.router_mandatory = True
        self.socket.rcvtimeo = 5_000
        self.socket.bind(self.endpoint)

    def end(self) -> None:
        self.context.destroy(0)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """A wire to `w` in the test's directory."""
    wire = Wire()
    wire.open(f"ipc://{tmp_path}/w", TOKEN)
    yield wire
    wire.leave()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Somebody who listens there and says what the test says."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "w"))
        listener.listen()
        yield listener


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    router = Router(tmp_path)
    yield router
    router.end()


def connect(wire: Wire) -> None:
    """Go on until the other end has introduced itself."""
    until(lambda: (wire.mend(), wire.receive(), wire.is_connected)[-1])


def receive(wire: Wire) -> list[bytes]:
    """The next message, polled for as a worker does it."""
    poll = select.poll()
    poll.register(wire.fileno(), select.POLLIN)
    while (frames := wire.receive()) is None:
        assert poll.poll(5_000), "nothing has come"
    return frames


def test_messages_both_ways(wire: Wire, router: Router) -> None:
    connect(wire)
    for size in (0, 200, 70_000, 1_000_000):
        assert wire.send([b"head", b"x" * size])
        until(lambda: (wire.flush(), router.socket.poll(1))[-1])
        assert router.socket.recv_multipart() == [TOKEN, b"head", b"x" * size]
        router.socket.send_multipart([TOKEN, b"back", b"y" * size])
        assert receive(wire) == [b"back", b"y" * size]
    assert wire.receive() is None


def test_many_at_once_are_each_received_without_another_poll(wire: Wire, router: Router) -> None:
    connect(wire)
    assert wire.send([b"head", b""])
    router.socket.recv_multipart()
    expected = [[b"head", str(number).encode() * 1_000] for number in range(300)]
    for frames in expected:
        router.socket.send_multipart([TOKEN, *frames])
    assert [receive(wire) for _ in expected] == expected


def test_nothing_is_sent_before_the_other_end_is_known(wire: Wire, listener: socket.socket) -> None:
    """A ROUTER of libzmq closes a connection on which a message comes too early."""
    wire.mend()
    assert wire.receive() is None
    assert not wire.send([b"head", b"body"])
    peer, _ = listener.accept()
    assert peer.recv(1000) == zmtp.greeting_of(b"DEALER", TOKEN)
    peer.sendall(zmtp.greeting_of(b"ROUTER", b""))
    connect(wire)
    assert wire.send([b"head", b"body"])
    assert peer.recv(1000) == b"".join(zmtp.packed(b"head", b"body"))
    peer.close()


def test_what_finds_no_room_is_sent_later_and_in_order(wire: Wire, listener: socket.socket) -> None:
    wire.mend()
    peer, _ = listener.accept()
    peer.sendall(zmtp.WELCOME)
    connect(wire)
    sent = [[b"head", bytes([number]) * 100_000] for number in range(20)]
    for frames in sent:
        assert wire.send(frames)
    incoming, found = zmtp.Incoming(), []
    poll = select.poll()
    poll.register(wire.fileno(), select.POLLIN)
    while len(found) < len(sent):
        if poll.poll(0):  # there is room
            wire.flush()
        incoming.feed(peer.recv(50_000))
        while (thing := incoming.take()) is not None:
            if isinstance(thing, tuple):
                found.append(list(thing))
    assert found == sent
    assert not poll.poll(0), "who has nothing to send is not told of room"
    peer.close()


def test_a_connection_that_ends_is_made_again(wire: Wire, tmp_path: Path) -> None:
    wire.mend()
    assert not wire.is_connected
    assert wire.patience_ms is not None
    for _ in range(2):
        router = Router(tmp_path)
        connect(wire)
        assert wire.patience_ms is None
        assert wire.send([b"head", b"body"])
        assert router.socket.recv_multipart() == [TOKEN, b"head", b"body"]
        router.end()
        until(lambda: (wire.receive(), not wire.is_connected)[-1])
        assert not wire.send([b"head", b"body"])


def test_bytes_of_nobody_honest_are_refused(wire: Wire, listener: socket.socket) -> None:
    wire.mend()
    peer, _ = listener.accept()
    peer.sendall(b"GET / HTTP/1.1\r\n")
    with pytest.raises(zmtp.Violation):
        receive(wire)
    peer.close()


def test_the_end_of_a_connection_is_told_whoever_notices_it(
    wire: Wire, listener: socket.socket
) -> None:
    """Another thread may poll at that moment, and find nothing any more."""
    told = []
    wire.on_lost = lambda: told.append(wire.is_connected)
    for notice in (wire.receive, lambda: wire.send([b"head", b"body"])):
        until(lambda: wire.patience_ms is None or wire.mend())
        peer, _ = listener.accept()
        peer.sendall(zmtp.WELCOME)
        connect(wire)
        peer.close()
        until(lambda notice=notice: not (notice(), wire.is_connected)[-1])
    assert told == [False, False]


def test_one_that_is_sent_away_at_once_comes_back_more_and_more_slowly(
    wire: Wire, listener: socket.socket
) -> None:
    patience = []
    for _ in range(4):
        until(lambda: (wire.mend(), wire.patience_ms is None)[-1])
        listener.accept()[0].close()
        until(lambda: (wire.receive(), wire.patience_ms is not None)[-1])
        patience.append(wire.patience_ms or 0)
    assert patience == sorted(patience)
    assert patience[-1] > 2 * patience[0] > 0


class Interrupted(Exception):
    """As the handler of a cell's signal, or Ctrl-C, raises it wherever its thread is."""


@contextmanager
def interruptions() -> Iterator[list[bool]]:
    """Signals all the time. Whoever puts something into the list is interrupted by one of them."""
    armed: list[bool] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if armed:
            armed.clear()
            raise Interrupted

    former = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 50e-6, 50e-6)
    try:
        yield armed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def test_who_is_interrupted_while_sending_sends_every_byte_once(
    wire: Wire, listener: socket.socket
) -> None:
    wire.mend()
    peer, _ = listener.accept()
    peer.sendall(zmtp.WELCOME)
    connect(wire)
    incoming, heard = zmtp.Incoming(), []

    def listen() -> None:
        while chunk := peer.recv(70_000):
            incoming.feed(chunk)
            while (thing := incoming.take()) is not None:
                if isinstance(thing, tuple):
                    heard.append(thing)

    listening = threading.Thread(target=listen)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # the thread has this, too
    listening.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    said = []
    with interruptions() as armed:
        for number in range(5_000):
            body = number.to_bytes(4, "big") * (1 if number % 3 else 30_000)
            with suppress(Interrupted):
                armed.append(True)
                wire.send([b"head", body])
                armed.clear()
                said.append(body)
            armed.clear()
    assert len(said) < 5_000
    assert wire.send([b"head", b"last"])
    poll = select.poll()
    poll.register(wire.fileno(), select.POLLIN)
    # Nothing but room wakes who waits.
    until(lambda: (poll.poll(10) and wire.flush(), heard[-1:] == [(b"head", b"last")])[-1])
    assert not poll.poll(0)
    wire.leave()
    listening.join()
    peer.close()
    bodies = [body for _, body in heard[:-1]]
    assert bodies == sorted(set(bodies), key=lambda body: body[:4])
    assert set(said) <= set(bodies)


def test_who_is_interrupted_while_a_connection_ends_says_nothing_of_it_to_the_next(
    wire: Wire, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.mend()
    peer, _ = listener.accept()
    peer.sendall(zmtp.WELCOME)
    connect(wire)
    assert wire.send([b"head", b"x" * 1_000_000])  # most of it waits
    peer.close()
    told = []
    wire.on_lost = lambda: told.append(wire.is_connected)
    made = zmtp.Incoming
    signals = [Interrupted()]

    def interrupted() -> zmtp.Incoming:
        if signals:
            raise signals.pop()
        return made()

    monkeypatch.setattr(zmtp, "Incoming", interrupted)
    with pytest.raises(Interrupted):
        until(lambda: wire.receive())
    assert told == [False]  # somebody else looks now
    assert wire.receive() is None
    until(lambda: (wire.mend(), wire.patience_ms is None)[-1])
    peer, _ = listener.accept()
    wire.flush()
    assert peer.recv(1_000_000) == zmtp.greeting_of(b"DEALER", TOKEN)
    peer.close()


def test_what_a_finalizer_says_is_not_put_into_the_middle_of_a_message(
    wire: Wire, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can run whenever something is made, if the cell has it so."""
    connect(wire)
    large = b"x" * 100_000
    count = 0

    def made(part: bytes) -> memoryview:
        nonlocal count
        count += 1
        if count == 2:
            wire.send([b"h", large])
        return memoryview(part)

    monkeypatch.setattr("tidemark.worker.wire.memoryview", made, raising=False)
    wire.send([b"H", large])
    received = []
    while len(received) < 2:
        wire.flush()
        if router.socket.poll(10):
            received.append(router.socket.recv_multipart()[1:])
    assert received == [[b"h", large], [b"H", large]]
