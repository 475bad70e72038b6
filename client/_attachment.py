"""How one host's requests get onto a connection that may be new at any time. Pure.

A connection is bound to an attachment by Attach. Until that is answered requests wait here; then
everything unanswered is sent again, under its own numbers.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..protocol.classes import dataclass
from ..protocol.host_answers import Attached
from ..protocol.host_requests import (
    Ask,
    Attach,
    CallRef,
    Cancel,
    NoticeReceived,
    Request,
    SessionAsk,
)
from ._requests import RequestBook

_CANCELLED_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this host is; the token is drawn once per attachment."""

    token: bytes
    pid: int
    host: str
    process_started_ns: int


class Attachment:
    """The state of Attach, and the messages that may go out.

    Attributes:
        attached: the last answer to Attach; None before the first.
        attaching: the number of the Attach that is unanswered; None when none is.
        session: what Attach asks for; None for a host without a session.
        sends: messages to be sent, in order.
    """

    def __init__(self, identity: Identity, session: SessionAsk | None, book: RequestBook) -> None:
        self.attached: Attached | None = None
        self.attaching: int | None = None
        self.session = session
        self.sends: list[Request] = []
        self._identity = identity
        self._book = book
        self._cancelled: deque[int] = deque(maxlen=_CANCELLED_KEPT)

    def begin(self, journal: int, holding: tuple[CallRef, ...]) -> None:
        """Attach, or attach again; a repeat names the same attachment by its token."""
        if self.attaching is None:
            self.attaching = self._book.take_number()
        identity = self._identity
        attach = Attach(
            token=identity.token,
            attachment=self.attached.attachment if self.attached else 0,
            pid=identity.pid,
            host=identity.host,
            process_started_ns=identity.process_started_ns,
            journal=journal,
            session=self.session,
            holding=holding,
        )
        self.sends.append(self._book.single(self.attaching, 0, attach))

    def complete(self, attached: Attached) -> bool:
        """Attach was answered: send everything. Whether this is the attachment as it was before."""
        before, self.attached, self.attaching = self.attached, attached, None
        if self.session is not None:
            # From now on this host has the session: it never takes it from a later holder.
            self.session = self.session.held_as(attached.session)
        return before is None or before.attachment == attached.attachment

    def catch_up(self) -> None:
        """Send what could not be sent, and again what may have been lost."""
        for number in self._cancelled:
            self.say(Cancel(number))
        for number in self._book:
            self.send(number)

    def ask(self, ask: Ask) -> int:
        """The number of a new request."""
        number = self._book.add(ask)
        self.send(number)
        return number

    def send(self, number: int) -> None:
        """Send a request, or leave it until this host is attached."""
        if self.attached is not None and self.attaching is None:
            self.sends.append(self._book.message(number, self.attached.attachment))

    def say(self, ask: Cancel | NoticeReceived) -> None:
        """Send what is not answered; what is lost of it comes up again with the next attachment."""
        if self.attached is not None and self.attaching is None:
            number = self._book.take_number()
            self.sends.append(self._book.single(number, self.attached.attachment, ask))

    def cancel(self, number: int) -> None:
        """Tell that nobody waits for this request, now and after the next Attach."""
        self.say(Cancel(number))
        self._cancelled.append(number)
