"""Where a host's supervisor is, and how its successor is had. Blocking: shells ask in a thread.

Three kinds: an endpoint names one supervisor and nobody here starts another; a state directory
always has a supervisor when one is asked for; a private directory is this host's own.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Final, Protocol

from ..protocol.errors import SupervisorUnavailableError, TidemarkError
from . import _head_start
from ._head_start import HeadStart
from ._launch import (
    Found,
    Kind,
    Started,
    await_ready,
    find,
    find_or_start,
    log_tail,
    look_in,
    start_private,
    use_endpoint,
    was_killed,
)
from ._packages import Packages

_END_SECONDS_MAX: Final = 5.0
_DYING_SECONDS: Final = 0.5  # between the loss of a connection and the end of its process
_LIVED_SECONDS: Final = 1.0
_SHORT_LIVES_MAX: Final = 3  # after so many it is left to whoever is asked for an answer
_SESSION_CLOSED: Final = "this session has been closed; open a new one"


_AHEAD: Final[ContextVar[PrivatePlace | None]] = ContextVar("tidemark.ahead", default=None)


class GoneForGood(SupervisorUnavailableError):
    """The supervisor has ended and has taken its journal with it: nothing can follow it."""


class Succeeded(Protocol):
    """A place whose supervisors this host can start."""

    def succeed(self) -> Found | Started:
        """A supervisor that is there now, found or started, for a host that needs one.

        Raises:
            GoneForGood: there will be none.
            TidemarkError: there is none, or it did not start.
        """

    def look(self) -> Found | Started | None:
        """The same for a host that does not need one: None if the last was ended on purpose.

        Raises:
            TidemarkError: as for `succeed`.
        """

    def last_words(self) -> str:
        """What is known of supervisors that did not stay, for a person."""


class EndpointPlace:
    """A supervisor that somebody else sees to.

    Raises:
        TypeError, ValueError: not an endpoint that this release can use.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = use_endpoint(endpoint).endpoint

    def launch(self) -> Found:
        """Whoever listens there; this does not look."""
        return Found(self._endpoint)


class StatePlace:
    """The supervisor of a state directory, whoever started it.

    Args:
        find_it: finds the supervisor or starts one.

    Raises:
        ValueError: no supervisor can use a directory of this name.
    """

    def __init__(self, directory: str, find_it: Callable[[], Found | Started]) -> None:
        self._directory = Path(os.path.abspath(directory))
        try:
            str(self._directory).encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{str(self._directory)!r:.200} cannot be a state directory: its path is not "
                "UTF-8; name another one"
            ) from None
        self._find_it = find_it

    def launch(self) -> Found | Started:
        """The first supervisor, found or started.

        Raises:
            TidemarkError: there is none, or it did not start.
        """
        return self._find_it()

    def succeed(self) -> Found | Started:
        return self._find_it()

    def look(self) -> Found | Started | None:
        found = look_in(self._directory)
        if found is None and was_killed(self._directory):
            return self._find_it()
        return found

    def last_words(self) -> str:
        return _words_of(self._directory)


class PrivatePlace:
    """A temporary directory with a supervisor of this host's own, which ends with the host.

    Its supervisors follow one another on the same directory. Thread-safe. In a process forked from
    this host it is the parent's still: there `end` and `cut` only close the copy of the lifeline.

    Args:
        head_start: the first supervisor, if it is on its way already.
    """

    def __init__(self, kind: Kind, head_start: HeadStart | None = None) -> None:
        self.kind = kind
        self._owner = os.getpid()
        self._starting = threading.Lock()
        self._lifeline_lock = threading.Lock()
        self._directory: Path | None = None
        self._life: Started | None = None
        self._lifeline: int | None = None
        self._is_over = False
        self._short_lives = 0
        self._ahead: threading.Thread | None = None
        self._untaken = threading.Lock()
        self._ready: int | None = None
        if head_start is not None:
            self._lifeline, self._ready = head_start.lifeline, head_start.ready
            self._directory = Path(head_start.directory)
            self._life = Started(head_start.child, self._directory)
            atexit.register(self.end)

    def begin(self) -> None:
        """Start launching, in a thread; `launch` has the outcome."""
        self._ahead = threading.Thread(target=self._launch_ahead, daemon=True)
        self._ahead.start()

    def take(self) -> bool:
        """Whether it is the caller's from now on: true for the first who asks."""
        return self._untaken.acquire(blocking=False)

    def _launch_ahead(self) -> None:
        with suppress(TidemarkError, OSError):  # who asks for it tries again, and gets the error
            self._launch()

    def launch(self) -> Started:
        """The first supervisor, on a new directory.

        Raises:
            TidemarkError: it did not start.
            OSError: the machine does not give what it needs.
        """
        if self._ahead is not None:
            self._ahead.join()
            if self._life is not None:
                return self._life
        return self._launch()

    def _launch(self) -> Started:
        with self._starting:
            if self._is_over:
                raise GoneForGood(_SESSION_CLOSED)
            if self._directory is None:
                import tempfile  # not needed after a head start, and slow to import

                self._directory = Path(tempfile.mkdtemp(prefix="tidemark-"))
                self._owner = os.getpid()
                atexit.register(self.end)
            return self._start(self._directory)

    def succeed(self) -> Started:
        with self._starting:
            directory, former = self._directory, self._life
            if self._is_over or directory is None:
                raise GoneForGood(_SESSION_CLOSED)
            if former is not None and not former.has_ended(_DYING_SECONDS):
                return former  # only the connection was lost
            if not (directory / "journal.db").exists():
                how = former.obituary() if former is not None else "the supervisor has ended"
                raise GoneForGood(f"{how}; its cells are gone with it: open a new session")
            # Its zygote cleans up after it, also where the sockets were if that is elsewhere: with
            # nothing to tell where, the successor makes a place of its own.
            (directory / "supervisor.json").unlink(missing_ok=True)
            return self._start(directory)

    def look(self) -> Started:
        return self.succeed()

    def last_words(self) -> str:
        if self._life is not None and self._life.has_ended():
            return self._life.obituary()
        return _words_of(self._directory) if self._directory is not None else ""

    def _start(self, directory: Path) -> Started:
        if self._ready is None:
            life = self._life = self._start_one(directory)
        else:
            life = self._first_one()
        follow = threading.Thread(target=self._follow, args=(life,), name="tidemark-successor")
        follow.daemon = True
        follow.start()
        return life

    def _start_one(self, directory: Path) -> Started:
        reading, writing = os.pipe()
        try:
            self._hold(writing)
            return start_private(directory, self.kind, reading)
        finally:
            os.close(reading)

    def _first_one(self) -> Started:
        """The one that had a head start, when it is ready."""
        life, ready, self._ready = self._life, self._ready, None
        assert life is not None
        assert ready is not None
        try:
            await_ready(life, ready)
        except BaseException:
            self._life = None
            raise
        return life

    def _follow(self, life: Started) -> None:
        """Start its successor, though the host's loop be busy.

        Without one nobody would remove the directory if the host were killed.
        """
        began = time.monotonic()
        life.has_ended(None)
        has_lived = time.monotonic() - began > _LIVED_SECONDS
        self._short_lives = 0 if has_lived else self._short_lives + 1
        if self._short_lives < _SHORT_LIVES_MAX:
            # Whoever asks for a supervisor gets the error, if there is one.
            with suppress(TidemarkError, OSError):
                self.succeed()

    def _hold(self, lifeline: int) -> None:
        """A new lifeline in place of the former; cut at once if the end has come meanwhile."""
        self.cut()
        with self._lifeline_lock:
            if self._is_over:
                os.close(lifeline)
            else:
                self._lifeline = lifeline

    def cut(self) -> None:
        """Tell the supervisor to end, without waiting."""
        if self._is_inherited:
            self._drop_lifeline()  # a lock may be held for ever by a thread that was not forked
            return
        with self._lifeline_lock:
            self._drop_lifeline()

    def _drop_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            os.close(lifeline)

    @property
    def _is_inherited(self) -> bool:
        """Whether this is a copy in a forked process, and the supervisor is its parent's."""
        return os.getpid() != self._owner

    def end(self) -> None:
        """End it, also one that is starting, and remove its directory; waits 5 s, then kills it."""
        atexit.unregister(self.end)
        self._is_over = True
        self.cut()
        if self._is_inherited:
            return
        with self._starting:
            life = self._life
            if self._ready is not None:  # nobody has asked for it
                os.close(self._ready)
                self._ready = None
            if life is not None and not life.has_ended(_END_SECONDS_MAX):
                life.process.kill()
                life.has_ended(_END_SECONDS_MAX)
            if self._directory is not None:
                import shutil  # with four compressors, for this alone

                shutil.rmtree(self._directory, ignore_errors=True)


def place_of(
    state: str | os.PathLike[str] | None,
    endpoint: str | None,
    durability: str | None,
    isolation: str | None,
    packages: Packages,
) -> EndpointPlace | StatePlace | PrivatePlace:
    """Where the supervisor of a session with these arguments is.

    Raises:
        TypeError, ValueError: arguments that do not go together.
    """
    if durability not in (None, "power", "crash"):
        raise ValueError(f"durability must be 'power' or 'crash', not {durability!r:.40}")
    if state is not None and endpoint is not None:
        raise ValueError("give state or endpoint, not both: an endpoint has its own state")
    if endpoint is not None:
        if packages != Packages():
            raise ValueError(
                "preload and package_paths are the supervisor's, and this one runs already; give "
                "them to `tidemark serve --preload MODULE --package-path DIR`"
            )
        return EndpointPlace(endpoint)
    if state is not None:
        directory = os.fspath(state)
        kind = Kind(durability or "power", isolation, packages)
        return StatePlace(directory, lambda: find_or_start(directory, kind))
    kind = Kind(durability or "crash", isolation, packages)
    ahead = _AHEAD.get()
    # A context is copied for each thread and task: whoever has a copy may find it there.
    if ahead is not None and ahead.kind == kind and ahead.take():
        return ahead
    return PrivatePlace(kind)


def begin_ahead(isolation: str | None) -> None:
    """Launch the private supervisor of the first session that is made in this context.

    For programs that know what they will need before they have imported what they need for it.
    `end_ahead` has to follow.
    """
    place = PrivatePlace(Kind("crash", isolation), _head_start.take(isolation))
    place.begin()
    _AHEAD.set(place)


def end_ahead() -> None:
    """End the supervisor that was launched ahead, if no session has come to take it."""
    place = _AHEAD.get()
    _AHEAD.set(None)
    if place is not None and place.take():
        place.end()
    if (head_start := _head_start.left_over()) is not None:
        PrivatePlace(Kind("crash", head_start.expect), head_start).end()


def place_for_client(state_or_endpoint: str | os.PathLike[str]) -> EndpointPlace | StatePlace:
    """Where the supervisor is that a client without a session names."""
    name = os.fspath(state_or_endpoint)
    if "://" in name:
        return EndpointPlace(name)
    return StatePlace(name, lambda: find(name))


def _words_of(directory: Path) -> str:
    words = log_tail(directory)
    with suppress(OSError):
        log = directory / "supervisor.log"
        if log.stat().st_size:
            words = f"{words} (its log is {log})"
    return words
