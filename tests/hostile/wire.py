"""Attacks on the supervisor through the workers' socket: what no honest worker says."""

from __future__ import annotations

from hostile.attack import Attack, Family, lives_on
from hostile.floods import endless

PUNISHED = "what no honest worker sends ends it"
STREAMS = "shares, bounds of parts and bytes, and places for large messages"
NO_TOKEN = "a token binds a connection, and cells know only their own"
# `say` sends frames as the worker's own socket does; `raw` are bytes on its connection, and `door`
# is a connection of one's own, where the level lets a cell open one.
WIRE = """
import gc
from tidemark.protocol import codec
from tidemark.protocol import worker_messages as wm
from tidemark.protocol.ids import RequestRef
from tidemark.protocol.packed import OutputKind, Reason
from tidemark.worker.link import Link
gc.unfreeze()
link = next(thing for thing in gc.get_objects() if type(thing) is Link)
stream = link.speaker.stream
endpoint = link.fork.endpoint.removeprefix("ipc://")
text("x")

def say(frames):
    *first, last = frames
    with link.lock:
        mine.sendall(b"".join(frame(part, more=True) for part in first) + frame(last))

def packed(message):
    return codec.FROM_WORKER.encode(message)

def said(*items, seq=None, epoch=None):
    if seq is None:
        stream.said += 1
        seq = stream.said
    return packed(wm.Said(stream.epoch if epoch is None else epoch, seq, (), items))

def connection():
    for number in range(3, 64):
        try:
            kind = os.fstat(number).st_mode
            found = socket.socket(fileno=os.dup(number))
            if found.getpeername() and found.family == socket.AF_UNIX:
                found.setblocking(True)
                found.settimeout(5)
                return found
        except OSError:
            continue

def frame(body, more=False, command=False):
    flags = more * 1 + command * 4
    if len(body) > 255:
        return struct.pack(">BQ", flags | 2, len(body)) + body
    return bytes([flags, len(body)]) + body

def greeting():
    return b"\\xff" + bytes(8) + b"\\x7f\\x03\\x00NULL" + bytes(48)

def hello_of(identity, kind=b"DEALER"):
    body = b"\\x05READY"
    for name, value in ((b"Socket-Type", kind), (b"Identity", identity)):
        body += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    return frame(body, command=True)

def door(identity=None):
    opened = socket.socket(socket.AF_UNIX)
    opened.settimeout(5)
    opened.connect(endpoint)
    if identity is not None:
        opened.sendall(greeting() + hello_of(identity))
    return opened

await asyncio.sleep(0.02)
mine = connection()
"""
_WAIT = "\nawait asyncio.sleep(100)\n"


def _forged(name: str, source: str) -> Attack:
    """The worker must be ended for it."""
    return Attack(name, WIRE + source + _WAIT, PUNISHED, lives_on, seconds=10)


def _dropped(name: str, source: str, by: str = "numbers fence the past") -> Attack:
    """It may live on, and nothing may have come of it."""
    return Attack(name, WIRE + source + "\nready()" + _WAIT, by)


def _flood(name: str, source: str) -> Attack:
    """It goes on while the sibling's speed and the supervisor's memory are measured."""
    whole = f"""
{WIRE}
def flood():
    try:
{chr(10).join("        " + line for line in source.strip().splitlines())}
    except OSError:
        pass
    except Exception as error:
        text("BROKEN", repr(error))
threading.Thread(target=flood, daemon=True).start()
ready()
{_WAIT}"""
    return endless(name, whole, STREAMS)


_FORGED = (
    _forged("garbage as a header", "say([b'garbage', b'\\x90'])"),
    _forged("garbage as a message", "say([packed(wm.Fetch(1, 1, None))[0], os.urandom(1000)])"),
    _forged("an empty message", "say([b''])"),
    _forged("a message cut short", "say([said()[0], said()[1][:-1]])"),
    _forged("a message without its body", "say(said()[:1])"),
    _forged("a message with a frame too many", "say([*said(), b'more'])"),
    _forged("a message of a thousand frames", "say([b'x'] * 1000)"),
    _forged("a nest of a hundred thousand lists", "say([said()[0], b'\\x91' * 100_000])"),
    _forged("an array that claims to be huge", "say([said()[0], b'\\xdd\\xff\\xff\\xff\\xff'])"),
    _forged("a message that only hosts may send", "say([b'TM\\x01\\x63', b'\\x90'])"),
    _forged("an oversized message", "say([said()[0], b'x' * (17 * 2**20)])"),
    _forged(
        "an oversized frame that is never sent",
        "connection().sendall(struct.pack('>BQ', 2, 2**62))",
    ),
    _forged("a frame of a flag that is none", "connection().sendall(b'\\xf8\\x01x')"),
    _forged(
        "a command in the middle of a message",
        "connection().sendall(frame(b'x', more=True) + hello_of(b'y' * 16))",
    ),
    _forged("a second greeting", "connection().sendall(greeting())"),
    _forged("a frontier that it has not reached", "say(said(wm.Paused(7, 0, None, ())))"),
    _forged(
        "a confirmation of what was never asked",
        "say(said(wm.Confirmed(3, 1, RequestRef(1, 1), 0)))",
    ),
    _forged("an input that it was never given", "say(said(wm.Waited(99, None, ())))"),
    _forged("a call out of its order", "say(said(wm.Called(77, 'echo', b'\\x80', b'd' * 16)))"),
    _forged("a result of its own for a call", "say(said(wm.Abandoned(5)))"),
    _forged(
        "an end that is the supervisor's to give",
        "say(said(wm.Finished(Reason.LOST, None, None, 0)))",
    ),
    _forged(
        "words after the end",
        "say(said(wm.Finished(Reason.ENDED, None, None, 0), wm.YieldAsked()))",
    ),
    _forged(
        "more items than a message may have",
        "items = b'\\xdd\\x00\\x10\\x00\\x00' + b'\\x92\\x06\\x90' * 2**20\n"
        "say([said()[0], b'\\x95\\x01\\x01\\x90' + items + b'\\x00'])",
    ),
)
_PAST = (
    _dropped(
        "a digest that does not fit",
        "say(said(wm.Wrote('key', b'\\x01', b'wrongdigwrongdig')))",
        "a lie about its own cell, which only its own replay would notice",
    ),
    _dropped("a number that was never reached", "say(said(seq=2**60))"),
    _dropped("what was said before", "for n in range(50): say(said(wm.YieldAsked(), seq=1))"),
    _dropped("an epoch that is over", "say(said(wm.YieldAsked(), epoch=0, seq=1))"),
    _dropped("an epoch that is to come", "say(said(wm.YieldAsked(), epoch=2**40, seq=2))"),
    _dropped(
        "the name of another cell",
        "other = 'c00000000000000-00000000'\n"
        "say(packed(wm.Hello(other, link.fork.incarnation, 0, True, 0, 0, 1, 'x')))",
        "a connection is bound to its cell",
    ),
    _dropped(
        "the name of the next life",
        "old = link.fork.incarnation\n"
        "new = type(old)(old.epoch, old.number + 1)\n"
        "say(packed(wm.Hello(link.fork.cell, new, 0, True, 0, 0, 1, 'x')))",
        "a connection is bound to its cell",
    ),
)
_DOOR = (
    _dropped("a second connection with its own token", "door(link.fork.token)", NO_TOKEN),
    _dropped(
        "connections with tokens of its own making",
        "for _ in range(20): door(bytes([0x80]) + os.urandom(15)).sendall(frame(b'TM'))",
        NO_TOKEN,
    ),
    _dropped(
        "connections without a name",
        "for name in (b'', b'x', b'x' * 255, b'\\0' * 16): door(name).sendall(frame(b'TM'))",
        NO_TOKEN,
    ),
    _dropped(
        "a connection of another kind",
        "door().sendall(greeting() + hello_of(link.fork.token, b'ROUTER'))",
        NO_TOKEN,
    ),
    _dropped(
        "half a handshake",
        "kept = [door() for _ in range(10)]\nfor each in kept: each.sendall(greeting()[:20])",
        "strangers are few, and have 5 s",
    ),
    _dropped(
        "hundreds of silent connections",
        "kept = []\ntry:\n    for _ in range(500): kept.append(door())\nexcept OSError: pass",
        "strangers are few, and have 5 s; the limit of open files",
    ),
)
_FLOODS = (
    _flood(
        "an unfinished message of many parts",
        "own = connection()\nwhile True: own.sendall(frame(b'x', more=True) * 1000)",
    ),
    _flood(
        "an unfinished message of large parts",
        "own = connection()\nwhile True: own.sendall(frame(b'x' * 2**20, more=True))",
    ),
    _flood(
        "a large message, a byte at a time",
        "own = connection()\nown.sendall(struct.pack('>BQ', 2, 16 * 2**20))\n"
        "while True: own.sendall(b'x'); time.sleep(0.0001)",
    ),
    _flood("connections without end", "while True: door().close()"),
    _flood(
        "connections that all begin a large message",
        "kept = []\nwhile True:\n    kept.append(door(link.fork.token))\n"
        "    kept[-1].sendall(struct.pack('>BQ', 2, 8 * 2**20) + b'x' * 2**20)",
    ),
    _flood(
        "pings without end",
        "own = connection()\nping = frame(b'\\x04PING\\x00\\x00', command=True) * 500\n"
        "while True: own.sendall(ping)",
    ),
    _flood(
        "output without waiting for the journal", "while True: say(said(*[wm.YieldAsked()] * 100))"
    ),
    _flood(
        "messages of a hundred thousand items",
        "while True: say(said(*[wm.YieldAsked()] * 100_000))",
    ),
    _flood("what was said before, without end", "while True: say(said(wm.YieldAsked(), seq=1))"),
    _flood("greetings without end", "while True: link.speaker.greet(0, link.steps)"),
    _flood(
        "questions whose answers it does not read",
        "stream.closed\nnumber = 10**6\nown = connection()\n"
        "while True:\n"
        "    number += 1\n"
        "    header, body = packed(wm.Fetch(stream.epoch, number, None))\n"
        "    own.sendall((frame(header, more=True) + frame(body)) * 100)",
    ),
)
ATTACKS = (*_FORGED, *_PAST, *_DOOR, *_FLOODS)
FAMILY = Family("Messages", ATTACKS)
