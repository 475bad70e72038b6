"""A thread with an asyncio loop, for hosts that block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Final, TypeVar

from ..protocol.limits import CANCEL_GRACE_MS

_LOG: Final = logging.getLogger("tidemark")

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for blocking callers, in a daemon thread that begins with the first."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._owner = 0  # the process that the thread began in
        self._is_stopped = False
        self._has_ended = False
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()  # of the two above, so that nobody waits for a thread's past

    @property
    def stopped(self) -> bool:
        """Whether nothing runs here any more; so it is in a forked process, which has no thread."""
        return self._is_stopped or self._owner not in (0, os.getpid())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Ctrl-C cancels it, and what is lost by that can be had again.

        Raises:
            ValueError: it has been stopped, or is that of the process which forked this one.
            RuntimeError: called by code that runs on this very loop, which would wait for ever; or
                the loop has been stopped by code that runs on it.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError(
                "an async tool of a blocking session cannot call the session: it runs on the "
                "session's own loop; make the tool a plain function, or use AsyncSession"
            )
        if self.stopped:
            coroutine.close()
            if not self._is_stopped:
                raise ValueError("this session is the parent process's; open one of your own")
            raise ValueError("this session has been closed; open a new one")
        try:
            future = self._submitted(coroutine)
        except BaseException:
            coroutine.close()  # interrupted before it began
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._has_ended and not self._is_stopped:
                raise _ended() from None
            raise ValueError("the session was closed while this call waited") from None
        except BaseException:
            future.cancel()  # an interrupt of this thread; a failed coroutine is done already
            raise
        finally:
            self._waiting.discard(future)

    def iterate(self, iterator: AsyncIterator[T]) -> Iterator[T]:
        """The items of an async iterator, each fetched when it is asked for."""
        try:
            while True:
                try:
                    item = self.run(_next(iterator))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None and not self.stopped:
                self.run(close())

    def stop(self) -> None:
        """End the thread, cancelling what still runs; what goes on all the same is abandoned."""
        if self.stopped:
            return
        self._is_stopped = True
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            with self._lock:
                if not self._has_ended:  # else this would stop what cleans up
                    loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _submitted(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        loop = self._started()
        with self._lock:
            if self._has_ended:
                raise _ended()
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
            self._waiting.add(future)
        return future

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._serve, args=(loop,), name="tidemark-session", daemon=True
            )
            self._loop = loop
            self._owner = os.getpid()
            self._thread.start()
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            try:
                self._run_on(loop)
            finally:
                with self._lock:
                    self._has_ended = True  # from here on nobody else will wait
            _cancel_all(loop)
        finally:
            for future in tuple(self._waiting):
                future.cancel()
            asyncio.set_event_loop(None)
            loop.close()

    def _run_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until the loop is stopped. A task of foreign code that exits is no reason to stop."""
        while True:
            try:
                loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                _LOG.exception("a task on the session's loop tried to end its thread")
                if not self._is_stopped:
                    continue
            return


async def _next(iterator: AsyncIterator[T]) -> T:
    return await anext(iterator)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        # Such as an async tool that ignores that it is cancelled.
        loop.run_until_complete(asyncio.wait(tasks, timeout=CANCEL_GRACE_MS / 1_000))
    loop.run_until_complete(loop.shutdown_asyncgens())


def _ended() -> RuntimeError:
    return RuntimeError(
        "the loop of this session was stopped by code that runs on it, such as an async tool; "
        "open a new session"
    )
