"""Cells that turn on their supervisor: what they do with the socket of their own worker."""

from __future__ import annotations

OWN_WIRE = """
import gc, os, socket, struct, threading, time, zmq
from tidemark.protocol import codec
from tidemark.protocol.worker_messages import Emitted, Fetch, Hello, Said
from tidemark.protocol import zmtp

gc.unfreeze()  # what the zygote has made
link = next(one for one in gc.get_objects() if type(one).__name__ == "Link")
fork = link.fork
path = fork.endpoint.removeprefix("ipc://")
epoch = link.speaker.stream.epoch

def connect(token=None):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    if token is not None:
        peer.sendall(zmtp.greeting_of(b"DEALER", token))
    return peer

def leave():
    # For good: the stand-by can neither miss its connection nor mend it.
    link.lock.acquire()
    link._wire._disconnect(link._wire._socket)

def as_myself():
    leave()
    return connect(fork.token)

def frame(flags, content):
    if len(content) > 255:
        return struct.pack(">BQ", flags | 2, len(content)) + content
    return bytes([flags, len(content)]) + content

def stream_of(message):
    return b"".join(zmtp.packed(*codec.FROM_WORKER.encode(message)))

def begin():
    open(marker, "w").close()

def flood(peer, chunk):
    begin()
    while True:
        peer.sendall(chunk)
"""

ATTACKS = {
    "unfinished by libzmq": """
leave()
wire = zmq.Context().socket(zmq.DEALER)
wire.routing_id = fork.token
wire.connect(fork.endpoint)
begin()
wire.send(b"TM" + bytes([1, 2]), zmq.SNDMORE)
for _ in range(20):
    wire.send(b"x" * 1_000_000, zmq.SNDMORE)
wire.send(b"x")
time.sleep(1_000)
""",
    "unfinished by hand": """
peer = as_myself()
peer.sendall(frame(1, b"TM" + bytes([1, 2])))
flood(peer, frame(1, b"x" * 1_000_000))
""",
    "small parts": """
peer = as_myself()
flood(peer, frame(1, b"x") * 10_000)
""",
    "never the last byte": """
peer = as_myself()
begin()
peer.sendall(frame(1, b"TM" + bytes([1, 2])) + struct.pack(">BQ", 2, 16_000_000))
peer.sendall(b"x" * 15_999_999)
time.sleep(1_000)
""",
    "claimed": """
peer = as_myself()
begin()  # before it: this alone may end the worker
peer.sendall(frame(1, b"TM" + bytes([1, 2])) + struct.pack(">BQ", 2, 2**62))
flood(peer, b"x" * 1_000_000)
""",
    "gaps": """
flood(as_myself(), stream_of(Said(epoch, 1_000_000, (), ())) * 1_000)
""",
    "repeats": """
flood(as_myself(), stream_of(Said(epoch, 1, (), ())) * 1_000)
""",
    "questions": """
flood(as_myself(), stream_of(Fetch(epoch, 1, "large")) * 1_000)
""",
    "greetings": """
whose = link.speaker.cell, link.speaker.incarnation
hello = Hello(*whose, epoch, True, 10**6, 0, os.getpid(), "python")
flood(as_myself(), stream_of(hello) * 1_000)
""",
    "pings": """
flood(as_myself(), frame(4, bytes([4]) + b"PING" + bytes(18)) * 1_000)
""",
    "connections": """
begin()
while True:
    try:
        connect().close()
    except OSError:
        continue
""",
    "silent connections": """
begin()
kept = []
while True:
    try:
        kept.append(connect())
    except OSError:
        time.sleep(0.01)
    if len(kept) > 500:
        kept.clear()
""",
    "squatting": """
begin()
while True:
    try:
        connect(os.urandom(16)).recv(1)
    except OSError:
        continue
""",
    "output": """
begin()
while True:
    text("x" * 1_000)
""",
    "notifications": """
begin()
while True:
    notify("x" * 1_000)
""",
    "calls": """
begin()
async def call():
    try:
        await tools.echo(x=1)
    except BaseException:
        pass
while True:
    await asyncio.gather(*(call() for _ in range(200)))
""",
}


def attack(name: str) -> str:
    """The source of a cell that does it; its input `marker` is a path, made when it begins."""
    return OWN_WIRE + ATTACKS[name]
