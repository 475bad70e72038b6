"""What an attachment's core can tell its shell. Pure."""

from __future__ import annotations

from typing import TypeAlias

from ..protocol.classes import dataclass
from ..protocol.errors import TidemarkError
from ..protocol.host_answers import Answer, Attached, CallOffered, NoticeOffered
from ..protocol.host_requests import CallRef, Request


@dataclass(frozen=True, slots=True)
class Opened:
    """The attachment is there (again)."""

    attached: Attached


@dataclass(frozen=True, slots=True)
class AttachRefused:
    """The supervisor does not take this host (back); nothing else will be answered."""

    error: TidemarkError


@dataclass(frozen=True, slots=True)
class Settled:
    """A request has its answer, or its error."""

    number: int
    answer: Answer | None
    error: TidemarkError | None


@dataclass(frozen=True, slots=True)
class CallToRun:
    """A tool call, or a new attempt at one, that this host has not run yet."""

    offered: CallOffered


@dataclass(frozen=True, slots=True)
class CallToCancel:
    """Nobody waits for this running call any more: end it, then finish it in the core."""

    call: CallRef


@dataclass(frozen=True, slots=True)
class ResultUnwritten:
    """The journal could not take a call's result: repeat the result after a while."""

    call: CallRef


@dataclass(frozen=True, slots=True)
class NoticeCame:
    """A notification that was not seen before; tell the core when it has been handled."""

    notice: NoticeOffered


@dataclass(frozen=True, slots=True)
class SessionGone:
    """Another host holds the session now. Results of running calls are still taken."""

    error: TidemarkError


Happening: TypeAlias = (
    Opened
    | AttachRefused
    | Settled
    | CallToRun
    | CallToCancel
    | ResultUnwritten
    | NoticeCame
    | SessionGone
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be sent, in order, and what has happened since the last turn."""

    sends: tuple[Request, ...]
    happened: tuple[Happening, ...]
