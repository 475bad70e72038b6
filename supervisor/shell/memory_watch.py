"""Whether the machine, or the group that we are in, has little memory left."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 1.0
SHORT_SHARE: Final = 0.05  # of what there is: below that the kernel begins to look for victims
GROUPS: Final = Path("/sys/fs/cgroup")
NO_BOUND: Final = 1 << 60


class MemoryWatch:
    """Looks once a second, when it is asked."""

    def __init__(self, meminfo: Path = Path("/proc/meminfo"), groups: Path = GROUPS) -> None:
        self._meminfo = meminfo
        self._group = _own_group(groups)
        self._next = 0.0

    def is_short(self) -> bool:
        """Whether a look was due, and has found little memory left."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + LOOK_SECONDS
        rooms = [_of_machine(self._meminfo), *self._group.rooms()]
        return any(left < total * SHORT_SHARE for left, total in rooms)


def _of_machine(meminfo: Path) -> tuple[int, int]:
    """What is available, and what there is, in bytes."""
    found = _table(meminfo, separator=":")
    return found.get("MemAvailable", NO_BOUND) * 1024, found.get("MemTotal", 0) * 1024


class _Group:
    """The files of a memory controller; what its caches hold is given back when it is needed."""

    def __init__(
        self, place: Path | None, bound: str = "", used: str = "", cache: str = ""
    ) -> None:
        self._place, self._bound, self._used, self._cache = place, bound, used, cache

    def rooms(self) -> Iterable[tuple[int, int]]:
        """What is left and what there is, in bytes; nothing without a bound."""
        if self._place is None:
            return
        total, used = _number(self._place / self._bound), _number(self._place / self._used)
        if total is None or used is None or total >= NO_BOUND:
            return
        cache = _table(self._place / "memory.stat", separator=" ").get(self._cache, 0)
        yield total - used + cache, total


def _own_group(groups: Path) -> _Group:
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            # In a container the path is that of the outside, and the mount is its end.
            here = groups / "memory" / path.lstrip("/")
            place = here if here.is_dir() else groups / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            return _Group(place, *files)
        if number == "0" and (groups / path.lstrip("/") / "memory.current").exists():
            files = ("memory.max", "memory.current", "inactive_file")
            return _Group(groups / path.lstrip("/"), *files)
    return _Group(None)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _table(path: Path, separator: str) -> dict[str, int]:
    """Lines of a name and a number."""
    rows = (line.partition(separator) for line in _text(path).splitlines())
    return {name: int(rest.split()[0]) for name, _, rest in rows if rest.split()[:1]}


def _text(path: Path) -> str:
    """What the file holds; nothing if there is none: then it tells of no shortage."""
    try:
        return path.read_text()
    except OSError:
        return ""
