"""Which contents belong to which record: what check and export look up beside it."""

from __future__ import annotations

from typing import Final

from ...protocol import values
from ...protocol.classes import dataclass
from ..core import records as r
from . import journal_schema as schema

KIND_NAMES: Final = {
    r.OUTPUT: "output",
    r.ARGUMENTS: "arguments",
    r.INPUT: "input",
    r.WRITE: "written value",
}


@dataclass(frozen=True, slots=True)
class Mention:
    """One content; `digest` is what its record says of it alone."""

    kind: str
    number: int
    digest: bytes

    def __str__(self) -> str:
        return f"{KIND_NAMES[self.kind]} {self.number}"

    def is_true_of(self, body: bytes) -> bool:
        """Whether the digest is that of these bytes.

        Digests of what a cell emits are its worker's own, and blind for memory addresses.

        Raises:
            ValueError: the bytes are no such content.
        """
        if self.kind == r.INPUT:
            return schema.digest(schema.unpack_input(body)) == self.digest
        if self.kind == r.OUTPUT:
            body = schema.unpack_output(body).content.encode()
        elif self.kind == r.WRITE:
            body = schema.unpack_write(body)[1] or b""
        return values.digest(body) == self.digest


class Mentions:
    """Reads one cell's records in their order; output and written values are numbered by it."""

    def __init__(self) -> None:
        self.outputs = 0
        self.writes = 0
        self.writes_by_key: dict[str, bytes] = {}

    def of(self, record: r.Record) -> list[Mention]:
        """The contents of this record, in the order in which it was written with them."""
        if isinstance(record, r.WorkerSaid):
            return [found for step in record.steps if (found := self._of_step(step)) is not None]
        if isinstance(record, r.CallFinished) and record.input:
            return [Mention(r.INPUT, record.input, record.digest)]
        if isinstance(record, r.TimerDue):
            return [Mention(r.INPUT, record.input, b"")]
        return []

    def _of_step(self, step: r.StreamStep) -> Mention | None:
        if isinstance(step, r.Put):
            self.outputs += 1
            return Mention(r.OUTPUT, self.outputs - 1, step.digest)
        if isinstance(step, r.CallMade):
            return Mention(r.ARGUMENTS, step.number, step.digest)
        if isinstance(step, r.ValueWritten):
            self.writes += 1
            self.writes_by_key[step.key] = step.digest
            return Mention(r.WRITE, self.writes, step.digest)
        return None
