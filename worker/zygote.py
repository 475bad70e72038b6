"""The zygote: parent and guardian of workers. Single-threaded, without a ZeroMQ context, always.

It outlives its supervisor: it holds the workers, their pidfds and exit statuses, hands everything
to the next supervisor, and kills the workers when none has come. A private one does so at once.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, assert_never

from ..protocol import codec
from ..protocol.zygote_messages import (
    Command,
    Forget,
    Fork,
    Forked,
    ForkFailed,
    FromZygote,
    Kill,
    Living,
    Quit,
    ToZygote,
)
from . import real, scratch
from .nursery import Nursery
from .post import Post
from .reproducible import Reproducible
from .watches import Watches, Witness

LIVING_MAX: Final = 200  # about as many descriptors as one message can carry
HOST_GRACE_S: Final = 0.5  # how long a private supervisor may take to end after its host
MESSAGES_IN_TURN: Final = 16


@dataclass(frozen=True, slots=True)
class Charge:
    """What a zygote was started with.

    Attributes:
        supervisor_pid: who is waited for until the first connection.
        is_private: end with the supervisor instead of waiting for the next.
        host_pid: the host of a private supervisor; None otherwise.
        directory: removed at the end of a private zygote whose host is gone.
        run: where the sockets are when that is elsewhere; the host does not know it, so it is
            removed whenever the private supervisor did not get to it.
        work: where workers get their directories.
        orphan_s: how long workers live without a supervisor.
    """

    socket_path: str
    supervisor_pid: int
    is_private: bool
    host_pid: int | None
    directory: str | None
    run: str | None
    work: str
    orphan_s: float


class Zygote:
    """The loop: messages of supervisors, ends of workers, and who is still there."""

    def __init__(
        self,
        charge: Charge,
        listener: socket.socket,
        bell: socket.socket,
        reproducible: Reproducible,
    ) -> None:
        """`listener` listens; `bell` gets a byte for each signal. Neither may block."""
        self._charge = charge
        self._listener = listener
        self._bell = bell
        self._nursery = Nursery(charge.work, reproducible)
        self._epoch = 0
        self._commander: Post | None = None
        self._is_quitting = False
        self._alone_since: float | None = None
        self._hostless_since: float | None = None
        self._watches = Watches()
        self._watches.watch(listener, self._on_connection)
        self._watches.watch(bell, self._on_signal)
        self._supervisor = Witness(charge.supervisor_pid, self._watches, self._on_supervisor_gone)
        host_pid = charge.host_pid if charge.is_private else None
        self._host = Witness(host_pid, self._watches, self._on_host_gone)

    def serve(self) -> None:
        """Turn until it is time to end; then no worker lives any more."""
        while not self._is_quitting and (patience_s := self._patience_s()) != 0:
            self._watches.turn(patience_s)
        self._nursery.kill_all()
        self._listener.close()
        if os.path.exists(self._charge.socket_path):
            os.unlink(self._charge.socket_path)
        if self._is_quitting:
            self._watches.turn(0)
            if not self._host.is_gone:
                return  # whoever asked for that cleans up after us
        if self._charge.is_private and self._charge.directory is not None:
            self._clean_after_host(self._charge.directory)

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

    def _clean_after_host(self, directory: str) -> None:
        """If the host is gone, nobody is left to end a frozen supervisor and remove its files.

        Nor if the supervisor is killed while it ends: so what it would clean up is done here.
        """
        deadline = real.monotonic() + HOST_GRACE_S
        while not self._host.is_gone and (left_s := deadline - real.monotonic()) > 0:
            # Host and supervisor may have been killed together, in either order.
            self._watches.turn(left_s)
        if self._host.is_gone and not self._supervisor.is_gone and self._supervisor.pidfd:
            signal.pidfd_send_signal(self._supervisor.pidfd, signal.SIGKILL)
            while not self._supervisor.is_gone:  # until then it could still make files
                self._watches.turn(HOST_GRACE_S)
        if self._charge.run is not None and (self._host.is_gone or self._supervisor.is_gone):
            scratch.remove(self._charge.run)
        if self._host.is_gone:
            scratch.remove(directory)

    # -- connections ------------------------------------------------------------------------------

    def _on_connection(self) -> None:
        try:
            connection, _ = self._listener.accept()
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
        for end in self._nursery.ended:
            self._say(end)
        living = self._nursery.living
        batches = [living[at : at + LIVING_MAX] for at in range(0, len(living), LIVING_MAX)] or [[]]
        for number, batch in enumerate(batches, 1):
            workers = tuple((child.token, child.pid) for child in batch)
            pidfds = tuple(child.pidfd for child in batch)
            self._say(Living(workers, number == len(batches)), pidfds)
        return True

    def _on_fork(self, message: Fork) -> None:
        child = self._nursery.find(message.token)
        if child is None:
            try:
                child = self._nursery.fork(message)
            except OSError as error:
                self._say(ForkFailed(message.token, str(error)[:1000]))
                return
        self._say(Forked(child.token, child.pid), (child.pidfd,))

    # -- signals ----------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        try:
            received = self._bell.recv(4096)
        except BlockingIOError:
            return
        if signal.SIGTERM in received:
            self._is_quitting = True
        for end in self._nursery.reap():
            self._say(end)
