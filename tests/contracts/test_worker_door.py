"""The workers' socket with real peers: libzmq's DEALER, and peers that are none."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from tidemark.protocol import codec, limits
from tidemark.protocol.ids import Incarnation, worker_token
from tidemark.protocol.limits import MESSAGE_BYTES_MAX
from tidemark.protocol.packed import OutputKind
from tidemark.protocol.worker_messages import Emitted, Fetch, Said, YieldAsked
from tidemark.supervisor.core.events import FleetEvent, WorkerGarbled, WorkerSpoke
from tidemark.supervisor.shell.connection import UNREAD_MESSAGES_MAX
from tidemark.supervisor.shell.worker_door import STRANGERS_MAX, WorkerDoor
from tidemark.supervisor.shell.worker_turn import ALONE

from fakes.waiting import until
from fakes.zmtp_peer import MORE, ZmtpPeer, frame, whole

CELL = "c00000000000001-00000007"
TOKEN, OTHER, STRANGER = (worker_token(b"s" * 32, CELL, Incarnation(1, n)) for n in (1, 2, 3))


class Bench:
    """A door, what came through it, and DEALERs to connect."""

    def __init__(self, path: Path) -> None:
        self.door = WorkerDoor(path)
        self.door.tokens.admits = lambda token: token != STRANGER
        self.events: list[FleetEvent] = []
        self.context = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []

    def dealer(self, token: bytes = TOKEN, **options: int) -> zmq.Socket[bytes]:
        dealer = self.context.socket(zmq.DEALER)
        dealer.set(zmq.ROUTING_ID, token)
        dealer.set(zmq.LINGER, 0)
        dealer.set(zmq.RECONNECT_IVL, 10)
        for name, value in options.items():
            dealer.set(getattr(zmq, name), value)
        dealer.connect(f"ipc://{self.door.path}")
        self._sockets.append(dealer)
        return dealer

    def monitor(self, dealer: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
        """Where libzmq says that a connection was lost."""
        monitor: zmq.Socket[bytes] = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._sockets += [monitor]
        return monitor

    def peer(self, token: bytes | None = None) -> ZmtpPeer:
        return ZmtpPeer(self.door.path, token)

    def turn(self, most: int = 256) -> list[FleetEvent]:
        found = self.door.drain(most)
        self.door.drained(len(found), 0)
        self.events += found
        return found

    def spoken(self) -> list[WorkerSpoke]:
        return [event for event in self.events if isinstance(event, WorkerSpoke)]

    def garbled(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, WorkerGarbled)]

    def until_heard(self, count: int) -> None:
        until(lambda: (self.turn(), len(self.spoken()) >= count)[1], what=f"{count} messages")

    def until_closed(self, peer: ZmtpPeer) -> None:
        until(lambda: (self.turn(), peer.is_closed())[1], what="the connection to be closed")

    def close(self) -> None:
        for one in reversed(self._sockets):
            one.close(linger=0)
        self.context.term()
        self.door.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "w")
    yield made
    made.close()
    assert not made.door.path.exists()


def fetch(number: int) -> list[bytes]:
    return codec.FROM_WORKER.encode(Fetch(1, number, "key"))


def said(size: int) -> list[bytes]:
    item = Emitted(OutputKind.TEXT, "x" * size, None, b"d" * 16)
    return codec.FROM_WORKER.encode(Said(1, 1, (), (item,) * 3))


@pytest.mark.parametrize("size", [0, 84, 85, 255, 256, 30_000, 4_000_000])
def test_messages_of_every_size_and_way_of_sending(bench: Bench, size: int) -> None:
    dealer = bench.dealer()
    frames = said(size)
    dealer.send_multipart(frames)
    dealer.send_multipart(frames, copy=False)
    dealer.send(frames[0], zmq.SNDMORE)
    dealer.send(frames[1])
    bench.until_heard(3)
    assert [len(spoke.message.items) for spoke in bench.spoken() if isinstance(spoke.message, Said)]
    assert {spoke.token for spoke in bench.spoken()} == {TOKEN}
    assert len({spoke.message for spoke in bench.spoken()}) == 1


@pytest.mark.parametrize("size", [0, 255, 256, 40_000, MESSAGE_BYTES_MAX - 4])
def test_what_it_is_told_arrives(bench: Bench, size: int) -> None:
    dealer = bench.dealer()
    dealer.send_multipart(fetch(1))
    bench.until_heard(1)
    bodies = [bytes([n]) * size for n in range(3)]
    sent = [bench.door.tell(TOKEN, b"head", body) for body in bodies]
    assert sent[0]
    for body, was_sent in zip(bodies, sent, strict=True):
        if was_sent:
            until(lambda: (bench.turn(), dealer.poll(1))[1])
            assert dealer.recv_multipart() == [b"head", body]


def test_one_that_does_not_read_is_told_no_more_and_then_everything(bench: Bench) -> None:
    peer = bench.peer(TOKEN)
    peer.say(whole(*fetch(1)))
    bench.until_heard(1)
    told = 0
    while bench.door.tell(TOKEN, b"head", b"%09d" % told):
        told += 1
    assert told >= UNREAD_MESSAGES_MAX
    peer.socket.settimeout(None)
    expected = b"".join(whole(b"head", b"%09d" % number) for number in range(told))
    heard = b""
    while not heard.endswith(expected[-17:]):
        heard += peer.socket.recv(65_536)
        bench.turn()
    assert heard.endswith(expected)
    assert bench.door.tell(TOKEN, b"head", b"again")
    peer.socket.close()


def test_it_is_not_heard_while_it_does_not_read(bench: Bench) -> None:
    with bench.peer(TOKEN) as peer:
        peer.say(whole(*fetch(1)))
        bench.until_heard(1)
        assert bench.door.tell(TOKEN, b"head", b"x" * 2_000_000)
        peer.say(whole(*fetch(2)))
        for _ in range(10):
            assert bench.turn() == []
        left = 2_000_000
        while left > 0:
            left -= len(peer.socket.recv(min(left, 65_536)))
            bench.turn()
        bench.until_heard(2)


def test_heartbeats_are_answered(bench: Bench) -> None:
    dealer = bench.dealer(HEARTBEAT_IVL=20, HEARTBEAT_TIMEOUT=500)
    monitor = bench.monitor(dealer)
    dealer.send_multipart(fetch(1))
    bench.until_heard(1)
    for _ in range(60):
        bench.turn()
        assert not monitor.poll(20), "the worker gave its supervisor up"


def test_the_second_with_a_token_gets_nothing_while_the_first_lives(bench: Bench) -> None:
    with bench.peer(TOKEN) as first:
        first.say(whole(*fetch(1)))
        bench.until_heard(1)
        with bench.peer(TOKEN) as second:
            second.say(whole(*fetch(2)))
            bench.until_closed(second)
        assert bench.door.tell(TOKEN, b"head", b"body")
        first.say(whole(*fetch(3)))
        bench.until_heard(2)
    assert [spoke.message for spoke in bench.spoken()] == [Fetch(1, 1, "key"), Fetch(1, 3, "key")]


def test_one_that_has_closed_its_connection_may_come_back_at_once(bench: Bench) -> None:
    for number in range(1, 6):
        with bench.peer(TOKEN) as peer:
            peer.say(whole(*fetch(number)))
            bench.until_heard(number)
    dealer = bench.dealer()
    dealer.send_multipart(fetch(6))
    bench.until_heard(6)
    assert bench.door.tell(TOKEN, b"head", b"body")
    until(lambda: dealer.poll(1))


def test_strangers_are_sent_away(bench: Bench) -> None:
    for token in (STRANGER, b"", b"short", b"x" * 17):
        with bench.peer(token) as peer:
            bench.until_closed(peer)
    with bench.peer() as peer:
        peer.say(b"GET / HTTP/1.1\r\n\r\n")
        bench.until_closed(peer)
    assert bench.events == []
    assert not bench.door.tell(STRANGER, b"head", b"body")


def test_last_words_are_heard_in_the_turn_that_sees_the_end(bench: Bench) -> None:
    with bench.peer(OTHER) as flooder, bench.peer(TOKEN) as peer:
        flooder.say(whole(*fetch(1)))
        peer.say(whole(*fetch(1)))
        bench.until_heard(2)
        chunk = whole(*fetch(2))
        while flooder.offer(chunk * 100):
            continue
        peer.say(chunk * 200)
    bench.events.clear()
    bench.turn(1_000)
    assert sum(spoke.token == TOKEN for spoke in bench.spoken()) == 200


def test_a_violation_is_told_and_closes(bench: Bench) -> None:
    with bench.peer(TOKEN) as peer:
        peer.say(whole(*fetch(1)) + frame(MORE, b"TM") + frame(MORE, b"x"))
        bench.until_closed(peer)
    assert len(bench.spoken()) == 1
    assert bench.garbled() == ["a message of more than 2 frames"]
    with bench.peer(TOKEN) as peer:
        peer.say(whole(b"TM\x01\x02", b"\xc1"))
        bench.until_closed(peer)
    assert len(bench.garbled()) == 2
    assert not bench.door.tell(TOKEN, b"head", b"body")


def test_who_does_not_introduce_itself_makes_room(bench: Bench) -> None:
    silent = [bench.peer() for _ in range(STRANGERS_MAX)]
    until(lambda: (bench.turn(), len(os.listdir("/proc/self/fd")) > 2 * STRANGERS_MAX)[1])
    dealer = bench.dealer()
    dealer.send_multipart(fetch(1))
    bench.until_heard(1)
    until(lambda: (bench.turn(), all(peer.is_closed() for peer in silent))[1], seconds=8)
    for peer in silent:
        peer.socket.close()


def test_who_connects_without_end_is_told(bench: Bench) -> None:
    with bench.peer(TOKEN) as peer:
        peer.say(whole(*fetch(1)))
        bench.until_heard(1)

        def knock() -> bool:
            bench.peer().socket.close()
            bench.turn()
            return bool(bench.garbled())

        until(knock)
        assert bench.garbled() == ["it makes connections without end"]
        bench.until_closed(peer)


def test_without_descriptors_it_neither_spins_nor_forgets(bench: Bench) -> None:
    waiting = bench.peer(TOKEN)
    waiting.say(whole(*fetch(1)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    try:
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            assert bench.turn() == []
        ready = zmq.zmq_poll([(bench.door.fileno(), zmq.POLLIN)], 0)
        assert ready == []
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    bench.until_heard(1)
    waiting.socket.close()


def test_only_a_few_large_messages_are_under_way(bench: Bench) -> None:
    tokens = [worker_token(b"s" * 32, CELL, Incarnation(2, n)) for n in range(1, 7)]
    peers = [bench.peer(token) for token in tokens]
    header, body = said(4_000_000)
    stream = whole(header, body)
    offered = [0] * len(peers)

    def push() -> bool:
        for number, peer in enumerate(peers):
            offered[number] += peer.offer(stream[offered[number] : -1])
        bench.turn()
        return sum(count == len(stream) - 1 for count in offered) >= 2

    until(push, seconds=20)
    for _ in range(50):
        push()
    assert sum(count == len(stream) - 1 for count in offered) == 2
    assert sum(offered) < 3 * len(stream)
    finished = 0
    while finished < len(peers):
        for number, peer in enumerate(peers):
            offered[number] += peer.offer(stream[offered[number] :])
        bench.turn()
        finished = len(bench.spoken())
    assert {spoke.token for spoke in bench.spoken()} == set(tokens)
    for peer in peers:
        peer.socket.close()


def test_a_turn_ends_when_much_is_to_be_decided(bench: Bench) -> None:
    dealer = bench.dealer()
    items = tuple(YieldAsked() for _ in range(limits.FLUSH_ITEMS))
    for seq in range(1, 31):
        dealer.send_multipart(codec.FROM_WORKER.encode(Said(1, seq, (), items)))
    sizes = []
    until(lambda: (sizes.append(len(bench.turn())), len(bench.spoken()) >= 30)[1], what="30")
    assert max(sizes) * limits.FLUSH_ITEMS <= ALONE.items
    assert [event.message.seq for event in bench.spoken()] == [*range(1, 31)]


def test_more_items_than_a_message_may_have_end_the_worker(bench: Bench) -> None:
    items = tuple(YieldAsked() for _ in range(limits.SAID_ITEMS_MAX + 1))
    dealer = bench.dealer()
    dealer.send_multipart(codec.FROM_WORKER.encode(Said(1, 1, (), items)))
    until(lambda: (bench.turn(), bench.garbled())[1], what="its punishment")
    assert not bench.spoken()
