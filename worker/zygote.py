"""The zygote: parent and guardian of workers. Single-threaded, without a ZeroMQ context, always.

It outlives its supervisor: it holds the workers, their pidfds and exit statuses, hands everything
to the next supervisor, and kills the workers when none has come. A private one does so at once.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, assert_never

from ..protocol import codec
from ..protocol.classes import dataclass
from ..protocol.zygote_messages import (
    Command,
    Forget,
    Fork,
    Forked,
    ForkFailed,
    FromZygote,
    Kill,
    Living,
    Lodge,
    Quit,
    Report,
    ToZygote,
)
from . import real
from .aftermath import HOST_GRACE_S
from .charge import Charge
from .isolation.quarters import Quarters
from .layette import Layette
from .nursery import Nursery
from .post import Post
from .reproducible import Reproducible
from .watches import Watches, Witness

LIVING_MAX: Final = 200  # about as many descriptors as one message can carry
MESSAGES_IN_TURN: Final = 16


@dataclass(frozen=True, slots=True)
class Doors:
    """The descriptors through which a zygote learns what is going on.

    Attributes:
        listener: listens; may not block.
        bell: gets a byte for each signal; may not block.
        supervisor: pidfd of who is waited for until the first connection; see `look_at`.
        host: pidfd of the host of a private supervisor.
        guardian: readable when the process around this one wants it to end; None: there is none.
    """

    listener: socket.socket
    bell: socket.socket
    supervisor: int | None
    host: int | None
    guardian: int | None = None


class Zygote:
    """The loop: messages of supervisors, ends of workers, and who is still there."""

    def __init__(
        self,
        charge: Charge,
        doors: Doors,
        quarters: Quarters,
        report: Report,
        reproducible: Reproducible,
        fork: Callable[[], int],
        layette: Layette,
    ) -> None:
        """`quarters` are where its workers live, which `report` says of; `fork` makes them."""
        self._charge = charge
        self._doors = doors
        self._report = report
        self._nursery = Nursery(quarters, reproducible, fork, layette)
        self._epoch = 0
        self._commander: Post | None = None
        self._is_quitting = False
        self._alone_since: float | None = None
        self._hostless_since: float | None = None
        self._watches = Watches()
        self._watches.watch(doors.listener, self._on_connection)
        self._watches.watch(doors.bell, self._on_signal)
        if doors.guardian is not None:
            self._watches.watch(doors.guardian, self._on_guardian)
        Witness(doors.supervisor, self._watches, self._on_supervisor_gone)
        Witness(doors.host if charge.is_private else None, self._watches, self._on_host_gone)

    def serve(self) -> bool:
        """Turn until it is time to end; then no worker lives any more.

        Returns whether somebody has asked for that: what is left to do depends on it.
        """
        while not self._is_quitting and (patience_s := self._patience_s()) != 0:
            self._watches.turn(patience_s)
        self._nursery.kill_all()
        self._doors.listener.close()
        return self._is_quitting

    # -- who is there -----------------------------------------------------------------------------

    def _patience_s(self) -> float | None:
        """Seconds until nobody is waited for any more; None: for ever."""
        ends = []
        if self._alone_since is not None:
            ends.append(
                self._alone_since + (0 if self._charge.is_private else self._charge.orphan_s)
            )
        if self._hostless_since is not None:
            ends.append(self._hostless_since + HOST_GRACE_S)
        return max(0.0, min(ends) - real.monotonic()) if ends else None

    def _on_supervisor_gone(self) -> None:
        if self._commander is None and self._epoch == 0:
            self._alone_since = real.monotonic()

    def _on_host_gone(self) -> None:
        # A private supervisor ends with its host, and this process with it. But it may be frozen.
        self._hostless_since = real.monotonic()

    def _on_guardian(self) -> None:
        # A word to end, or its own end: the kernel ends this process then.
        self._is_quitting = True

    # -- connections ------------------------------------------------------------------------------

    def _on_connection(self) -> None:
        try:
            connection, _ = self._doors.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        post = Post(connection)
        self._watches.watch(post, lambda: self._on_post(post))

    def _on_post(self, post: Post) -> None:
        try:
            post.flush()
            if not post.is_behind:
                self._watches.expect_input(post)
            for _ in range(MESSAGES_IN_TURN):
                message = post.receive()
                if message is None:
                    self._hang_up(post)
                    return
                if not self._on_message(post, message):
                    return
        except BlockingIOError:
            return
        except codec.OtherVersion as error:
            print(f"zygote: a supervisor speaks {error}", file=sys.stderr)
            self._say_what_we_speak(post)
        except (OSError, codec.BadFrame) as error:
            print(f"zygote: a connection was closed: {error}", file=sys.stderr)
            self._hang_up(post)

    def _say_what_we_speak(self, post: Post) -> None:
        """Any message of ours tells a supervisor of another version that it is one."""
        with suppress(OSError):
            post.send(Living((), True))
        self._hang_up(post)

    def _hang_up(self, post: Post) -> None:
        self._watches.drop(post)
        post.close()
        if post is self._commander:
            self._commander = None
            self._alone_since = real.monotonic()

    def _say(self, message: FromZygote, descriptors: tuple[int, ...] = ()) -> None:
        post = self._commander
        if post is None:
            return
        try:
            post.send(message, descriptors)
        except OSError:
            self._hang_up(post)
            return
        if post.is_behind:
            self._watches.expect_room(post)

    # -- messages ---------------------------------------------------------------------------------

    def _on_message(self, post: Post, message: ToZygote) -> bool:
        """Returns whether to go on with this connection."""
        if isinstance(message, Command):
            return self._on_command(post, message)
        if post is not self._commander:
            self._hang_up(post)
            return False
        match message:
            case Fork():
                self._on_fork(message)
            case Kill():
                self._nursery.kill(message.token)
            case Lodge():
                self._nursery.lodge(message.token, message.cell)
            case Forget():
                self._nursery.forget(message.token)
            case Quit():
                self._is_quitting = True
            case _:
                assert_never(message)
        return post is self._commander

    def _on_command(self, post: Post, message: Command) -> bool:
        if message.epoch < self._epoch:
            self._hang_up(post)
            return False
        former = self._commander
        self._commander = post
        if former is not None and former is not post:
            self._hang_up(former)
        self._epoch = message.epoch
        self._alone_since = None
        self._say(self._report)
        for end in self._nursery.ended:
            self._say(end)
        roll = self._nursery.roll
        living = list(roll)
        batches = [living[at : at + LIVING_MAX] for at in range(0, len(living), LIVING_MAX)] or [[]]
        for number, batch in enumerate(batches, 1):
            workers = tuple((roll.token_of(child), child.pid_outside) for child in batch)
            pidfds = tuple(child.pidfd for child in batch)
            self._say(Living(workers, number == len(batches)), pidfds)
        return self._commander is post  # it may have gone meanwhile

    def _on_fork(self, message: Fork) -> None:
        child = self._nursery.roll.find(message.token)
        if child is None:
            try:
                child = self._nursery.fork(message)
            except OSError as error:
                self._say(ForkFailed(message.token, str(error)[:1000]))
                return
        self._say(Forked(message.token, child.pid_outside), (child.pidfd,))

    # -- signals ----------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        try:
            received = self._doors.bell.recv(4096)
        except BlockingIOError:
            return
        if signal.SIGTERM in received:
            self._is_quitting = True
        self._nursery.reap(self._say)
