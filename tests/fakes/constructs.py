"""Cells that use what could differ from one life of a cell to the next, by name.

Each has the input `n` = 4, and calls `tools.search(...)`, which gives ten times the call's number,
or fails if asked to.
"""

from __future__ import annotations

from typing import Final

from fakes.asyncio_constructs import ASYNCIO

CLOCKS: Final[dict[str, str]] = {
    "busy-wait": """
import time
end = time.monotonic() + 0.02
count = 0
while time.monotonic() < end:
    count += 1
print(count, await tools.search(count=count), time.perf_counter() - end)
""",
    "wall-clock": """
import datetime, time
for _ in range(3):
    print(time.time(), time.time_ns(), datetime.datetime.now(), datetime.datetime.today(),
          datetime.datetime.now(datetime.timezone.utc), datetime.date.today())
    await tools.search()
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    print(datetime.datetime.utcnow())
class Mine(datetime.datetime):
    pass
print(repr(Mine.now()))
""",
    "all-clocks": """
import time
for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
    print(name, getattr(time, name)(), getattr(time, name + "_ns")())
for which in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME,
              time.CLOCK_PROCESS_CPUTIME_ID):
    print(time.clock_gettime(which), time.clock_gettime_ns(which))
await tools.search()
print(time.localtime(), time.gmtime(), time.ctime(), time.asctime(),
      time.strftime("%H:%M:%S"))
""",
    "imported-names": """
from time import time, monotonic, perf_counter as now
from timeit import default_timer, timeit
import sched
class Holder:
    clock = monotonic
print(time(), monotonic(), now(), default_timer(), Holder().clock(), Holder.clock())
print(timeit("1 + 1", number=10), sched.scheduler().timefunc())
""",
    "rate": """
import time
began = time.time()
total = sum(range(2000))
print(total / (time.time() - began))
await tools.search()
print(total / (time.time() - began))
""",
    "logging": """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(relativeCreated)d %(message)s")
for k in range(n):
    logging.warning("now %s", await tools.search(k=k))
""",
    "time-sleep": """
import time
for k in range(3):
    began = time.monotonic()
    time.sleep(0.002)
    print(time.monotonic() - began >= 0.001, time.monotonic())
    await tools.search()
""",
}

CHANCE: Final[dict[str, str]] = {
    "random": """
import random
print(random.random(), random.Random().random(), random.SystemRandom().random())
random.seed()
print(random.getrandbits(64), await tools.search(k=random.randrange(100)))
items = list(range(20)); random.shuffle(items); print(items, random.gauss(0, 1))
""",
    "random-seeded": """
import random
random.seed(7)
print(random.random(), random.Random("x").random(), random.Random(3).sample(range(99), 5))
""",
    "secrets": """
import secrets, os
print(secrets.token_hex(), secrets.token_urlsafe(8), secrets.randbelow(1000), os.urandom(9),
      os.getrandom(5), secrets.choice(range(100)))
""",
    "uuid": """
import uuid
print(uuid.uuid4(), uuid.uuid1(), uuid.uuid1(), hex(uuid.getnode()))
await tools.search(id=str(uuid.uuid4()))
print(uuid.uuid1(), uuid.uuid5(uuid.NAMESPACE_DNS, "x"))
""",
    "tempfile": """
import tempfile, os
with tempfile.TemporaryDirectory() as place:
    print(os.path.basename(place))
print(os.path.basename(tempfile.mktemp()))
""",
    "numpy-random": """
import numpy as np
print(np.random.random(3), np.random.default_rng().integers(0, 100, 5))
await tools.search()
print(np.random.RandomState().randint(100), np.random.permutation(9))
""",
}

OBJECTS: Final[dict[str, str]] = {
    "set-of-str": """
print(list({f"word{k}" for k in range(50)}), list(frozenset("tidemark")))
await tools.search(words=list({"ebb", "flow", "moon", "neap"}))
""",
    "set-of-bytes": "print(list({bytes([k, k + 1]) for k in range(50)}))",
    "set-of-enum": """
import enum
Colour = enum.Enum("Colour", "red green blue cyan black white")
print([colour.name for colour in set(Colour)])
""",
    "set-of-dates": """
import datetime
first = datetime.date(2024, 1, 1)
print([str(day) for day in {first + datetime.timedelta(k) for k in range(30)}])
""",
    "set-of-dataclass": """
import dataclasses
@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    name: str
print({Point(k, f"p{k}") for k in range(20)})
""",
    "set-of-tuples": "print({(k, str(k), None) for k in range(30)}, {None, True, 3.5, 'x', (1,)})",
    "json-of-a-set": """
import json
print(json.dumps(list({"a", "b", "c", "d"}), default=str), json.dumps({"x": str({"p", "q", "r"})}))
""",
    "hash-of-str": "print(hash('tide'), hash(b'tide'), hash(('tide', 1)))",
    "repr-of-objects": """
class Thing:
    pass
print(Thing(), Thing, print, lambda: 0, [Thing()], (k for k in ()), Thing().__init__)
await tools.search(shown=repr(Thing()))
""",
    "del-of-cycles": """
class Node:
    def __init__(self, k):
        self.k, self.me = k, self
    def __del__(self):
        print("gone", self.k)
for k in range(30):
    Node(k)
    for step in range(20):
        print("step", step)
        junk = [[] for _ in range(100)]
    await tools.search(k=k)
""",
    "weakref-callback": """
import weakref
class Node:
    def __init__(self):
        self.me = self
seen = []
keep = []
for k in range(20):
    node = Node()
    keep.append(weakref.ref(node, lambda _, k=k: print("dead", k)))
    del node
    junk = [[] for _ in range(900)]
    await tools.search(k=k)
""",
    "traceback": """
import traceback
def inner(k):
    return {}[k]
try:
    inner(3)
except KeyError:
    traceback.print_exc()
await tools.search()
inner("x")
""",
    "recursion": """
def deep(k):
    return deep(k + 1)
deep(0)
""",
    "warnings": """
import warnings, sys
warnings.simplefilter("always")
warnings.warn("old")
print(sys.getsizeof([]), sys.getrefcount(object()), len(sys.modules) > 100)
""",
    "regex-dicts": """
import re, collections
found = collections.Counter(re.findall(r"[a-z]", "the tide and the moon"))
print(found.most_common(), dict(found), re.compile("a|b"))
""",
    "pids": """
import threading
print(threading.main_thread() is threading.current_thread(), threading.current_thread().name)
""",
}

# Others may see what these see: they say so beforehand.
FLAGGED: Final[dict[str, str]] = {
    "to-thread": """
import time
print(await asyncio.to_thread(sum, range(10)))
await tools.search()
""",
    "run-in-executor": """
loop = asyncio.get_running_loop()
print(await loop.run_in_executor(None, sum, range(10)))
await tools.search()
""",
    "emission-from-a-thread": """
import threading
thread = threading.Thread(target=print, args=("from a thread",))
thread.start(); thread.join()
await tools.search()
""",
    "clock-in-a-thread": """
import threading, time
seen = []
thread = threading.Thread(target=lambda: seen.append(time.time()))
thread.start(); thread.join()
print(seen)
await tools.search()
""",
    "urandom-in-a-thread": """
import threading, os
seen = []
thread = threading.Thread(target=lambda: seen.append(os.urandom(4)))
thread.start(); thread.join()
print(seen)
await tools.search()
""",
    "timer-thread": """
import threading
loop, event = asyncio.get_running_loop(), asyncio.Event()
thread = threading.Timer(0.001, loop.call_soon_threadsafe, (event.set,))
thread.start(); thread.join()
await tools.search()
""",
    "subprocess": """
process = await asyncio.create_subprocess_exec("true")
print(process.pid)
await tools.search()
""",
}

# What nobody can see beforehand: it is noticed when it reaches what the cell says.
WORLD: Final[dict[str, str]] = {
    "dev-urandom": "print(open('/dev/urandom', 'rb').read(8).hex())",
    "pid": "import os; print(os.getpid())",
    "sqlite": """
import sqlite3
print(sqlite3.connect(":memory:").execute("select random()").fetchone()[0])
""",
}

REPRODUCIBLE: Final = ASYNCIO | CLOCKS | CHANCE | OBJECTS
# Those with at least three inputs.
CHAINED: Final = (
    *("gather", "taskgroup", "wait-first-completed", "as-completed", "wait-for", "queue"),
    *("semaphore-lock", "sleep", "logging", "del-of-cycles", "weakref-callback", "time-sleep"),
    *("gc-tasks", "all-clocks", "wall-clock", "cancel", "timeout-at", "contextvars-shield"),
)
