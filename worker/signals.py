"""Signals by the functions below those of `signal`, which make enums of whatever they take.

A worker touches a tenth of what its confinement touches when it calls the others.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable
from typing import Any, Final

_ALL: Final = tuple(_signal.valid_signals())
_set: Final = _signal.signal
_IGNORED: Final = (_signal.SIGPIPE, _signal.SIGXFSZ)  # errors of the call, as in every Python


def reset(changed: Iterable[int]) -> None:
    """Have signals do what they do in a Python that has just begun; on the main thread.

    `changed` are those that do something else now.
    """
    _signal.set_wakeup_fd(-1)
    for number in changed:
        if number not in _IGNORED:
            _set(number, _signal.SIG_DFL)
    for number in _IGNORED:
        _set(number, _signal.SIG_IGN)
    _set(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def block_all() -> None:
    """Have none come to this thread."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _ALL)


def silence() -> None:
    """Have no function of the cell's called any more; on the main thread.

    One may be called, and raise, until this has returned; then it is to be called again. Makes
    nothing that takes memory.
    """
    for number in _ALL:
        if callable(_signal.getsignal(number)):
            _set(number, _signal.SIG_IGN)


def called() -> dict[int, Any]:
    """What Python calls for which signal now; see `restore`."""
    actions = {number: _signal.getsignal(number) for number in _ALL}
    return {number: action for number, action in actions.items() if callable(action)}


def restore(actions: dict[int, Any]) -> None:
    """Have Python call that again, after `silence`; on the main thread."""
    for number, action in actions.items():
        _set(number, action)


def tell_of_first(tell: Callable[[], None]) -> None:
    """Call `tell` when this process begins to handle a signal in Python."""

    def set_and_tell(number: int, action: Any, /) -> Any:
        if callable(action) and action is not _signal.default_int_handler:
            tell()
        return _set(number, action)

    # Below all names that Python has for it: those of `signal` and of asyncio come here.
    _signal.signal = set_and_tell
