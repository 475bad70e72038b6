"""The hosts' socket with real peers: libzmq's DEALER, and peers that are none."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from tidemark.protocol.limits import (
    ANSWER_PART_BYTES,
    CELL_OUTPUT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    REQUESTS_IN_FLIGHT_MAX,
)
from tidemark.protocol.zmtp import LOOSE_FRAMES_MAX
from tidemark.supervisor.shell import host_door
from tidemark.supervisor.shell.host_door import OF_HOSTS, TURN_MESSAGES, Heard, HostDoor

from fakes.waiting import until
from fakes.zmtp_peer import MORE, ZmtpPeer, frame, whole


class Bench:
    """A door, what came through it, and DEALERs to connect."""

    def __init__(self, path: Path) -> None:
        self.door = HostDoor(path)
        self.heard: list[Heard] = []
        self.context = zmq.Context()
        self._dealers: list[zmq.Socket[bytes]] = []

    def dealer(self) -> zmq.Socket[bytes]:
        dealer: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.rcvtimeo = 5_000
        dealer.set(zmq.RECONNECT_IVL, 10)
        dealer.connect(f"ipc://{self.door.path}")
        self._dealers.append(dealer)
        return dealer

    def turn(self, most: int = 256) -> None:
        self.door.flush()
        self.heard += self.door.drain(most)

    def until_heard(self, count: int) -> None:
        until(lambda: (self.turn(), len(self.heard) >= count)[1], what=f"{count} messages")

    def until_closed(self, peer: ZmtpPeer) -> None:
        until(lambda: (self.turn(), peer.is_closed())[1], what="the connection to be closed")

    def close(self) -> None:
        for dealer in self._dealers:
            dealer.close(0)
        self.context.term()
        self.door.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "h")
    yield bench
    bench.close()


def test_messages_of_any_size_go_both_ways(bench: Bench) -> None:
    dealer = bench.dealer()
    for size in (0, 255, 256, 300_000, MESSAGE_BYTES_MAX):
        dealer.send_multipart([b"head", b"x" * size])
        bench.heard.clear()
        bench.until_heard(1)
        who, frames = bench.heard[0]
        assert frames == (b"head", b"x" * size)
        assert bench.door.tell(who, b"back", b"y" * size)
        until(lambda: (bench.turn(), dealer.poll(1))[1], what="the answer")
        assert dealer.recv_multipart() == [b"back", b"y" * size]


def test_each_connection_has_a_name_of_its_own(bench: Bench) -> None:
    """Whatever routing id it brings: names are not to be squatted on."""
    names = set()
    for _ in range(3):
        with ZmtpPeer(bench.door.path, b"the same") as peer:
            peer.say(whole(b"head", b"body"))
            bench.heard.clear()
            bench.until_heard(1)
            names.add(bench.heard[0][0])
    assert len(names) == 3


def test_messages_that_are_none_arrive_to_be_answered(bench: Bench) -> None:
    dealer = bench.dealer()
    for frames in ([b"one"], [b""], [b"x"] * LOOSE_FRAMES_MAX, [b"h" * 1_000, b"body"]):
        dealer.send_multipart(frames)
        bench.heard.clear()
        bench.until_heard(1)
        assert bench.heard[0][1] == tuple(frames)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(frame(MORE, b"x") * LOOSE_FRAMES_MAX, id="frames-without-end"),
        pytest.param(
            frame(MORE, b"x" * 100_000) + b"\x03" + MESSAGE_BYTES_MAX.to_bytes(8, "big"),
            id="parts-too-large-together",
        ),
        pytest.param(b"\x02" + (MESSAGE_BYTES_MAX + 1).to_bytes(8, "big"), id="oversized"),
        pytest.param(b"\xf8\x01x", id="flags"),
    ],
)
def test_bytes_that_are_no_message_close_the_connection(bench: Bench, said: bytes) -> None:
    with ZmtpPeer(bench.door.path, b"id") as peer:
        peer.say(said)
        bench.until_closed(peer)
    dealer = bench.dealer()
    dealer.send_multipart([b"head", b"body"])
    bench.until_heard(1)


def test_what_a_host_said_before_it_ended_is_heard(bench: Bench) -> None:
    with ZmtpPeer(bench.door.path, b"id") as peer:
        peer.say(whole(b"head", b"x" * 1_000) * 50)
    bench.until_heard(50)
    assert not bench.door.tell(bench.heard[0][0], b"head", b"too late")


def test_one_that_asks_without_end_leaves_room_for_others(bench: Bench) -> None:
    with ZmtpPeer(bench.door.path, b"busy") as busy, ZmtpPeer(bench.door.path, b"other") as other:
        busy.say(whole(b"busy", b"x" * 100) * 500)
        bench.turn(10)
        bench.turn(10)
        other.say(whole(b"other", b""))
        before = len(bench.heard)
        until(lambda: (bench.turn(10), any(f[0] == b"other" for _, f in bench.heard))[1])
        assert len(bench.heard) - before < 500
        bench.until_heard(501)


def test_a_burst_of_one_host_is_no_more_than_its_share_of_a_turn(bench: Bench) -> None:
    with ZmtpPeer(bench.door.path, b"busy") as busy, ZmtpPeer(bench.door.path, b"other") as other:
        for peer in (busy, other):
            peer.say(whole(b"hello", b""))
        bench.until_heard(2)
        busy.say(whole(b"busy", b"") * 200)
        until(lambda: (bench.turn(), len(bench.heard) > 2)[1])
        assert len(bench.heard) - 2 == TURN_MESSAGES
        assert bench.door.has_more
        other.say(whole(b"other", b""))
        bench.turn()
        assert sum(frames[0] == b"busy" for _, frames in bench.heard) <= 2 * TURN_MESSAGES
        bench.turn()
        assert (b"other", b"") in [frames for _, frames in bench.heard]
        bench.until_heard(203)


def test_a_host_that_does_not_read_is_told_no_more(bench: Bench) -> None:
    with ZmtpPeer(bench.door.path, b"id") as peer:
        peer.say(whole(b"head", b""))
        bench.until_heard(1)
        who = bench.heard[0][0]
        told = 0
        while bench.door.tell(who, b"head", b"x" * 1_000):
            told += 1
            assert told < 2 * OF_HOSTS.parts_max
        assert told >= OF_HOSTS.parts_max
        received = peer.socket.recv(100_000)
        until(lambda: (bench.turn(), bench.door.tell(who, b"head", b""))[1], what="room again")
        assert received


def test_an_event_of_the_largest_output_waits_for_who_is_slow(bench: Bench) -> None:
    with ZmtpPeer(bench.door.path, b"id") as peer:
        peer.say(whole(b"head", b""))
        bench.until_heard(1)
        part = bytes(ANSWER_PART_BYTES)  # one for all: this is about bounds
        parts = 15 * CELL_OUTPUT_BYTES_MAX // ANSWER_PART_BYTES
        assert all(bench.door.tell(bench.heard[0][0], b"head", part) for _ in range(parts))


def test_large_answers_leave_places_for_all_small_ones_that_a_host_may_wait_for() -> None:
    of_large = 2 * OF_HOSTS.bytes_max // ANSWER_PART_BYTES  # each header goes by itself
    assert of_large + REQUESTS_IN_FLIGHT_MAX <= OF_HOSTS.parts_max


def test_silent_strangers_are_dropped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_door, "HANDSHAKE_SECONDS", 0.05)
    with ZmtpPeer(bench.door.path) as peer:
        bench.until_closed(peer)


def test_without_descriptors_hosts_wait_to_be_let_in(bench: Bench) -> None:
    used = len(list(Path("/proc/self/fd").iterdir()))
    dealer = bench.dealer()
    dealer.send_multipart([b"head", b"body"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = [open("/dev/null") for _ in range(3)]  # noqa: SIM115 - closed below
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
    try:
        for _ in range(20):
            bench.turn()
        assert bench.heard == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for file in kept:
            file.close()
    bench.until_heard(1)


def test_last_words_are_read_by_who_is_slow(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "h")
    with ZmtpPeer(bench.door.path, b"id") as peer:
        peer.say(whole(b"head", b""))
        bench.until_heard(1)
        assert bench.door.tell(bench.heard[0][0], b"head", b"x" * 1_000)
        bench.close()
        peer.socket.settimeout(5)
        received = b""
        while chunk := peer.socket.recv(10_000):
            received += chunk
        assert received.endswith(whole(b"head", b"x" * 1_000))
    assert not (tmp_path / "h").exists()
