"""What a worker does with each message of the supervisor. Runs on the link's thread, lock held."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, assert_never

from ..protocol.worker_messages import (
    Acknowledge,
    Adopt,
    Bye,
    Continue,
    Deliver,
    Fetched,
    Remember,
    Start,
    ToWorker,
)
from .exits import EXIT_DONE
from .steps import Steps

if TYPE_CHECKING:
    from .link import Link


class Unbelievable(Exception):
    """A message that no supervisor of this version could have sent; the worker must end."""


def answer(link: Link, message: ToWorker) -> None:
    """Do what the message asks.

    Raises:
        Unbelievable: it asks for what cannot be.
    """
    if isinstance(message, (Adopt, Remember, Start)):
        if not link.speaker.stream.follows(message.epoch):
            return
    elif not link.speaker.stream.accepts(message.epoch):
        return
    try:
        _answer(link, message)
    except ValueError as error:
        raise Unbelievable(f"{type(message).__name__}: {error}") from None
    link.changed.notify_all()


def _answer(link: Link, message: ToWorker) -> None:
    if isinstance(message, (Start, Acknowledge)):
        # Not that of Adopt: this is what it is compared with.
        link.speaker.journal = max(link.speaker.journal, message.journal)
    match message:
        case Continue():
            on_continue(link, message)
        case Deliver():
            link.speaker.stream.acknowledged(message.have)
            link.opened_steps().deliver(message.inputs)
            link.open_gate()
        case Acknowledge():
            link.speaker.stream.acknowledged(message.have)
        case Fetched():
            on_fetched(link, message)
        case Adopt():
            on_adopt(link, message)
        case Start():
            on_start(link, message)
        case Remember():
            link.remembered.update(message.ticks)
        case Bye():
            on_bye(link)
        case _:
            assert_never(message)


def on_adopt(link: Link, message: Adopt) -> None:
    """Say who we are, and what this supervisor does not have."""
    speaker = link.speaker
    if message.have < speaker.stream.have or message.journal < speaker.journal:
        # Its journal has gone back; what we say of ourselves tells it so, and it ends us.
        speaker.greet(message.epoch, link.steps)
        return
    again = speaker.stream.adopt(message.epoch, message.have)
    speaker.journal = message.journal
    speaker.greet(message.epoch, link.steps)
    speaker.say_again(again)


def on_start(link: Link, message: Start) -> None:
    """The cell is given once; a repeat is dropped, and so is one whose past is not all here."""
    earlier = message.earlier
    if link.start is not None or (earlier and len(link.remembered) < earlier.ticks):
        return
    link.speaker.stream.adopt(message.epoch, link.speaker.stream.have)
    link.steps = Steps(message.kind, message.stepping)
    if earlier is not None:
        link.steps.relive(earlier)
    link.speaker.cell, link.speaker.incarnation = message.cell, message.incarnation
    link.start = message


def on_continue(link: Link, message: Continue) -> None:
    """Confirm, and only then let the cell's thread see that its gate is open.

    The lock is held from the move of the gate until the confirmation has been sent, and the cell's
    thread needs it to take anything.
    """
    link.speaker.stream.acknowledged(message.have)
    confirmed = link.opened_steps().continue_(message)
    if link.speaker.stream.closed:
        return
    link.speaker.stream.add(confirmed)
    link.speaker.send_pending()
    link.open_gate()


def on_fetched(link: Link, message: Fetched) -> None:
    """An answer to a question that nobody asks any more is dropped: it was asked twice."""
    asked = link.speaker.asked.get(message.number)
    if asked is None or asked.is_answered:
        return
    asked.content = message.content
    asked.keys = message.keys or ()
    asked.is_answered = True


def on_bye(link: Link) -> None:
    """The completion is in the journal; nothing of this process is needed any more."""
    if not link.speaker.stream.closed:
        raise Unbelievable("Bye to a cell that has not finished")
    os._exit(EXIT_DONE)
