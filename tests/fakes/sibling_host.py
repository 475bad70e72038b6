"""A host of its own with one paused cell, to see from outside whether others disturb it."""

from __future__ import annotations

from typing import Any

from tidemark.protocol import ids

from fakes.running_supervisor import HostProcess

# Secrets come by `hear`, because everybody may read a command line.
PROGRAM = '''
CELL = """
with open("sibling.txt", "w") as file:
    file.write(secret)
number = 0
while True:
    number += 1
    text(await tools.echo(value=number))
"""

def echo(value: int) -> int:
    """What came."""
    return value

endpoint, level = sys.argv[1:]
secrets = hear()
session = tidemark.Session(
    "sibling", endpoint=endpoint, isolation=level, replay=False, tools=[echo]
)
deadline = time.monotonic() + 30
while True:
    try:
        session.open()
        break
    except tidemark.IsolationUnavailableError as error:
        say({"refused": str(error)})
        sys.exit()
    except tidemark.SupervisorUnavailableError:
        if time.monotonic() > deadline:
            raise
session.stored.set("canary", secrets["stored"])
cell = session.create_pausable_cell(CELL, inputs={"secret": secrets["sibling"]})
generation = cell.wait_to_pending(timeout=30).generation
status = cell.status()
life = str(status.incarnation)
say({"pid": status.pid, "level": session.isolation, "cell": cell.id, "incarnation": life})
while True:
    hear()
    try:
        before = time.perf_counter()
        cell.resume(generation, timeout=10)
        event = cell.wait_to_pending(timeout=10)
        took = time.perf_counter() - before
        assert isinstance(event, tidemark.Pending), event
        assert event.output[0].text.strip() == str(generation), event
        generation += 1
        assert event.generation == generation, event
        say(took)
    except (tidemark.TidemarkError, TimeoutError, AssertionError) as error:
        say(repr(error))
'''


class Refused(Exception):
    """The level cannot be had on this machine."""


class SiblingHost:
    """Owns its process.

    Attributes:
        worker: the process of its cell.
        cell: its id; `incarnation`: its worker's life.
    """

    def __init__(self, endpoint: str, level: str, secrets: dict[str, str]) -> None:
        """Blocks until its cell is paused.

        Raises:
            Refused.
        """
        self._process = HostProcess(PROGRAM, endpoint, level)
        try:
            self._process.say(secrets)
            said: dict[str, Any] = self._process.hear(seconds=60)
            if "refused" in said:
                raise Refused(said["refused"])
            assert said["level"] == level, said
            self.worker = int(said["pid"])
            self.cell = str(said["cell"])
            epoch, _, number = str(said["incarnation"]).partition(".")
            self.incarnation = ids.Incarnation(int(epoch), int(number))
        except BaseException:
            self._process.close()
            raise

    def cycle(self) -> float:
        """Let the cell go on by one frontier; how many seconds that took.

        Raises:
            AssertionError: it did not, or came out differently.
        """
        self._process.say("cycle")
        took = self._process.hear(seconds=25)
        assert isinstance(took, float), took
        return took

    def close(self) -> None:
        """End the host; its cell is left to the supervisor."""
        self._process.close()


def median_cycle(host: SiblingHost, cycles: int) -> float:
    """Of so many cycles, the one in the middle."""
    return sorted(host.cycle() for _ in range(cycles))[cycles // 2]
