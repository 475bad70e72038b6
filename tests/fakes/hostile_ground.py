"""A supervisor under attack, with canaries around it and a sibling that must not notice."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tidemark
from tidemark.protocol import ids

from fakes.canaries import Canaries, end, peak_memory
from fakes.isolation import NOBODYS_NUMBER
from fakes.process_watch import alive, marked, zygote_of
from fakes.public_python import library
from fakes.running_supervisor import RunningSupervisor
from fakes.sibling_host import Refused, SiblingHost, median_cycle
from fakes.waiting import until

GROWTH_BYTES_MAX = 64 * 2**20
ANSWER_SECONDS_MAX = 2.0
SLOWER_MAX = 3.0  # times its usual: a sibling's cycle under attack
WARM_UP_SECONDS = 0.3
PATIENCE_SECONDS = 8.0  # for a median of cycles that is not too slow: machines are shared
SLACK_SECONDS = 0.02  # of the machine on which the tests run
_NUMBER = str(NOBODYS_NUMBER)
_BECOME = ("setpriv", "--reuid", _NUMBER, "--regid", _NUMBER, "--clear-groups")


@dataclass(frozen=True)
class Place:
    """A level, and whose supervisor gives it: that of root, or of an ordinary user."""

    level: str
    who: str

    def __str__(self) -> str:
        return f"{self.level} as {self.who}"

    @property
    def needs_public_python(self) -> bool:
        """Whether its cells have another user than the one who runs the tests."""
        if os.geteuid() != 0:
            return False
        return self.who == "user" or self.level == "restricted"


def echo(value: int) -> int:
    """What came."""
    return value


class Ground:
    """One supervisor at one level, its canaries, its sibling cell. Owns them all.

    Attributes:
        canaries: what nobody may touch.
        usual: seconds that the sibling's cycle takes in peace.
        measured: what it took under attack, by the name of the flood.
    """

    def __init__(self, place: Place, python: str, spares: int = 0) -> None:
        """Skips the test where the level cannot be had.

        With spare workers, which look like what a cell has left running, that is not looked for.
        """
        self.place, self._spares = place, spares
        self._python = python
        self._directory = Path(tempfile.mkdtemp(prefix="tm"))
        self._directory.chmod(0o755)
        os_user = place.who == "user" and os.geteuid() == 0
        self._owner = NOBODYS_NUMBER if os_user else None
        # -P: what lies in the directory of the tests must not be imported.
        self._command = (*(_BECOME if os_user else ()), python, "-P")
        self.mark = f"tmcanary{self._directory.name.removeprefix('tm')}"
        self._count = 0
        self.measured: list[tuple[str, float]] = []
        where = library(python)
        self.canaries = Canaries(self._directory, self.mark, self._command, self._owner, where)
        try:
            self._open()
        except BaseException:
            self.canaries.close()
            shutil.rmtree(self._directory)
            raise

    def _open(self) -> None:
        self._count += 1
        self.state = self._directory / f"state{self._count}"
        self.state.mkdir()
        if self._owner is not None:
            os.chown(self.state, self._owner, self._owner)
        self._was_ended = False
        self.supervisor = self._new_supervisor()
        try:
            self._meet()
        except Refused as error:
            self.supervisor.close()
            pytest.skip(f"{self.place}: {error}")
        except BaseException:
            self.supervisor.close()
            raise

    def _new_supervisor(self) -> RunningSupervisor:
        environment = {"TIDE_CANARY": self.canaries.secrets["environment"]}
        options = ["--durability=crash", f"--expect={self.place.level}", f"--spares={self._spares}"]
        return RunningSupervisor(self.state, *options, python=self._command, **environment)

    def _meet(self) -> None:
        secrets = self.canaries.secrets
        self._sibling = SiblingHost(self.supervisor.endpoint, self.place.level, secrets)
        self.sibling = self._sibling.worker
        self._client = tidemark.connect(self.supervisor.endpoint)
        self.guardian = zygote_of(str(self.state))
        self._epoch = self._client.info().epoch
        self.usual = self._usual()
        self._family = set(marked(str(self.state)))

    def _usual(self) -> float:
        """Beside a cell that only computes: who gets the processors is the system's to decide."""
        session = self.session()
        try:
            cell = session.create_cell("while True: pass")
            until(lambda: cell.status().state == "running", what="a cell that computes")
            return median_cycle(self._sibling, 15)
        finally:
            session.close()

    def session(self, name: str | None = None, **more: Any) -> tidemark.Session:
        """A session of this level with the tool `echo`, not open yet."""
        more.setdefault("tools", [echo])
        return tidemark.Session(
            name,
            endpoint=self.supervisor.endpoint,
            isolation=self.place.level,
            replay=False,
            **more,
        )

    def told(self) -> dict[str, Any]:
        """What an attacker may be supposed to know."""
        run = Path(self.supervisor.endpoint.removeprefix("ipc://")).parent
        return {
            **self.canaries.told(),
            "supervisor": self.supervisor.pid,
            "guardian": self.guardian,
            "sibling": self.sibling,
            "endpoint": self.supervisor.endpoint,
            "workers": str(run / "workers"),
            "zygote": str(run / f"zygote-{self.place.level}.sock"),
            "state": str(self.state),
        }

    def token_of_sibling(self) -> bytes:
        """What the sibling's worker proves with that it is who it is."""
        with closing(sqlite3.connect(f"file:{self.state}/journal.db?mode=ro", uri=True)) as opened:
            (secret,) = opened.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()
        return ids.worker_token(secret, self._sibling.cell, self._sibling.incarnation)

    # -- what the attacks are judged by -----------------------------------------------------------

    def slowed(self, name: str) -> str:
        """Whether the sibling is slower now than a neighbour may make it."""
        allowed = SLOWER_MAX * self.usual + SLACK_SECONDS
        began = time.monotonic()
        try:
            while time.monotonic() < began + WARM_UP_SECONDS:
                self._sibling.cycle()
            patience = time.monotonic() + PATIENCE_SECONDS  # others use this machine too
            while True:
                middle = median_cycle(self._sibling, 5)
                self.measured.append((name, middle))
                if middle <= allowed:
                    return ""
                if time.monotonic() > patience:
                    break
        except AssertionError as error:
            return f"the sibling does not go on: {error}"
        return f"the sibling's cycle took {middle * 1e3:.0f} ms, usually {self.usual * 1e3:.0f} ms"

    def harm(self) -> str:
        """What was done to anybody; asking forgets it. A ground that is ruined is made anew."""
        found = [self.canaries.harm(), self._left()]
        ruin = self._ruin()
        if ruin:
            found.append(ruin)
            self._renew()
        return "; ".join(each for each in found if each)

    def _ruin(self) -> str:
        """What is broken for good."""
        self.revive()
        if self._was_ended:
            return "the supervisor was ended"
        try:
            began = time.monotonic()
            epoch = self._client.info().epoch
            took = time.monotonic() - began
            self._sibling.cycle()
            _sees_a_new_cell(self.session())
        except (tidemark.TidemarkError, TimeoutError, AssertionError) as error:
            return f"the sibling or the supervisor was harmed: {error!r:.300}"
        if epoch != self._epoch:
            return f"the supervisor is in epoch {epoch}, after {self._epoch}"
        return "" if took < ANSWER_SECONDS_MAX else f"the supervisor needed {took:.1f} s to answer"

    def _left(self) -> str:
        """Processes that have outlived their cell."""
        if self._spares:
            return ""

        def strangers() -> set[int]:
            return set(marked(str(self.state))) - self._family

        try:
            # A program that removes a cell's files may be among them.
            until(lambda: not strangers(), seconds=10)
        except AssertionError:
            left = strangers()
            end(left)
            return f"{len(left)} processes have outlived the cell"
        return ""

    def revive(self) -> None:
        """If the supervisor was ended: a new one in its place, for those who have sessions."""
        if not alive(self.supervisor.pid):
            self._was_ended = True
            self.supervisor.close()
            self.supervisor = self._new_supervisor()

    def _renew(self) -> None:
        self._close()
        self._open()

    def _close(self) -> None:
        self._sibling.close()
        with suppress(tidemark.TidemarkError, TimeoutError):  # nobody may be there any more
            self._client.close()
        self.supervisor.close()

    def close(self) -> None:
        """End everything; fails if something of it is left."""
        self._close()
        self.canaries.close()
        shutil.rmtree(self._directory)
        assert not marked(self.mark)


def _sees_a_new_cell(session: tidemark.Session) -> None:
    try:
        cell = session.create_cell("exit(7)")
        # Not observed before: that waits until the cell has begun, which it may never do.
        until(lambda: cell.status().state == "completed", seconds=5, what="a new cell's end")
    finally:
        session.close()


@contextmanager
def memory_watched(ground: Ground) -> Iterator[list[str]]:
    """What is said in the list afterwards is how much too much the supervisor has taken."""
    found: list[str] = []
    pid = ground.supervisor.pid
    before = peak_memory(pid, reset=True)
    yield found
    if alive(pid):
        growth = peak_memory(pid) - before
        if growth >= GROWTH_BYTES_MAX:
            found.append(f"the supervisor has taken {growth >> 20} MiB more")
