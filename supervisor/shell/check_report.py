"""What a check of a journal has found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ...protocol.classes import dataclass, field

FINDINGS_MAX: Final = 200  # that are kept; all are counted

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being looked at, how much is done, and of how much (0: not known)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        where: "the file", "cell ID", "session NAME" or "hosts".
        record: the number of the record, or 0 when it is none in particular.
    """

    where: str
    record: int
    problem: str
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"{self.where}, record {self.record}" if self.record else self.where
        if not (self.expected or self.found):
            return f"{place}: {self.problem}"
        return f"{place}: {self.problem}: expected {self.expected}, found {self.found}"


@dataclass(slots=True)
class Report:
    """Counts of what was looked at, and findings.

    Attributes:
        last: the highest record number that is there; a copy of it elsewhere shows a cut end.
        contents: that are there and agree with their records.
        removed: that were removed rightly.
        unkept: findings beyond those that are kept.
    """

    last: int = 0
    records: int = 0
    cells: int = 0
    contents: int = 0
    removed: int = 0
    unkept: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.findings

    def add(
        self, where: str, record: int, problem: str, expected: object = "", found: object = ""
    ) -> None:
        """Keep a finding, or count it when there are too many."""
        if len(self.findings) < FINDINGS_MAX:
            shown = (_shown(expected), _shown(found))
            self.findings.append(Finding(where, record, problem, *shown))
        else:
            self.unkept += 1

    def compare(
        self, where: str, record: int, problem: str, expected: object, found: object
    ) -> None:
        """A finding if these two differ."""
        if expected != found:
            self.add(where, record, problem, expected, found)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text):,} characters)"


def place_of(scope: str) -> str:
    """A scope in words."""
    if not scope:
        return "hosts"
    if scope.startswith("session:"):
        return f"session {scope.removeprefix('session:')}"
    return f"cell {scope}"
