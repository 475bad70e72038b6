"""Failures that only the host's side knows."""

from __future__ import annotations

from ..protocol.errors import (
    ProtocolError,
    ResumeUnconfirmedError,
    SupervisorUnavailableError,
    TidemarkError,
)


class WaitTimeoutError(TidemarkError, TimeoutError):
    """The event did not come in the time that the caller gave; nothing is lost: wait again."""

    code = "wait_timeout"


def not_yet(cell: str, seconds: float) -> WaitTimeoutError:
    """An observation took longer than its caller wanted to wait."""
    return WaitTimeoutError(
        f"cell {cell} has had no event for {seconds:g} s; nothing is lost: wait again"
    )


def unconfirmed(cell: str, generation: int, seconds: float) -> ResumeUnconfirmedError:
    """A resume that may still happen."""
    return ResumeUnconfirmedError(
        f"the resume of generation {generation} was not confirmed within {seconds:g} s and may "
        "still happen; ask for the same generation again, which is safe and tells",
        cell_id=cell,
        generation=generation,
    )


def unanswered_create(key: str, seconds: float) -> SupervisorUnavailableError:
    """A create that may still happen."""
    return SupervisorUnavailableError(
        f"the supervisor did not answer within {seconds:g} s; whether the cell was made is not "
        f"known: create it again with idempotency_key={key!r}, which makes it once"
    )


def nobody_answers(endpoint: str, seconds: float) -> SupervisorUnavailableError:
    """Attach was not answered."""
    return SupervisorUnavailableError(
        f"no supervisor answers at {endpoint} (waited {seconds:g} s); start one with "
        "`tidemark serve --state DIR`, or open the session with state=DIR"
    )


def connection_lost(endpoint: str, seconds: float) -> SupervisorUnavailableError:
    """The supervisor has gone and none has come in its place."""
    return SupervisorUnavailableError(
        f"the connection to the supervisor at {endpoint} has been lost for {seconds:g} s; the "
        "request may still take effect: repeat it when a supervisor is there again"
    )


def none_stayed(starts: int, last_words: str) -> SupervisorUnavailableError:
    """Supervisors are started and end at once, or cannot be started."""
    said = f": {last_words}" if last_words else ""
    return SupervisorUnavailableError(
        f"{starts} supervisors were started one after the other and none stayed{said}; see to "
        "that; the request may still take effect: repeat it, which starts one again"
    )


def no_successor(error: Exception) -> SupervisorUnavailableError:
    """The machine does not give what a supervisor needs."""
    return SupervisorUnavailableError(
        f"no successor of the supervisor could be started ({error}); see to that; the request may "
        "still take effect: repeat it, which tries again"
    )


def left_behind() -> SupervisorUnavailableError:
    """The session was left while this request waited."""
    return SupervisorUnavailableError(
        "the session was left while this request waited for its answer, so whether it took effect "
        "is not known: ask again from a session that is open"
    )


def unexpected(got: object, wanted: str) -> ProtocolError:
    """An answer of another kind than the request calls for."""
    return ProtocolError(f"the supervisor answered {type(got).__name__} instead of {wanted}")
