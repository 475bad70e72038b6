"""Every exception that a host can get, and the closed set of refusal codes that carry them.

A refusal changes nothing. Where the outcome is not known (`outcome_known` is False) the request
may still take effect, and repeating it is safe and tells. Programs act on the attributes; the text
names the next valid action for a person.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final


class TidemarkError(Exception):
    """The root of all errors of Tidemark.

    Attributes:
        code: the name of this error on the wire.
        outcome_known: False when the request may still take effect.
    """

    code: ClassVar[str] = "internal"
    outcome_known: ClassVar[bool] = True
    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.message = message
        for name in self.fields:
            setattr(self, name, attributes.pop(name, None))
        if attributes:
            raise TypeError(f"{type(self).__name__} has no attribute {sorted(attributes)}")

    def attributes(self) -> dict[str, Any]:
        """What a program needs from this error, as plain data."""
        return {name: getattr(self, name) for name in self.fields}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.message, self.attributes())


def _rebuilt(kind: type[TidemarkError], message: str, attributes: dict[str, Any]) -> TidemarkError:
    return kind(message, **attributes)


class InvalidGenerationError(TidemarkError):
    """A resume named a generation that is not there to be resumed; look at the frontier again."""

    code = "invalid_generation"
    fields = ("cell_id", "requested", "latest")
    cell_id: str
    requested: int
    latest: int | None


class BusyObserverError(TidemarkError):
    """Another observation waits on this cell; it is undisturbed. `take_over=True` detaches it.

    Attributes:
        since: when it began to wait, in seconds since 1970.
        by: who waits (host name and process id).
    """

    code = "busy_observer"
    fields = ("since", "by")
    since: float
    by: str


class CellNotFoundError(TidemarkError):
    """There is no such cell, or it was removed by retention."""

    code = "cell_not_found"
    fields = ("cell_id",)
    cell_id: str


class CellClosedError(TidemarkError):
    """The cell has ended and cannot do more. `outcome` is "completed" or "terminated"."""

    code = "cell_closed"
    fields = ("outcome",)
    outcome: str


class WrongCellKindError(TidemarkError):
    """The operation is of the other kind of cell (continuing or pausable)."""

    code = "wrong_cell_kind"
    fields = ("kind",)
    kind: str


class ShuttingDownError(TidemarkError):
    """The supervisor drains: nothing new is created; ask its successor."""

    code = "shutting_down"


class IdempotencyConflictError(TidemarkError):
    """The idempotency key belongs to a cell that was created by a different request."""

    code = "idempotency_conflict"
    fields = ("cell_id",)
    cell_id: str


class SessionHeldError(TidemarkError):
    """Another host holds the session; `take_over=True` takes it.

    Attributes:
        pid: the holder's process id.
        host: its host name.
        since: when it opened the session, in seconds since 1970.
    """

    code = "session_held"
    fields = ("pid", "host", "since")
    pid: int
    host: str
    since: float


class SessionTakenError(TidemarkError):
    """Another host took this session over, or it was closed; open it again to go on."""

    code = "session_taken"


class WorkerLostError(TidemarkError):
    """The worker is gone and the cell is not replayed. `reason` says how the worker ended."""

    code = "worker_lost"
    fields = ("reason",)
    reason: str


class ResumeUnconfirmedError(TidemarkError):
    """The worker has not confirmed Continue yet; asking again is safe and tells."""

    code = "resume_unconfirmed"
    outcome_known = False
    fields = ("cell_id", "generation")
    cell_id: str
    generation: int


class ReplayDivergedError(TidemarkError):
    """A replay did something else than the run that it repeats; the frontier stays readable.

    Attributes:
        expected: the step in the journal.
        actual: the step of the replay.
        line: the line of the cell's source, or None.
    """

    code = "replay_diverged"
    fields = ("expected", "actual", "line")
    expected: str
    actual: str
    line: int | None


class IsolationUnavailableError(TidemarkError):
    """This machine cannot give the isolation level; `missing` lists the properties with reasons."""

    code = "isolation_unavailable"
    fields = ("missing",)
    missing: tuple[str, ...]

    def __init__(self, message: str, **attributes: Any) -> None:
        attributes["missing"] = tuple(attributes.get("missing") or ())
        super().__init__(message, **attributes)


class LimitExceededError(TidemarkError):
    """A bound was exceeded; nothing was changed.

    Attributes:
        limit: the bound's name, with its unit.
        value: the bound.
        used: what was asked for.
    """

    code = "limit_exceeded"
    fields = ("limit", "value", "used")
    limit: str
    value: int
    used: int | None


class JournalError(TidemarkError):
    """The journal could not be written, or is not one that this supervisor can use."""

    code = "journal"
    outcome_known = False


class ProtocolError(TidemarkError):
    """A message that no honest peer of this version could have sent, or a wrong argument in it."""

    code = "protocol"


class SupervisorUnavailableError(TidemarkError):
    """No supervisor answers at the endpoint."""

    code = "supervisor_unavailable"
    outcome_known = False


class ToolError(Exception):
    """A tool call that failed, as the cell's code sees it; a tool may raise it to choose the text.

    Attributes:
        message: what went wrong.
        tool: the tool's name.
        key: the call's key (cell id + tool id).
        outcome_unknown: True when nobody knows whether the tool took effect.
    """

    def __init__(
        self,
        message: str = "",
        *,
        tool: str | None = None,
        key: str | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.tool = tool
        self.key = key
        self.outcome_unknown = outcome_unknown


ERRORS: Final[dict[str, type[TidemarkError]]] = {
    kind.code: kind
    for kind in (
        TidemarkError,
        InvalidGenerationError,
        BusyObserverError,
        CellNotFoundError,
        CellClosedError,
        WrongCellKindError,
        ShuttingDownError,
        IdempotencyConflictError,
        SessionHeldError,
        SessionTakenError,
        WorkerLostError,
        ResumeUnconfirmedError,
        ReplayDivergedError,
        IsolationUnavailableError,
        LimitExceededError,
        JournalError,
        ProtocolError,
        SupervisorUnavailableError,
    )
}


def from_wire(code: str, message: str, attributes: dict[str, Any]) -> TidemarkError:
    """The exception that a refusal stands for; what this version does not know is left out."""
    kind = ERRORS.get(code, TidemarkError)
    return kind(message, **{name: attributes.get(name) for name in kind.fields})
