"""A supervisor lets its first zygote start before others; what the zygote makes goes as all do."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

AS_OTHERS: Final = "0"  # niceness of a session, where autogroups are on


def end_haste() -> None:
    """From now on the session of this process has the share of any other.

    Its supervisor has given it nine times that when it started it: see `zygote_start`.
    """
    with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as share:
        share.write(AS_OTHERS)
