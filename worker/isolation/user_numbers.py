"""User numbers for cells, when their zygote is root: one for each cell that lives."""

from __future__ import annotations

from typing import Final

from ...protocol.classes import dataclass, field

# Nobody's: neither distributions nor systemd give them to people, services or containers.
PREFERRED_FIRST: Final = 0x7000_0000
PREFERRED_COUNT: Final = 65_536
WITHIN_CONTAINER: Final = (62_000, 64_999)  # where only 65,536 numbers are mapped


@dataclass(slots=True)
class UserNumbers:
    """A range of numbers, both ends included, and which of them are taken."""

    first: int
    last: int
    _taken: set[int] = field(default_factory=set)
    _next: int = 0

    def take(self) -> int:
        """A number that no living cell has.

        Raises:
            OSError: all are taken.
        """
        count = self.last - self.first + 1
        for _ in range(count):
            number = self.first + self._next % count
            self._next += 1
            if number not in self._taken:
                self._taken.add(number)
                return number
        raise OSError(f"all {count} user numbers are taken; give a larger --uid-range")

    def give_back(self, number: int) -> None:
        """The cell is gone, and with it every process of this number."""
        self._taken.discard(number)


def parse(text: str) -> UserNumbers:
    """A range as people write it: `100000-165535`.

    Raises:
        ValueError: it is none, or has root in it.
    """
    first, dash, last = text.partition("-")
    if not dash or not 0 < int(first) <= int(last) < 2**32 - 1:
        raise ValueError(f"{text!r} is no range of user numbers; write it like 100000-165535")
    return UserNumbers(int(first), int(last))


def usual(spread: int) -> UserNumbers:
    """The range without a choice; `spread` makes zygotes of one machine begin elsewhere in it."""
    first, last = PREFERRED_FIRST, PREFERRED_FIRST + PREFERRED_COUNT - 1
    if not _is_mapped(first, last):
        first, last = WITHIN_CONTAINER
    return UserNumbers(first, last, _next=spread % (last - first + 1))


def _is_mapped(first: int, last: int) -> bool:
    with open("/proc/self/uid_map") as file:
        for line in file:
            inside, _, count = (int(word) for word in line.split())
            if inside <= first and last < inside + count:
                return True
    return False
