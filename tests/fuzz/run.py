"""Any number of mutated messages: `python tests/fuzz/run.py --messages 1000000 --seed 1`.

Exit status 1, with the seed and number of the message, when one was neither read nor refused, took
too long, or left memory behind.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tidemark.protocol import codec
from tidemark.protocol.zmtp import Incoming, Violation

from fuzz.mutations import OF_HOSTS, OF_WORKERS, mutated_message, mutated_stream

SECONDS_MAX = 1.0  # for one message; they take microseconds
GROWTH_MIB_MAX = 16
SETTLED = 5_000  # messages, after which caches are full
STREAM_BYTES_MAX = 4_096


class Broken(AssertionError):
    """A message was neither read nor refused as it should be."""


def read_worker(rng: random.Random) -> str:
    return _decoded(codec.FROM_WORKER, mutated_message(OF_WORKERS, rng))


def read_host(rng: random.Random) -> str:
    return _decoded(codec.FROM_HOST, mutated_message(OF_HOSTS, rng))


def _decoded(direction: codec.Direction[object], frames: list[bytes]) -> str:
    try:
        message = direction.decode(frames)
    except codec.BadFrame:
        return "refused"
    if direction.decode(direction.encode(message)) != message:
        raise Broken(f"{message!r} is read otherwise when it is written again")
    return "read"


def read_stream(rng: random.Random) -> str:
    stream = mutated_stream(rng)
    incoming = Incoming()
    at = 0
    try:
        while at < len(stream):
            size = rng.randrange(1, 400)
            incoming.feed(stream[at : at + size])
            at += size
            while (found := incoming.take()) is not None:
                if isinstance(found, tuple):
                    codec.FROM_WORKER.decode(found)
            if incoming.held > STREAM_BYTES_MAX:
                raise Broken(f"{incoming.held} bytes are kept of a stream of {len(stream)}")
    except (Violation, codec.BadFrame):
        return "refused"
    return "read"


READERS: dict[str, Callable[[random.Random], str]] = {
    "worker": read_worker,
    "host": read_host,
    "stream": read_stream,
}


def memory_mib() -> float:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fuzz(seed: int, messages: int) -> Counter[str]:
    """How many of each kind were read and refused.

    Raises:
        Broken: one was neither, was slow, or memory has grown.
    """
    outcomes: Counter[str] = Counter()
    settled = memory_mib()
    names = list(READERS)
    for number in range(messages):
        name = names[number % len(names)]
        rng = random.Random(f"{seed}-{number}")
        began = time.process_time()
        try:
            outcomes[f"{name} {READERS[name](rng)}"] += 1
        except Exception as error:
            raise Broken(f"{name}, --seed {seed}, message {number}: {error!r}") from error
        if time.process_time() - began > SECONDS_MAX:
            raise Broken(f"{name}, --seed {seed}, message {number} took more than {SECONDS_MAX} s")
        if number == SETTLED:
            settled = memory_mib()
    if messages > SETTLED and memory_mib() - settled > GROWTH_MIB_MAX:
        raise Broken(f"--seed {seed}: memory grew from {settled:.0f} to {memory_mib():.0f} MiB")
    return outcomes


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    asked = parser.parse_args()
    began = time.monotonic()
    try:
        outcomes = fuzz(asked.seed, asked.messages)
    except Broken as error:
        print(error)
        return 1
    for name, count in sorted(outcomes.items()):
        print(f"{name:16} {count:>10,}")
    print(f"seed {asked.seed}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
