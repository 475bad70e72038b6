"""A supervisor lets its first zygote start before others; what the zygote makes goes as all do."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

OPTION: Final = "--hurry"
BEFORE_OTHERS: Final = "-10"  # niceness of a session, where autogroups are on and we may
AS_OTHERS: Final = "0"


def begin_haste() -> None:
    """Have nine times the share of the processors that another session has, until `end_haste`.

    To be called by its leader.
    """
    _set_share(BEFORE_OTHERS)


def end_haste() -> None:
    """From now on the session of this process has the share of any other."""
    _set_share(AS_OTHERS)


def _set_share(niceness: str) -> None:
    with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as share:
        share.write(niceness)
