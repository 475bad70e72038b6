"""Attacks through sockets of every kind."""

from __future__ import annotations

import socket

from hostile.attack import Attack, Family, Scene

OPEN = "level process closes no network and no socket of the host"

_CONNECT = """
address = {address}
with socket.socket(socket.{family}, socket.{kind}) as opened:
    opened.settimeout(2)
    opened.connect(address)
    opened.send(b"knock")
"""
_SENDTO = """
address = {address}
with socket.socket(socket.{family}, socket.SOCK_DGRAM) as opened:
    opened.sendto(b"knock", address)
"""
_SWEEP = """
kinds = {{1: "stream", 2: "datagram", 3: "raw", 5: "seqpacket"}}
for family in range(1, 46):
    if family == 1:
        continue
    for kind, name in kinds.items():
        try:
            socket.socket(family, kind, {protocol}).close()
        except OSError:
            continue
        breach("family", family, name)
"""
_AS_HOST = """
def attempt():
    import tidemark
    with tidemark.connect(target["endpoint"]) as client:
        for session in client.sessions():
            if session.name == "sibling":
                breach("it sees the session", session.name)
thread = threading.Thread(target=attempt, daemon=True)
thread.start()
thread.join(8)
"""
_COMMAND = """
from tidemark.protocol import codec
from tidemark.protocol.zygote_messages import Command
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as opened:
    opened.settimeout(3)
    opened.connect(target["zygote"])
    opened.send(b"".join(codec.TO_ZYGOTE.encode(Command(2**40, os.getpid()))))
    if opened.recv(65536):
        breach("it commands the zygote")
"""
_LISTEN = """
opened = socket.socket()
opened.bind(("127.0.0.1", 0))
opened.listen()
print("port", opened.getsockname()[1])
ready()
await asyncio.sleep(20)
"""


def _reached(scene: Scene) -> str:
    """Whether what listens in the cell can be reached from outside."""
    words = scene.said.split()
    if "port" not in words:
        return ""
    port = int(words[words.index("port") + 1])
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return f"it listens on port {port}, and is reached"
    except OSError:
        return ""


def _knock(name: str, source: str, by: str) -> Attack:
    return Attack(name, source, by, open_at={"process": OPEN})


def _stream(family: str, address: str, kind: str = "SOCK_STREAM") -> str:
    return _CONNECT.format(family=family, kind=kind, address=address)


_SECCOMP = "seccomp; own network"
_NO_PATH = "no sockets after the first; own root"
ATTACKS = (
    _knock("connect by TCP", _stream("AF_INET", '("127.0.0.1", target["tcp"])'), _SECCOMP),
    Attack(
        "connect by TCP over IPv6",
        _stream("AF_INET6", '("::1", target["tcp6"])'),
        _SECCOMP,
        depends={"process": "whether the machine has IPv6"},
    ),
    _knock(
        "send by UDP",
        _SENDTO.format(family="AF_INET", address='("127.0.0.1", target["udp"])'),
        _SECCOMP,
    ),
    _knock("connect to a path", _stream("AF_UNIX", 'target["stream"]'), _NO_PATH),
    _knock(
        "send to a path",
        _SENDTO.format(family="AF_UNIX", address='target["datagram"]'),
        "seccomp; own root",
    ),
    _knock(
        "turn a pair of datagram sockets to a path",
        """
first, second = socket.socketpair(type=socket.SOCK_DGRAM)
first.sendto(b"knock", target["datagram"])
""",
        "seccomp; own root",
    ),
    _knock(
        "connect to an abstract name",
        _stream("AF_UNIX", 'target["abstract"]'),
        "no sockets after the first, Landlock; own network",
    ),
    _knock(
        "send to an abstract name",
        _SENDTO.format(family="AF_UNIX", address='target["abstract"] + "d"'),
        "seccomp, Landlock; own network",
    ),
    _knock("open a socket of any family", _SWEEP.format(protocol=0), _SECCOMP),
    Attack(
        "open a raw or packet socket",
        """
for family, kind, protocol in ((socket.AF_INET, socket.SOCK_RAW, 1), (17, socket.SOCK_RAW, 0x300)):
    try:
        socket.socket(family, kind, protocol).close()
        breach("family", family)
    except OSError:
        pass
""",
        _SECCOMP,
        open_at={"process as root": "root's cells keep root's privileges at level process"},
    ),
    _knock(
        "ask netlink for the network's interfaces",
        """
opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
opened.settimeout(2)
opened.send(struct.pack("IHHIIB3x12x", 32, 18, 0x301, 1, 0, 0))
if len(opened.recv(65536)) > 40:
    breach("the kernel answers")
""",
        _SECCOMP,
    ),
    Attack("listen and be reached", _LISTEN, _SECCOMP, _reached, open_at={"process": OPEN}),
    Attack(
        "listen in the directory for everybody",
        """
opened = socket.socket(socket.AF_UNIX)
opened.bind(target["open"] + "/poison.sock")
opened.listen()
""",
        "seccomp; own root",
        open_at={"process": OPEN},
    ),
    _knock("speak to the supervisor as a host", _AS_HOST, _NO_PATH),
    _knock("take command of the zygote", _COMMAND, "seccomp; own root"),
    _knock(
        "connect a socket of libzmq to another path",
        """
import zmq
own = zmq.Context().socket(zmq.DEALER)
own.connect("ipc://" + target["stream"])
own.connect("ipc://@" + target["abstract"][1:])
time.sleep(0.5)
""",
        "no sockets after the first; own root and network",
    ),
)
FAMILY = Family("Sockets", ATTACKS)
