"""The cell's event loop, and its selector: where a cell becomes pending.

asyncio calls `select` with a timeout other than 0 exactly when it has nothing ready to run. That is
the moment at which the next input is taken, or the wait is said. Time and timers are the cell's
own, so what the loop does depends on nothing but the order of inputs, until own work comes in.
"""

from __future__ import annotations

import select
import selectors
import threading
from asyncio import Handle, TimerHandle, futures
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context
from typing import Any, TypeAlias

from ..protocol.packed import InputKind, PackedInput
from .clock import CellClock
from .garbage import Garbage
from .link import Link
from .numbered import NumberingLoop
from .own_work import OwnWork
from .timers import SECOND_NS, Timers

Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]


class Gate(selectors.EpollSelector):
    """The loop's selector. It polls descriptors of the cell only when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.on_idle: Callable[[], Ready] = self.poll
        self.on_register: Callable[[int], None] | None = None
        self.on_unregister: Callable[[int], None] | None = None

    def close_for_now(self) -> None:
        """Have no descriptor; see `open`."""
        self._selector.close()

    def open(self) -> None:
        """Have one of this process's own."""
        self._selector = select.epoll()

    def select(self, timeout: float | None = None) -> Ready:
        """Nothing while the loop has something to run; then whatever may move the cell."""
        if timeout is not None and timeout <= 0:
            return []
        return self.on_idle()

    def poll(self) -> Ready:
        """The descriptors that are ready now."""
        return super().select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a descriptor."""
        key = super().register(fileobj, events, data)
        if self.on_register is not None:
            self.on_register(key.fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watch it no longer."""
        key = super().unregister(fileobj)
        if self.on_unregister is not None:
            self.on_unregister(key.fd)
        return key


class CellLoop(NumberingLoop):
    """An asyncio loop that moves by inputs.

    Attributes:
        settle: what to do with an input that answers a tool call.
        before_wait: called whenever the cell is about to wait.
        is_ending: the main code has ended; see `end_when_idle`.
    """

    _ssock: Any
    _csock: Any

    def __init__(self, link: Link) -> None:
        """Without a descriptor. Costly enough to be made before there is a process; see `open`."""
        self._link = link
        self._hearing = link.hearing
        self._clock: CellClock
        self._own: OwnWork
        self._garbage, self._timers = Garbage(), Timers()
        self._gate = Gate()
        super().__init__(self._gate)
        self._gate.close_for_now()
        self._clock_resolution = 0.0
        self._waiting_handles: deque[Handle] = vars(self)["_ready"]
        self._main = 0
        self._is_submitting = self._is_waiting = self._has_signals = False
        self.is_ending = False
        self.settle: Callable[[PackedInput], None] = lambda _: None
        self.before_wait: Callable[[], None] = lambda: None
        self._closed_poll, self._open_poll = select.poll(), select.poll()
        self._gate.on_idle = self._idle

    def open(self) -> None:
        """Be the loop of this thread and process; the link has been opened. Then `equip` it."""
        self._main = threading.get_ident()
        self._gate.open()
        for descriptor in self._hearing.watched():
            self._closed_poll.register(descriptor, select.POLLIN)
            self._open_poll.register(descriptor, select.POLLIN)
        self._open_poll.register(self._gate.fileno(), select.POLLIN)

    def give_back(self) -> None:
        """Have no descriptor any more; it cannot run again."""
        self._gate.close_for_now()

    def equip(self, clock: CellClock, own: OwnWork) -> None:
        """Give the loop what belongs to its cell; to be called once, before it runs."""
        self._clock = clock
        self._own = own
        self._gate.on_register = self._on_register
        self._gate.on_unregister = own.end_file

    # -- time -------------------------------------------------------------------------------------

    def time(self) -> float:
        """The cell's clock, in seconds since 1970."""
        return self._clock.reading() / SECOND_NS

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> TimerHandle:
        """A timer; it fires when the supervisor hands over the input that says so."""
        self._check_closed()  # type: ignore[attr-defined]
        handle = TimerHandle(when, callback, args, self, context)
        self._timers.add(handle)
        return handle

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        self._timers.cancelled()

    # -- own work ---------------------------------------------------------------------------------

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """From the loop's own code it is `call_soon`; from a thread it waits for the gate."""
        on_loop = threading.get_ident() == self._main and not self._is_waiting
        if on_loop and not self._is_submitting:
            return self.call_soon(callback, *args, context=context)
        self._check_closed()  # type: ignore[attr-defined]
        handle = Handle(callback, args, self, context)
        self._own.flag("a callback from another thread")
        self._own.queue(handle)
        self._hearing.gate_bell.ring()
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> futures.Future[Any]:
        """Runs in a thread at once, even while paused; the outcome waits for the gate."""
        self._check_closed()  # type: ignore[attr-defined]
        if executor is None:
            executor = self._default_pool()
        self._own.flag("a function in another thread")
        job = self._own.begin_job(func)
        try:
            submitted = executor.submit(func, *args)
        except BaseException:
            self._own.end_job(job)
            raise
        # A job that is done already must take the same way as one that is not.
        self._is_submitting = True
        try:
            wrapped = futures.wrap_future(submitted, loop=self)
        finally:
            self._is_submitting = False
        wrapped.add_done_callback(lambda _: self._own.end_job(job))
        return wrapped

    def _default_pool(self) -> Executor:
        self._check_default_executor()  # type: ignore[attr-defined]
        pool: Executor | None = vars(self).get("_default_executor")
        if pool is None:
            pool = ThreadPoolExecutor(thread_name_prefix="asyncio")
            self.set_default_executor(pool)
        return pool

    def _make_self_pipe(self) -> None:
        """Not before a signal is to be handled: nobody else needs it."""
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        if self._ssock is not None:
            super()._close_self_pipe()  # type: ignore[misc]

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """A signal is own work like a thread's callback."""
        self._own.flag("a signal handler")
        self._has_signals = True
        if self._ssock is None:
            told, self._gate.on_register = self._gate.on_register, None  # it is no file of theirs
            super()._make_self_pipe()  # type: ignore[misc]
            self._gate.on_register = told
        super().add_signal_handler(sig, callback, *args)

    def _write_to_self(self) -> None:
        # The self-pipe is for signals alone; whoever else wakes the loop rings the gate's bell.
        self._hearing.gate_bell.ring()

    def _on_register(self, descriptor: int) -> None:
        self._own.flag("a file descriptor in the event loop")
        self._own.begin_file(descriptor)

    def _take_own_work(self) -> Ready | None:
        """What own work has brought; None: nothing, or it may not be handed over now."""
        watches = self._own.has_files or self._has_signals
        if not (watches or self._own.is_queued) or not self._link.takes_own_work():
            return None
        ready = self._gate.poll() if watches else []
        handles = self._own.take_queue()
        if not ready and not handles:
            return None
        self._link.own_work_taken()
        self._waiting_handles.extend(handles)
        return ready

    # -- the gate ---------------------------------------------------------------------------------

    def end_when_idle(self) -> None:
        """The main code has ended: when nothing is ready any more, stop instead of waiting."""
        self.is_ending = True

    def _idle(self) -> Ready:
        self.before_wait()
        while not self._waiting_handles:
            if self.is_ending:
                self.stop()
                return []
            own = self._take_own_work()
            if own is not None:
                return own
            taken = self._link.next_turn(self._timers.next_ns(), self._own.describe())
            if taken is not None:
                self._hand_over(taken)
                return []
            self._wait()
        return []

    def _hand_over(self, taken: PackedInput) -> None:
        if self._clock.hand_over(max(taken.stamp_ns, taken.due_ns), self._garbage.is_due):
            self._garbage.collect()
        if taken.kind is InputKind.TIMER:
            self._waiting_handles.extend(self._timers.take_due(taken.due_ns))
        else:
            self.settle(taken)

    def _wait(self) -> None:
        watches = self._own.has_files or self._has_signals
        poll = self._open_poll if watches and self._link.takes_own_work() else self._closed_poll
        self._is_waiting = True
        try:
            self._hearing.wait(poll)
        finally:
            self._is_waiting = False
